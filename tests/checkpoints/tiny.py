"""Tiny random checkpoints of several architectures, with a word tokenizer that can chat."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import torch
from tokenizers import Tokenizer
from tokenizers.models import WordLevel
from tokenizers.pre_tokenizers import WhitespaceSplit
from transformers import (
    Gemma2Config,
    Gemma2ForCausalLM,
    GPT2Config,
    GPT2LMHeadModel,
    GPTNeoXConfig,
    GPTNeoXForCausalLM,
    LlamaConfig,
    LlamaForCausalLM,
    MistralConfig,
    MistralForCausalLM,
    Olmo2Config,
    Olmo2ForCausalLM,
    PreTrainedModel,
    PreTrainedTokenizerFast,
    Qwen2Config,
    Qwen2ForCausalLM,
    Qwen3Config,
    Qwen3ForCausalLM,
)

D_MODEL, N_LAYERS, N_CONTEXT = 16, 4, 64
ARCHITECTURES = (
    "llama",
    "mistral",
    "qwen2",
    "qwen2_sliding",
    "qwen3",
    "qwen3_sliding",
    "gemma2",
    "olmo2",
    "gpt_neox",
    "gpt_neox_sequential",
    "gpt2",
)
"""Attention is grouped (4 heads, 2 of keys and values) wherever the architecture has that."""
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
    ungrouped = {name: value for name, value in shared.items() if name != "num_key_value_heads"}
    sliding = {
        "use_sliding_window": True,
        "sliding_window": 2,
        "layer_types": ["sliding_attention"] * 2 + ["full_attention"] * (N_LAYERS - 2),
    }
    build: dict[str, Callable[[], PreTrainedModel]] = {
        "llama": lambda: LlamaForCausalLM(LlamaConfig(**shared)),
        "mistral": lambda: MistralForCausalLM(MistralConfig(**shared, sliding_window=3)),
        "qwen2": lambda: Qwen2ForCausalLM(Qwen2Config(**shared)),
        "qwen2_sliding": lambda: Qwen2ForCausalLM(Qwen2Config(**shared | sliding)),
        "qwen3": lambda: Qwen3ForCausalLM(Qwen3Config(**shared, head_dim=4)),
        "qwen3_sliding": lambda: Qwen3ForCausalLM(Qwen3Config(**shared | sliding, head_dim=4)),
        # Every other layer of Gemma 2 has a sliding window.
        "gemma2": lambda: Gemma2ForCausalLM(
            Gemma2Config(**shared, head_dim=4, query_pre_attn_scalar=4, sliding_window=3)
        ),
        "olmo2": lambda: Olmo2ForCausalLM(Olmo2Config(**shared, pad_token_id=0)),
        "gpt_neox": lambda: GPTNeoXForCausalLM(GPTNeoXConfig(**ungrouped)),
        "gpt_neox_sequential": lambda: GPTNeoXForCausalLM(
            GPTNeoXConfig(**ungrouped, use_parallel_residual=False)
        ),
    }
    return build[architecture]()
