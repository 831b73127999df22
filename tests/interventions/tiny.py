"""Tiny random checkpoints of three architectures, and batches of random tokens for them."""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import torch
from tokenizers import Tokenizer
from tokenizers.models import WordLevel
from tokenizers.pre_tokenizers import WhitespaceSplit
from torch import Tensor
from transformers import (
    GPT2Config,
    GPT2LMHeadModel,
    LlamaConfig,
    LlamaForCausalLM,
    PreTrainedModel,
    PreTrainedTokenizerFast,
    Qwen2Config,
    Qwen2ForCausalLM,
)

from interp.activations import Site
from interp.checkpoints import LoadedModel

N_VOCAB, D_MODEL, N_LAYERS = 40, 16, 4
ARCHITECTURES = ("qwen2_sliding", "llama", "gpt2")


@dataclass(frozen=True)
class Batch:
    """A padded batch of random tokens."""

    ids_BT: Tensor
    mask_BT: Tensor

    @property
    def inputs(self) -> dict[str, Tensor]:
        """What a forward takes."""
        position_ids = (self.mask_BT.cumsum(-1) - 1).clamp(min=0)
        return {
            "input_ids": self.ids_BT,
            "attention_mask": self.mask_BT,
            "position_ids": position_ids,
        }

    @property
    def real_BT(self) -> Tensor:
        """True on tokens, False on padding."""
        return self.mask_BT.bool()


def random_batch(side: str, lengths: tuple[int, ...] = (7, 4, 5), seed: int = 0) -> Batch:
    """Random tokens, never the padding or end token, padded on a side."""
    generator = torch.Generator().manual_seed(seed)
    width = max(lengths)
    ids_BT = torch.randint(3, N_VOCAB, (len(lengths), width), generator=generator)
    column_T = torch.arange(width)
    length_B1 = torch.tensor(lengths)[:, None]
    real_BT = column_T >= width - length_B1 if side == "left" else column_T < length_B1
    return Batch(ids_BT * real_BT, real_BT.long())


def write_checkpoint(folder: Path, architecture: str, seed: int, config: dict[str, object]) -> None:
    """Saves a random model of the architecture, with a tokenizer of words "w3" ... as its ids."""
    torch.manual_seed(seed)
    model = _build(architecture, config)
    # Random initial weights are so small that blocks barely act; a trained model's are not.
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.ndim > 1:
                parameter.add_(torch.randn_like(parameter) * 0.3)
    model.generation_config.pad_token_id = 0
    model.save_pretrained(folder)
    n_vocab = model.config.vocab_size
    vocab = {"<pad>": 0, "<unk>": 1, "<eos>": 2} | {f"w{i}": i for i in range(3, n_vocab)}
    backend = Tokenizer(WordLevel(vocab, unk_token="<unk>"))
    backend.pre_tokenizer = WhitespaceSplit()
    PreTrainedTokenizerFast(
        tokenizer_object=backend, pad_token="<pad>", eos_token="<eos>", unk_token="<unk>"
    ).save_pretrained(folder)


def _build(architecture: str, config: dict[str, object]) -> PreTrainedModel:
    if architecture == "gpt2":
        own = {
            "n_embd": D_MODEL,
            "n_layer": N_LAYERS,
            "n_head": 2,
            "n_positions": 64,
            "vocab_size": N_VOCAB,
            "tie_word_embeddings": False,
            "eos_token_id": 2,
            "bos_token_id": 2,
        }
        return GPT2LMHeadModel(GPT2Config(**own | config))
    shared = {
        "hidden_size": D_MODEL,
        "intermediate_size": 32,
        "num_hidden_layers": N_LAYERS,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "vocab_size": N_VOCAB,
        "max_position_embeddings": 64,
        "tie_word_embeddings": False,
        "eos_token_id": 2,
        "bos_token_id": 2,
    }
    if architecture == "llama":
        return LlamaForCausalLM(LlamaConfig(**shared | config))
    sliding = {
        "use_sliding_window": True,
        "sliding_window": 2,
        "layer_types": ["sliding_attention"] * 2 + ["full_attention"] * (N_LAYERS - 2),
    }
    return Qwen2ForCausalLM(Qwen2Config(**shared | sliding | config))


def vector(seed: int = 3, scale: float = 4.0) -> Tensor:
    return scale * torch.randn(D_MODEL, generator=torch.Generator().manual_seed(seed))


def some_positions(batch: Batch, seed: int = 5) -> Tensor:
    coin = torch.rand(batch.real_BT.shape, generator=torch.Generator().manual_seed(seed)) < 0.5
    return coin & batch.real_BT


def logits(loaded: LoadedModel, batch: Batch) -> Tensor:
    with torch.inference_mode():
        return loaded.model(**batch.inputs).logits


def resid(loaded: LoadedModel, batch: Batch, site: Site) -> Tensor:
    """The residual stream at a site by a hook of the test's own, (b, t, d)."""
    got: list[Tensor] = []
    block = loaded.blocks[site.layer]
    if site.kind == "resid_pre":
        handle = block.register_forward_pre_hook(
            lambda _, args, kwargs: got.append(args[0] if args else kwargs["hidden_states"]),
            with_kwargs=True,
        )
    else:
        handle = block.register_forward_hook(
            lambda _, __, out: got.append(out if torch.is_tensor(out) else out[0])
        )
    logits(loaded, batch)
    handle.remove()
    return got[0].clone()


class Recorder:
    """Where a block's output changes under an intervention, seen from outside of it.

    One hook is registered before the edit's and one after, so the two see the residual stream
    before and after it.
    """

    def __init__(self, loaded: LoadedModel, layer: int, stack: ExitStack) -> None:
        self.before: list[Tensor] = []
        self.after: list[Tensor] = []
        self._block, self._stack = loaded.blocks[layer], stack
        self._watch(self.before)

    def _watch(self, into: list[Tensor]) -> None:
        def note(_, __, output):
            into.append((output if torch.is_tensor(output) else output[0]).detach().clone())

        self._stack.callback(self._block.register_forward_hook(note).remove)

    def edit_is_on(self) -> None:
        self._watch(self.after)

    def changed(self) -> list[Tensor]:
        return [
            (before != after).any(-1) for before, after in zip(self.before, self.after, strict=True)
        ]
