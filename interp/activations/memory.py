"""How much memory of a device a piece of work takes, said before it starts, and how much is free.

The bounds are sums of what stands in memory at the worst moment, in bytes. They are for decoders
with a gated MLP of width d_ff and fused attention; eager attention adds its scores. Sequences are
counted in tokens of a batch, padding included (the token budget).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import torch

from interp.activations.planning import BYTES_A_SHARD
from interp.checkpoints import Checkpoint
from interp.checkpoints.files import read_json, weight_files
from interp.checkpoints.outlines import loaded_dtype, n_weights
from interp.errors import InputError

Work = Literal["capture", "score", "generate", "relearn"]

RUNTIME_BYTES = {"cpu": 2**26, "cuda": 2**29}
"""What the first computation takes by itself: thread pools and scratch, or a CUDA context."""

_ITEM = {"float64": 8, "float32": 4, "bfloat16": 2, "float16": 2}
_EAGER = ("gemma2",)
"""Architectures whose attention transformers computes eagerly unless told otherwise."""


@dataclass(frozen=True)
class ModelSize:
    """What of a checkpoint its memory depends on.

    Attributes:
        name: of the checkpoint.
        n_weights: numbers in its weights.
        n_layers, d_model, d_ff, n_heads, n_kv_heads, d_head, n_vocab: of its config.
        item: bytes of a number in the dtype it is loaded in.
        eager: whether attention scores are held.
        in_file: bytes of the weights' files, if they are saved in another dtype.
    """

    name: str
    n_weights: int
    n_layers: int
    d_model: int
    d_ff: int
    n_heads: int
    n_kv_heads: int
    d_head: int
    n_vocab: int
    item: int
    eager: bool = False
    in_file: int = 0

    @classmethod
    def of(cls, checkpoint: Checkpoint, dtype: str = "float32") -> ModelSize:
        """From config and the headers of the weights; nothing is loaded.

        Raises:
            InputError: the folder is no checkpoint with safetensors.
        """
        config = read_json(checkpoint.path / "config.json")
        d_model = _first(config, ("hidden_size", "n_embd"))
        n_heads = _first(config, ("num_attention_heads", "n_head"))
        n, item = n_weights(checkpoint), _ITEM[loaded_dtype(checkpoint, dtype)]
        in_file = sum(path.stat().st_size for path in weight_files(checkpoint.path))
        return cls(
            name=checkpoint.name,
            n_weights=n,
            n_layers=_first(config, ("num_hidden_layers", "n_layer")),
            d_model=d_model,
            d_ff=_first(config, ("intermediate_size", "n_inner"), 4 * d_model),
            n_heads=n_heads,
            n_kv_heads=_first(config, ("num_key_value_heads",), n_heads),
            d_head=_first(config, ("head_dim",), d_model // n_heads),
            n_vocab=_first(config, ("vocab_size",)),
            item=item,
            eager=config.get("model_type") in _EAGER,
            # Headers are a little of the file; another dtype is half of it or twice.
            in_file=in_file if abs(in_file / (n * item) - 1) > 0.25 else 0,
        )

    @property
    def weights(self) -> int:
        """Bytes of the weights."""
        return self.n_weights * self.item

    def forward(self, tokens: int, longest: int) -> int:
        """Of one block at work without gradients; those below it leave only their output."""
        stream = tokens * self.d_model * (4 * self.item + 8)  # norms compute in float32
        mask = tokens * longest * self.item
        heads = tokens * self.d_head * (5 * self.n_heads + 6 * self.n_kv_heads) * self.item
        scores = tokens * longest * self.n_heads * (self.item + 4) if self.eager else 0
        mlp = 3 * tokens * self.d_ff * self.item
        return stream + mask + max(heads + scores, mlp)

    def cache(self, tokens: int) -> int:
        """Keys and values of all layers, and those of one again while a token is put behind."""
        return (self.n_layers + 1) * 2 * self.n_kv_heads * self.d_head * tokens * self.item

    def backward(self, tokens: int, longest: int) -> int:
        """What all blocks keep for their gradients."""
        heads = self.d_head * (4 * self.n_heads + 6 * self.n_kv_heads)
        kept = (6 * self.d_model + heads + 4 * self.d_ff) * self.item + 4 * 4 * self.d_model
        scores = longest * self.n_heads * (self.item + 4) if self.eager else 0
        return tokens * self.n_layers * (kept + scores) + self.forward(tokens, longest)


@dataclass(frozen=True)
class Needed:
    """Bytes that a piece of work takes of a device, by part.

    Attributes:
        work: what is done.
        model: name of the checkpoint.
        parts: bytes of each; they are there together at the worst moment.
    """

    work: Work
    model: str
    parts: Mapping[str, int]

    @property
    def total(self) -> int:
        """Bytes in all."""
        return sum(self.parts.values())

    def __str__(self) -> str:
        """One line, the largest part first."""
        ordered = sorted(self.parts.items(), key=lambda part: -part[1])
        parts = ", ".join(f"{name} {_size(value)}" for name, value in ordered if value)
        return f"{self.work} {self.model}: {_size(self.total)} ({parts})"


def needed(
    work: Work,
    size: ModelSize,
    *,
    tokens: int,
    longest: int | None = None,
    rows: int | None = None,
    kept: int = 0,
    trained: int | None = None,
    models: int = 1,
    device: str = "cpu",
) -> Needed:
    """An upper bound of the memory that a piece of work takes.

    Args:
        work: "capture", "score" (a continuation's log probability), "generate" or "relearn".
        size: of the model.
        tokens: in the largest batch: the token budget, or what relearning trains on in a step.
        longest: tokens of the longest row; by default all of them.
        rows: of the largest batch; by default one row of 16 tokens each.
        kept: bytes of the activations that are kept; at most a shard's are held.
        trained: numbers that relearning trains; by default all.
        models: held at a time, as parent and child are.
        device: "cpu" or "cuda", for what the runtime takes by itself.
    """
    longest = tokens if longest is None else longest
    rows = max(1, tokens // 16) if rows is None else rows
    parts = {"weights": models * size.weights, "runtime": RUNTIME_BYTES[device.partition(":")[0]]}
    if work == "relearn":
        working = _relearning(size, tokens, longest, trained)
    else:
        working = _reading(work, size, tokens, longest, rows) | {
            "kept": min(kept, BYTES_A_SHARD) if work == "capture" else 0
        }
    # Weights of another dtype are read whole before they are converted, on the CPU, and gone
    # before the work begins: the larger of the two counts.
    read = size.in_file if device == "cpu" else 0
    parts["loading"] = max(0, read - sum(working.values()))
    return Needed(work, size.name, parts | working)


def _reading(work: Work, size: ModelSize, tokens: int, longest: int, rows: int) -> dict[str, int]:
    """Forwards without gradients."""
    parts = {}
    parts["activations"] = size.forward(tokens, longest)
    if work == "score":
        # The logits of two tokens a row as a rule, and of one the float32 copy and its exponential.
        parts["logits"] = rows * size.n_vocab * (2 * size.item + 8)
    if work == "generate":
        parts["logits"] = rows * size.n_vocab * 2 * size.item
        parts["cache"] = size.cache(tokens)
    return parts


def _relearning(size: ModelSize, tokens: int, longest: int, trained: int | None) -> dict[str, int]:
    """A copy is trained by AdamW; its best state so far and the newest are kept beside it."""
    n = size.n_weights if trained is None else trained
    masters = 0 if size.item >= 4 else 8 * n  # copies and their gradients in float32
    return {
        "copy": size.weights,
        "gradients": n * size.item,
        "optimizer": 8 * n + masters,
        "best states": 2 * n * size.item,
        "activations": size.backward(tokens, longest),
        # Logits, those predicted, in float32, their softmax, and the gradients of all of these.
        "logits": tokens * size.n_vocab * (3 * size.item + 12),
    }


def free_bytes(devices: Sequence[str]) -> int:
    """Bytes that are free: of CUDA devices together, or of this machine's memory.

    Raises:
        InputError: the system does not say (no /proc/meminfo).
    """
    cuda = [device for device in devices if device != "cpu"]
    if cuda:
        return sum(int(torch.cuda.mem_get_info(device)[0]) for device in cuda)
    try:
        lines = Path("/proc/meminfo").read_text(encoding="ascii").splitlines()
    except OSError as error:
        raise InputError("free memory: this system has no /proc/meminfo that says it") from error
    (kilobytes,) = (line.split()[1] for line in lines if line.startswith("MemAvailable:"))
    return int(kilobytes) * 1024


def require_memory(
    wants: Sequence[Needed], devices: Sequence[str], *, at_a_time: int = 1
) -> list[Needed]:
    """Refuses work that does not fit, before any of it starts.

    Args:
        wants: of each piece of work.
        devices: they run on together: those of one worker.
        at_a_time: pieces that share these devices' memory.

    Returns:
        The wants, the largest first.

    Raises:
        InputError: the largest does not fit; says of what it consists and what to lower.
    """
    ordered = sorted(wants, key=lambda want: -want.total)
    if not ordered:
        return ordered
    free, most = free_bytes(devices), sum(want.total for want in ordered[:at_a_time])
    if most > free:
        together = f", {at_a_time} at a time" if at_a_time > 1 else ""
        raise InputError(
            f"{ordered[0]} may be needed{together}, and {_size(free)} are free on "
            f"{', '.join(devices)}; {_advice(ordered[0], devices, at_a_time)}"
        )
    return ordered


def _advice(want: Needed, devices: Sequence[str], at_a_time: int) -> str:
    """Which setting to lower: by the part that takes most."""
    largest = max(want.parts, key=lambda part: want.parts[part])
    if largest in ("activations", "logits", "cache"):
        first = "lower batch_size" if want.work == "relearn" else "lower token_budget"
    else:
        first = "load in a narrower dtype (bfloat16)"
    others = ["--workers"] if at_a_time > 1 else []
    # A spread model is asked about with all of its devices.
    others += ["device_map: auto over several devices"] if _one_of_cuda(devices) else []
    return " or ".join([first, *(f"use {other}" for other in others)]) + ", or free some"


def _one_of_cuda(devices: Sequence[str]) -> bool:
    return len(devices) == 1 and devices[0] != "cpu"


def _first(config: Mapping[str, Any], names: Sequence[str], default: int | None = None) -> int:
    found = next((config[name] for name in names if config.get(name) is not None), default)
    if not isinstance(found, int):
        raise InputError(f"config.json: no {' or '.join(names)}, which memory is counted by")
    return found


def _size(n_bytes: int) -> str:
    return f"{n_bytes / 2**30:.1f} GB" if n_bytes >= 2**30 else f"{n_bytes / 2**20:.0f} MB"
