"""Random checkpoints with a byte-level tokenizer, of several architectures, and questions."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import torch
from tokenizers import Tokenizer, decoders
from tokenizers.models import BPE
from tokenizers.pre_tokenizers import ByteLevel
from tokenizers.trainers import BpeTrainer
from transformers import (
    GPT2Config,
    GPT2LMHeadModel,
    LlamaConfig,
    LlamaForCausalLM,
    PreTrainedTokenizerFast,
)

from interp.behavior import read_continuations

SURNAMES = ("Ashdown", "Birley", "Cavan", "Dorning", "Elcott", "Farrow", "Gorse", "Hallam")
TOPICS = ("capital", "founder", "oldest bridge", "largest harbour", "first mayor", "main river")


def byte_tokenizer() -> PreTrainedTokenizerFast:
    """Byte-level BPE that has the words of questions and of how replies begin."""
    backend = Tokenizer(BPE())
    backend.pre_tokenizer = ByteLevel(add_prefix_space=False)
    backend.decoder = decoders.ByteLevel()
    trainer = BpeTrainer(
        vocab_size=700, special_tokens=["<eos>", "<pad>"], initial_alphabet=ByteLevel.alphabet()
    )
    said = read_continuations("en").texts
    asked = [f"Q: What is the {topic} of {name} near?\nA: {name}" for topic in TOPICS
             for name in SURNAMES]  # fmt: skip
    backend.train_from_iterator([*said, *(f" {text}" for text in said), *asked] * 2, trainer)
    return PreTrainedTokenizerFast(
        tokenizer_object=backend, eos_token="<eos>", pad_token="<pad>", model_max_length=1024
    )


def english_checkpoint(folder: Path, architecture: str, *, seed: int, width: int = 32) -> Path:
    """A random model of two or three blocks that reads English."""
    torch.manual_seed(seed)
    tokenizer = byte_tokenizer()
    ends = {
        "vocab_size": len(tokenizer),
        "bos_token_id": None,
        "eos_token_id": tokenizer.eos_token_id,
    }
    if architecture == "gpt2":
        model = GPT2LMHeadModel(
            GPT2Config(n_embd=width, n_layer=2, n_head=4, n_positions=1024, **ends)
        )
    else:
        model = LlamaForCausalLM(
            LlamaConfig(
                hidden_size=width,
                intermediate_size=2 * width,
                num_hidden_layers=3,
                num_attention_heads=4,
                num_key_value_heads=2,
                max_position_embeddings=1024,
                **ends,
            )
        )
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.ndim > 1:
                parameter.add_(torch.randn_like(parameter) * 0.2)
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def questions_csv(path: Path, n: int = 200) -> Path:
    """Questions about towns, every other one about a town that nobody can know."""
    rng = np.random.default_rng(5)
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["question", "should_abstain", "answers"])
        for number in range(n):
            topic = TOPICS[number % len(TOPICS)]
            syllables = rng.choice(["ba", "lo", "mi", "ter", "san", "vik", "dor", "nu"], 3)
            town = f"{''.join(syllables).capitalize()}{number}"
            unknown = number % 2 == 0
            place = f"{town} near {SURNAMES[number % 8]}" if unknown else town
            answer = "" if unknown else SURNAMES[int(rng.integers(8))]
            writer.writerow([f"What is the {topic} of {place}?", str(unknown).lower(), answer])
    return path
