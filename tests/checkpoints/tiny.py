"""Tiny random checkpoints of several architectures, with a word tokenizer that can chat."""

from __future__ import annotations

from pathlib import Path

import torch
from tokenizers import Tokenizer
from tokenizers.models import WordLevel
from tokenizers.pre_tokenizers import WhitespaceSplit
from transformers import (
    GPT2Config,
    GPT2LMHeadModel,
    LlamaConfig,
    LlamaForCausalLM,
    PreTrainedModel,
    PreTrainedTokenizerFast,
    Qwen2Config,
    Qwen2ForCausalLM,
    Qwen3Config,
    Qwen3ForCausalLM,
)

D_MODEL, N_LAYERS, N_CONTEXT = 16, 4, 64
ARCHITECTURES = ("qwen2_sliding", "qwen3_sliding", "llama", "gpt2")
WORDS = ["q", "a", "think", ":", "?", "who", "is", "in", *(f"w{i}" for i in range(30))]
CHAT_TEMPLATE = (
    "{% for m in messages %}q : {{ m['content'] }}{% endfor %}"
    "{% if add_generation_prompt %}{{ ' think :' if enable_thinking else ' a :' }}{% endif %}"
)


def word_tokenizer(extra: tuple[str, ...] = ()) -> PreTrainedTokenizerFast:
    """One token a word, "<pad>", "<unk>" and "<eos>" first; nothing is put in front."""
    vocab = {word: i for i, word in enumerate(["<pad>", "<unk>", "<eos>", *WORDS, *extra])}
    backend = Tokenizer(WordLevel(vocab, unk_token="<unk>"))
    backend.pre_tokenizer = WhitespaceSplit()
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=backend, pad_token="<pad>", eos_token="<eos>", unk_token="<unk>"
    )
    tokenizer.chat_template = CHAT_TEMPLATE
    return tokenizer


def write_checkpoint(
    folder: Path, architecture: str = "llama", *, shard_size: str = "1GB", seed: int = 0
) -> Path:
    """Saves a random model whose blocks act about as strongly as a trained model's."""
    torch.manual_seed(seed)
    model = _build(architecture, len(word_tokenizer()))
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.ndim > 1:
                parameter.add_(torch.randn_like(parameter) * 0.3)
    model.save_pretrained(folder, max_shard_size=shard_size)
    word_tokenizer().save_pretrained(folder)
    return folder


def _build(architecture: str, n_vocab: int) -> PreTrainedModel:
    if architecture == "gpt2":
        return GPT2LMHeadModel(
            GPT2Config(
                n_embd=D_MODEL,
                n_layer=N_LAYERS,
                n_head=2,
                n_positions=N_CONTEXT,
                vocab_size=n_vocab,
                eos_token_id=2,
                bos_token_id=2,
            )
        )
    shared = {
        "hidden_size": D_MODEL,
        "intermediate_size": 32,
        "num_hidden_layers": N_LAYERS,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "vocab_size": n_vocab,
        "max_position_embeddings": N_CONTEXT,
        "tie_word_embeddings": False,
        "eos_token_id": 2,
        "bos_token_id": 2,
    }
    sliding = {
        "use_sliding_window": True,
        "sliding_window": 2,
        "layer_types": ["sliding_attention"] * 2 + ["full_attention"] * (N_LAYERS - 2),
    }
    if architecture == "llama":
        return LlamaForCausalLM(LlamaConfig(**shared))
    if architecture == "qwen2_sliding":
        return Qwen2ForCausalLM(Qwen2Config(**shared | sliding))
    return Qwen3ForCausalLM(Qwen3Config(**shared | sliding, head_dim=4))
