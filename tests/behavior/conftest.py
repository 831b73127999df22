"""Tiny random checkpoints with a word-level tokenizer, and prompts for them."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from tokenizers import Tokenizer
from tokenizers.models import WordLevel
from tokenizers.pre_tokenizers import WhitespaceSplit
from transformers import (
    GPT2Config,
    GPT2LMHeadModel,
    PreTrainedModel,
    PreTrainedTokenizerFast,
    Qwen3Config,
    Qwen3ForCausalLM,
)

from interp.checkpoints import Checkpoint, LoadedModel
from interp.prompts import PromptSet

WORDS = ["<pad>", "<eos>", "<unk>", "i", "do", "not", "know", *(f"w{n}" for n in range(25))]


def prompt_set(texts: list[str]) -> PromptSet:
    """Prompts used as they are; every second one should be abstained on."""
    return PromptSet.from_records(
        [
            {
                "prompt_id": f"p{row}",
                "pair_id": f"p{row}",
                "text": text,
                "should_abstain": bool(row % 2),
                "scenario": "answer_unknown",
                "answers": ["w1"],
                "entity": f"entity {row}",
                "dataset": "made up",
                "split": "test",
                "meta": {"mode": "direct"},
            }
            for row, text in enumerate(texts)
        ]
    )


@pytest.fixture(scope="session")
def prompts() -> PromptSet:
    """Prompts of 1 to 9 words, in no order of length."""
    generator = torch.Generator().manual_seed(1)
    lengths = [5, 1, 9, 3, 7, 2, 8, 4, 6, 3, 9, 5]
    return prompt_set(
        [
            " ".join(WORDS[7 + n] for n in torch.randint(25, (length,), generator=generator))
            for length in lengths
        ]
    )


@pytest.fixture(scope="session", params=["qwen3_sliding", "gpt2"])
def loaded(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> LoadedModel:
    """A model with sliding layers, and one whose positions are learned (padding would show)."""
    folder = tmp_path_factory.mktemp(request.param)
    torch.manual_seed(0)
    write_checkpoint(folder, _build(request.param))
    return Checkpoint(folder, request.param).load()


def write_checkpoint(folder: Path, model: PreTrainedModel) -> None:
    """Saves the model, its weights enlarged so that every token matters, and a tokenizer."""
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(torch.randn_like(parameter) * 0.3)
    model.save_pretrained(folder)
    backend = Tokenizer(WordLevel({word: n for n, word in enumerate(WORDS)}, unk_token="<unk>"))
    backend.pre_tokenizer = WhitespaceSplit()
    PreTrainedTokenizerFast(
        tokenizer_object=backend, pad_token="<pad>", eos_token="<eos>", unk_token="<unk>"
    ).save_pretrained(folder)


def _build(architecture: str) -> PreTrainedModel:
    ends = {"eos_token_id": 1, "pad_token_id": 0, "bos_token_id": None}
    if architecture == "gpt2":
        sizes = {"n_embd": 16, "n_layer": 2, "n_head": 2, "n_positions": 64}
        return GPT2LMHeadModel(GPT2Config(vocab_size=len(WORDS), **sizes, **ends))
    return Qwen3ForCausalLM(
        Qwen3Config(
            vocab_size=len(WORDS),
            hidden_size=16,
            intermediate_size=32,
            num_hidden_layers=3,
            num_attention_heads=2,
            num_key_value_heads=2,
            head_dim=8,
            max_position_embeddings=64,
            use_sliding_window=True,
            sliding_window=2,
            max_window_layers=1,
            layer_types=["sliding_attention", "full_attention", "full_attention"],
            tie_word_embeddings=False,
            **ends,
        )
    )
