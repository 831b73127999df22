"""Models with weights set by hand: the next word is a function of this one and of what is added."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import torch
from tokenizers import Tokenizer
from tokenizers.models import WordLevel
from tokenizers.pre_tokenizers import WhitespaceSplit
from torch import Tensor
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

from interp.activations import Site
from interp.checkpoints import Checkpoint, LoadedModel
from interp.directions import Direction
from interp.prompts import PromptSet

SITE = Site("resid_post", 0)
SPECIAL = ("<pad>", "<unk>", "<eos>")


def model_of(
    folder: Path,
    words: Sequence[str],
    follows: Mapping[str, Mapping[str, float]],
    pushes: Sequence[Mapping[str, float]] = (),
) -> LoadedModel:
    """A model of two silent blocks: its state is its last word, and one axis for each push.

    Args:
        folder: it is saved in.
        words: its vocabulary beside `SPECIAL`.
        follows: by word, how strongly each next word is called for.
        pushes: of each axis, how strongly it calls for words when it is added.
    """
    ids = {word: n for n, word in enumerate((*SPECIAL, *words))}
    width = len(ids) + len(pushes) + (len(ids) + len(pushes)) % 2
    config = LlamaConfig(
        vocab_size=len(ids),
        hidden_size=width,
        intermediate_size=4,
        num_hidden_layers=2,
        num_attention_heads=1,
        num_key_value_heads=1,
        max_position_embeddings=64,
        tie_word_embeddings=False,
        pad_token_id=0,
        eos_token_id=2,
        bos_token_id=None,
    )
    model = LlamaForCausalLM(config)
    with torch.no_grad():
        for block in model.model.layers:
            block.self_attn.o_proj.weight.zero_()
            block.mlp.down_proj.weight.zero_()
        model.model.embed_tokens.weight.copy_(torch.eye(width)[: len(ids)])
        head_VD = model.lm_head.weight
        head_VD.zero_()
        for word, after in follows.items():
            for following, strength in after.items():
                head_VD[ids[following], ids[word]] = strength
        for n, pushed in enumerate(pushes):
            for word, strength in pushed.items():
                head_VD[ids[word], len(ids) + n] = strength
    model.save_pretrained(folder)
    backend = Tokenizer(WordLevel(ids, unk_token="<unk>"))
    backend.pre_tokenizer = WhitespaceSplit()
    PreTrainedTokenizerFast(
        tokenizer_object=backend, pad_token="<pad>", eos_token="<eos>", unk_token="<unk>"
    ).save_pretrained(folder)
    return Checkpoint(folder, folder.name).load()


def axis(loaded: LoadedModel, n: int, norm: float = 1.0) -> Direction:
    """The direction of the n-th push."""
    unit_D = torch.zeros(loaded.d_model)
    unit_D[len(loaded.tokenizer) + n] = 1
    return Direction(unit_D, norm, SITE, "windows", loaded.checkpoint.name, "by hand")


def likeliest(loaded: LoadedModel, word: str, added_D: Tensor) -> str:
    """The next word, by the head alone."""
    state_D = added_D.clone()
    state_D[loaded.tokenizer.get_vocab()[word]] += 1
    (logits_V,) = (state_D[None] @ loaded.model.lm_head.weight.detach().T,)
    return str(loaded.tokenizer.convert_ids_to_tokens(int(logits_V[0].argmax())))


def prompts_of(texts: Sequence[str], split: str = "test") -> PromptSet:
    """One prompt a text, each an item of its own."""
    return PromptSet.from_records(
        [
            {"prompt_id": f"p{n}", "text": text, "should_abstain": False, "split": split}
            for n, text in enumerate(texts)
        ]
    )
