"""Prompts for capture, and activations as one forward a prompt gives them."""

from __future__ import annotations

import random
from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor

from interp.activations import Site
from interp.checkpoints import LoadedModel
from interp.prompts import PromptSet
from tests.checkpoints.tiny import N_LAYERS

POSITIONS = ["entity_last", "question_last", "last_prompt"]
ALL_SITES = [Site(kind, layer) for layer in range(N_LAYERS) for kind in ("resid_pre", "resid_post")]
# The last linear map of an MLP, under the names that architectures give it.
_MLP_OUTPUTS = ("down_proj", "dense_4h_to_h", "c_proj")


def some_prompts(n: int, seed: int = 0) -> PromptSet:
    """Questions of 1 to 24 words about one of them, with and without a chain of thought."""
    rng = random.Random(seed)
    rows = []
    for number in range(n):
        words = [f"w{rng.randrange(30)}" for _ in range(rng.randint(1, 24))]
        rows.append(
            {
                "prompt_id": f"p{number}",
                "messages": [{"role": "user", "content": " ".join(words)}],
                "should_abstain": bool(number % 2),
                "entity": rng.choice(words),
                "meta": {"mode": rng.choice(["direct", "cot"])},
            }
        )
    return PromptSet.from_records(rows)


def words_of(prompts: PromptSet, row: int) -> list[str]:
    """The prompt as the chat template spells it, without the project's own code."""
    entry = prompts.frame.iloc[row]
    end = "think" if entry["meta"]["mode"] == "cot" else "a"
    return ["q", ":", *entry["messages"][0]["content"].split(), end, ":"]


def index_of(prompts: PromptSet, row: int, position: str) -> int:
    """Where the position's token stands, found on the words."""
    words = words_of(prompts, row)
    if position == "entity_last":
        return len(words) - 1 - words[::-1].index(prompts.frame["entity"].iloc[row])
    return {"question_last": len(words) - 3, "last_prompt": len(words) - 1}[position]


def alone(loaded: LoadedModel, words: list[str]) -> dict[Site, Tensor]:
    """Every site's activations [t, d] of one unpadded prompt.

    By transformers' own `output_hidden_states`, except after the last block, where it returns the
    final norm's output: there by a hook.
    """
    ids = torch.tensor([loaded.tokenizer.convert_tokens_to_ids(words)])
    last: list[Tensor] = []
    handle = loaded.blocks[-1].register_forward_hook(
        lambda _, __, out: last.append(out if torch.is_tensor(out) else out[0])
    )
    with torch.no_grad():
        hidden = loaded.model(ids, output_hidden_states=True).hidden_states
    handle.remove()
    stream = [*hidden[:-1], last[0]]
    return {
        Site(kind, layer): stream[layer + (kind == "resid_post")][0]
        for layer in range(N_LAYERS)
        for kind in ("resid_pre", "resid_post")
    }


def parts_alone(loaded: LoadedModel, words: list[str]) -> dict[Site, Tensor]:
    """As `alone`, for what attention and MLP add and the stream between them; by arithmetic.

    A block whose MLP puts out nothing leaves the stream as attention left it.
    """
    ids = torch.tensor([loaded.tokenizer.convert_tokens_to_ids(words)])
    stream = alone(loaded, words)
    parts: dict[Site, Tensor] = {}
    for layer, block in enumerate(loaded.blocks):
        (name,) = [name for name, _ in block.mlp.named_children() if name in _MLP_OUTPUTS]
        silent = getattr(block.mlp, name)
        after_attention: list[Tensor] = []
        handles = [
            silent.register_forward_hook(lambda _, __, out: torch.zeros_like(out)),
            block.register_forward_hook(lambda _, __, out, got=after_attention: got.append(out)),
        ]
        with torch.no_grad():
            loaded.model(ids)
        for handle in handles:
            handle.remove()
        mid = after_attention[0][0]
        parts[Site("attn_out", layer)] = mid - stream[Site("resid_pre", layer)]
        parts[Site("mlp_out", layer)] = stream[Site("resid_post", layer)] - mid
        if not getattr(block, "use_parallel_residual", False):
            parts[Site("resid_mid", layer)] = mid
    return parts


@contextmanager
def broken(loaded: LoadedModel, word: str, value: float = float("nan")) -> Iterator[None]:
    """The model with one number of the word's embedding replaced."""
    embedding = loaded.model.get_input_embeddings().weight.data
    row = loaded.tokenizer.convert_tokens_to_ids(word)
    kept = embedding[row, 0].clone()
    embedding[row, 0] = value
    yield
    embedding[row, 0] = kept
