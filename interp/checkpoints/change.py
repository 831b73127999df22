"""How far training moved each block: the weights of a child against its parent's."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, replace
from typing import Any

import pandas as pd
import torch
from safetensors import safe_open
from torch import Tensor

from interp.checkpoints import files
from interp.checkpoints.checkpoint import Checkpoint
from interp.errors import InputError

PARTS = ("attention", "mlp", "norms", "other", "embedding", "final_norm", "head")
"""Of a block: attention, MLP, its norms and what else it holds; then the parts outside of blocks.
Norms inside of attention (of queries and keys) count among the norms."""

BLOCK = "all"
"""The name of a whole block among the parts."""

_AT_ONCE = 2**22
"""Most numbers of a tensor held at a time, in float64."""

_IN_BLOCK = re.compile(r"(?:^|\.)(?:layers|h)\.(\d+)\.(.+)$")
_STACK = re.compile(r"^(.*?(?:layers|h))\.\d+\.")
_HEAD = re.compile(r"(?:^|\.)(?:lm_head|embed_out)\.weight$")
_TOKENS = re.compile(r"(?:^|\.)(?:embed_tokens|wte|embed_in)\.weight$")
_POSITIONS = re.compile(r"(?:^|\.)(?:wpe|embed_positions)\.weight$")
_FINAL_NORM = re.compile(r"(?:^|\.)(?:norm|ln_f|final_layer_?norm)\.(?:weight|bias)$")
# Masks and rotary frequencies that old checkpoints carry along: no training moves them.
_CONSTANT = re.compile(r"(?:^|\.)(?:(?:attn|attention)\.(?:bias|masked_bias)|.*inv_freq)$")
_NORM = re.compile(r"norm|^ln_")
_ATTENTION = ("self_attn", "attention", "attn", "self_attention")
_MLP = ("mlp", "block_sparse_moe", "feed_forward")


@dataclass(frozen=True)
class _Squares:
    """Sums of squares, and the numbers they are over: those of several tensors add up."""

    moved: float = 0.0
    size: float = 0.0
    rounded: float = 0.0
    n: int = 0

    def __add__(self, other: _Squares) -> _Squares:
        return _Squares(
            self.moved + other.moved,
            self.size + other.size,
            self.rounded + other.rounded,
            self.n + other.n,
        )

    def row(self, layer: int, part: str) -> dict[str, Any]:
        return {
            "layer": layer,
            "part": part,
            "change": self._relative(self.moved),
            "difference": self.moved**0.5,
            "norm": self.size**0.5,
            "rounding": self._relative(self.rounded),
            "n_parameters": self.n,
        }

    def _relative(self, squares: float) -> float:
        if squares == 0:
            return 0.0
        return (squares / self.size) ** 0.5 if self.size else float("nan")


def weight_changes(
    parent: Checkpoint, child: Checkpoint, *, shared_vocabulary: bool = False
) -> pd.DataFrame:
    """Relative Frobenius norm of the weight difference, by block and by part of a block.

    change = ||child - parent|| / ||parent|| over all weights of the part, 0 where not a bit moved.
    Files are read piece by piece, in pieces of 4 million numbers: neither model is ever in memory.
    A large change is no effect: what a block's change does is for grafts to say. In narrow models
    the gains of norms, each about 1, are much of a block's norm: look at the parts too.

    Args:
        parent: a folder with safetensors weights.
        child: of the same architecture: the same tensors of the same shapes. A head that is tied
            to the embedding in one of them is compared as if it stood there.
        shared_vocabulary: where one of the two has more rows in its embedding and head (tokens
            added at the end of the vocabulary), compare the rows that both have.

    Returns:
        One row a place, columns layer (the block's number; -1: the embedding; the number of blocks:
        final norm and head), part ("all" of a block, then those of `PARTS` it has), change,
        difference (||child - parent||), norm (||parent||), rounding (the change that rounding the
        parent to the child's dtype makes alone: what stands no higher is no training), and
        n_parameters. A change relative to nothing (biases that were all 0) is NaN.

    Raises:
        InputError: a folder without safetensors, an adapter, tensors that are not in both or differ
            in shape (all are counted, the first is named), weights that are quantised or not
            finite.
    """
    pair = f"weight changes from {parent.name} to {child.name}"
    for checkpoint in (parent, child):
        _refuse_adapter(pair, checkpoint)
    with ExitStack() as opened:
        ours, theirs = (_opened(checkpoint, opened) for checkpoint in (parent, child))
        _tie(ours, theirs)
        _check_same(pair, ours, theirs, shared_vocabulary)
        n_blocks = 1 + max(int(found[1]) for name in ours if (found := _IN_BLOCK.search(name)))
        sums: dict[tuple[int, str], _Squares] = {}
        for name in sorted(ours):
            layer, part = _place(name, n_blocks)
            here = _compared(pair, name, ours[name], theirs[name])
            for within in (part, BLOCK) if 0 <= layer < n_blocks else (part,):
                sums[layer, within] = sums.get((layer, within), _Squares()) + here
    order = (BLOCK, *PARTS)
    places = sorted(sums, key=lambda place: (place[0], order.index(place[1])))
    return pd.DataFrame([sums[place].row(*place) for place in places])


@dataclass(frozen=True)
class _Stored:
    """A tensor that lies in a file, read only where it is asked for."""

    file: Any
    name: str
    shape: tuple[int, ...]
    dtype: torch.dtype

    def pieces(self, shape: tuple[int, ...]) -> Iterator[Tensor]:
        """The first rows that a tensor of this shape has, some of them at a time."""
        if not shape:
            yield self.file.get_tensor(self.name)
            return
        stored = self.file.get_slice(self.name)
        each = 1
        for size in shape[1:]:
            each *= size
        step = max(1, _AT_ONCE // max(1, each))
        for start in range(0, shape[0], step):
            yield stored[start : min(start + step, shape[0])]


def _opened(checkpoint: Checkpoint, opened: ExitStack) -> dict[str, _Stored]:
    files.check_folder(checkpoint.path)
    files.check_weights(checkpoint.path)
    stored = {}
    for path in files.weight_files(checkpoint.path):
        file = opened.enter_context(safe_open(path, framework="pt"))
        for name in file.keys():  # noqa: SIM118 - it is no dict
            if _CONSTANT.search(name):
                continue
            view = file.get_slice(name)
            shape = tuple(view.get_shape())
            dtype = (view[:0] if shape else file.get_tensor(name)).dtype
            stored[name] = _Stored(file, name, shape, dtype)
    return stored


def _tie(ours: dict[str, _Stored], theirs: dict[str, _Stored]) -> None:
    """Puts a head where only the other has one: tied heads are not saved."""
    for having, lacking in ((ours, theirs), (theirs, ours)):
        tokens = [name for name in lacking if _TOKENS.search(name)]
        for name in [name for name in having if _HEAD.search(name) and name not in lacking]:
            if tokens:
                lacking[name] = replace(lacking[tokens[0]])


def _check_same(
    pair: str, ours: dict[str, _Stored], theirs: dict[str, _Stored], shared_vocabulary: bool
) -> None:
    needs = "; a comparison needs two checkpoints of one architecture"
    if alone := sorted(ours.keys() ^ theirs.keys()):
        whose = "parent" if alone[0] in ours else "child"
        raise InputError(
            f"{pair}: {len(alone)} tensors are in one of the two only, the first is {alone[0]}, of "
            f"the {whose}{needs}"
        )
    for name, stored in ours.items():
        shapes = stored.shape, theirs[name].shape
        if shapes[0] == shapes[1]:
            continue
        vocabulary = bool(_TOKENS.search(name) or _HEAD.search(name))
        if vocabulary and shapes[0][1:] == shapes[1][1:]:
            if shared_vocabulary:
                continue
            needs = "; shared_vocabulary=True compares the tokens that both have"
        raise InputError(f"{pair}: {name} has the shapes {shapes[0]} and {shapes[1]}{needs}")
    stacks = {found[1] for name in ours if _IN_BLOCK.search(name) and (found := _STACK.match(name))}
    if len(stacks) != 1:
        raise InputError(
            f"{pair}: expected one stack of blocks (layers.0., h.0.), found "
            f"{', '.join(sorted(stacks)) or 'none'}; save the language model by itself"
        )


def _refuse_adapter(pair: str, checkpoint: Checkpoint) -> None:
    if checkpoint.adapter is not None:
        raise InputError(
            f"{pair}: {checkpoint.name} is an adapter over other weights; merge it into them and "
            "save the whole (`merge_and_unload`, `save_pretrained`)"
        )


def _place(name: str, n_blocks: int) -> tuple[int, str]:
    if found := _IN_BLOCK.search(name):
        components = found[2].split(".")
        if any(_NORM.search(component) for component in components):
            return int(found[1]), "norms"
        if components[0] in _ATTENTION:
            return int(found[1]), "attention"
        return int(found[1]), "mlp" if components[0] in _MLP else "other"
    if _TOKENS.search(name) or _POSITIONS.search(name):
        return -1, "embedding"
    if _FINAL_NORM.search(name):
        return n_blocks, "final_norm"
    return n_blocks, "head" if _HEAD.search(name) else "other"


def _compared(pair: str, name: str, parent: _Stored, child: _Stored) -> _Squares:
    for dtype in (parent.dtype, child.dtype):
        if not dtype.is_floating_point or dtype.itemsize < 2:
            raise InputError(
                f"{pair}: {name} is of {dtype}, so these weights are quantised and say nothing "
                "without their scales; take the checkpoint in float32, bfloat16 or float16"
            )
    shape = min(parent.shape, child.shape)
    total = _Squares()
    for ours, theirs in zip(parent.pieces(shape), child.pieces(shape), strict=True):
        was, now = ours.double(), theirs.double()
        rounding = was - ours.to(theirs.dtype).double()
        moved = (now - was).square().sum().item()
        size = was.square().sum().item()
        if not torch.isfinite(torch.tensor([moved, size])).all():
            raise InputError(f"{pair}: {name} holds a NaN or Inf; fetch or train it again")
        total += _Squares(moved, size, rounding.square().sum().item(), ours.numel())
    return total
