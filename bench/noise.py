"""Noise floors: how far two exact ways to the same activation lie apart, by architecture and dtype.

Every prompt alone against padded batches, on random checkpoints of 8 blocks; the numbers behind
the bounds of `interp check`.
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

import torch
import transformers
from tokenizers import Tokenizer
from tokenizers.models import WordLevel
from tokenizers.pre_tokenizers import WhitespaceSplit
from transformers import PreTrainedTokenizerFast
from transformers.utils import logging

from interp.checkpoints import Checkpoint
from interp.selfcheck import examine

SHARED = {
    "hidden_size": 256,
    "intermediate_size": 704,
    "num_hidden_layers": 8,
    "num_attention_heads": 8,
    "num_key_value_heads": 2,
    "vocab_size": 512,
    "max_position_embeddings": 256,
}
UNGROUPED = {name: value for name, value in SHARED.items() if name != "num_key_value_heads"}
MODELS = {
    "Llama": SHARED,
    "Mistral": SHARED | {"sliding_window": 8},
    "Qwen2": SHARED,
    "Qwen3": SHARED | {"head_dim": 32},
    "Gemma2": SHARED | {"head_dim": 32, "query_pre_attn_scalar": 32},
    "Olmo2": SHARED | {"pad_token_id": 0},
    "GPTNeoX": UNGROUPED,
    "GPT2": {"n_embd": 256, "n_layer": 8, "n_head": 8, "vocab_size": 512, "n_positions": 256},
}
DTYPES = ("float32", "bfloat16", "float16")


def write(name: str, folder: Path) -> None:
    """A random model whose blocks act as strongly as a trained model's, and a word tokenizer."""
    torch.manual_seed(0)
    config = getattr(transformers, f"{name}Config")(**MODELS[name])
    head = "LMHeadModel" if name == "GPT2" else "ForCausalLM"
    model = getattr(transformers, f"{name}{head}")(config)
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.ndim > 1:
                parameter.mul_(3)
    model.save_pretrained(folder)
    vocab = {"<pad>": 0, "<unk>": 1, "<eos>": 2} | {f"w{n}": n for n in range(3, 512)}
    backend = Tokenizer(WordLevel(vocab, unk_token="<unk>"))
    backend.pre_tokenizer = WhitespaceSplit()
    PreTrainedTokenizerFast(
        tokenizer_object=backend, pad_token="<pad>", eos_token="<eos>", unk_token="<unk>"
    ).save_pretrained(folder)


def floor(folder: Path, name: str, dtype: str, device: str) -> float:
    """Largest difference over all lines of the check, tokens and sites, relative to the stream."""
    loaded = Checkpoint(folder, name).load(device=device, dtype=dtype)
    return max(line.error for line in examine(loaded) if line.error is not None)


def main() -> None:
    """Prints one row an architecture."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="has no effect: it is quick")
    parser.parse_args()
    logging.disable_progress_bar()
    device = "cuda" if torch.cuda.is_available() else "cpu"
    print(f"share of the residual stream's largest activation, on {device}")
    print(f"{'':10}" + "".join(f"{dtype:>12}" for dtype in DTYPES))
    for name in MODELS:
        with tempfile.TemporaryDirectory() as folder:
            write(name, Path(folder))
            floors = [floor(Path(folder), name, dtype, device) for dtype in DTYPES]
        print(f"{name:10}" + "".join(f"{value:12.1e}" for value in floors))


if __name__ == "__main__":
    main()
