"""What is known of a trained dictionary, kept beside it, and a few rows that prove it unchanged."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import torch
from jaxtyping import Float
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from interp.errors import InputError

CARD, CHECK = "model_card.json", "check.safetensors"
_N_CHECKED = 32
_TOLERANCE = 5e-3


@runtime_checkable
class Autoencoder(Protocol):
    """What is measured: codes [n, m] of activations, and activations of codes."""

    def parameters(self) -> Iterator[Tensor]:
        """Weights."""

    def encode(self, acts: Tensor, /) -> Tensor:
        """Codes, 0 where a latent is silent."""

    def decode(self, codes: Tensor, /) -> Tensor:
        """Activations."""


@dataclass(frozen=True)
class Quality:
    """How well a dictionary holds rows.

    Attributes:
        fvu: share of the variance about the rows' mean that the reconstruction leaves.
        l0: active latents a row, on average.
        dead: share of the latents that no row activates.
        rows: measured on.
    """

    fvu: float
    l0: float
    dead: float
    rows: int


@torch.no_grad()
def quality(sae: Autoencoder, acts_ND: Float[Tensor, "n d"], batch: int = 4096) -> Quality:
    """Measures a dictionary on rows, `batch` at a time.

    Raises:
        InputError: no rows, or rows that are all equal.
    """
    left, active, fires_M = 0.0, 0, torch.zeros(1, dtype=torch.bool)
    for rows in acts_ND.split(batch):
        codes = sae.encode(rows)
        left += float((rows - sae.decode(codes)).double().square().sum())
        active += int((codes != 0).sum())
        fires_M = fires_M | (codes != 0).any(0).cpu()
    # In float64: rounding of the mean would give equal rows a variance.
    mean_D = acts_ND.mean(0, dtype=torch.float64)
    spread = float((acts_ND - mean_D).square().sum()) if len(acts_ND) else 0.0
    if not spread:
        raise InputError(f"dictionary: {len(acts_ND)} rows without variance; nothing to explain")
    dead = 1 - float(fires_M.float().mean())
    return Quality(left / spread, active / len(acts_ND), dead, len(acts_ND))


def write_card(
    folder: Path, card: Mapping[str, Any], sae: Autoencoder, acts_ND: Float[Tensor, "n d"]
) -> None:
    """Keeps a card, and what the dictionary makes of the first few rows."""
    rows = acts_ND[:_N_CHECKED].contiguous()
    with torch.no_grad():
        codes = sae.encode(rows)
        held = {"acts": rows, "out": sae.decode(codes), "l0": (codes != 0).sum(-1).int()}
    save_file({name: part.contiguous() for name, part in held.items()}, folder / CHECK)
    _write(folder, card)


def read_card(folder: Path) -> dict[str, Any]:
    """The card beside a dictionary; empty where there is none.

    Raises:
        InputError: it is damaged.
    """
    if not (folder / CARD).is_file():
        return {}
    try:
        return dict(json.loads((folder / CARD).read_text(encoding="utf-8")))
    except (TypeError, ValueError) as error:
        raise InputError(f"{folder / CARD}: damaged: {error}; train again") from error


def note(folder: Path, **values: Any) -> None:
    """Adds to a card what was measured later, such as the cross-entropy recovered."""
    _write(folder, read_card(folder) | values)


def refuse_other(place: Path, found: Mapping[str, Any], asked: Mapping[str, Any]) -> None:
    """Refuses what was trained otherwise than is asked for now.

    Raises:
        InputError: a field differs; the message names it.
    """
    for name, value in json.loads(json.dumps(dict(asked))).items():
        if found.get(name) != value:
            raise InputError(
                f"{place}: trained with `{name}` {found.get(name)}, not {value} as asked for now; "
                "delete the folder or choose another one"
            )


@torch.no_grad()
def check_unchanged(folder: Path, sae: Autoencoder) -> None:
    """Refuses a dictionary that does not do to the kept rows what it did when it was trained.

    A BatchTopK whose threshold was lost, another file of weights or another way of reading them
    loads without a word otherwise. Nothing is done where no rows were kept.

    Raises:
        InputError: other latents fire, another reconstruction comes out, or the rows are of another
            width or damaged.
    """
    if not (folder / CHECK).is_file():
        return
    weight = next(iter(sae.parameters()))
    try:
        held = {name: part.to(weight.device) for name, part in load_file(folder / CHECK).items()}
        codes = sae.encode(held["acts"])
        out, l0 = sae.decode(codes), (codes != 0).sum(-1)
        before_ND, before_N = held["out"], held["l0"]
    except (SafetensorError, KeyError, RuntimeError) as error:
        raise InputError(
            f"{folder}: the rows kept in {CHECK} cannot be encoded: {error}; train or copy it again"
        ) from error
    off = float((out - before_ND).norm() / before_ND.norm())
    # Rounding may move a value over a threshold, not many of them.
    apart = float((l0 - before_N).abs().float().mean() / before_N.float().mean().clamp(min=1))
    if not (off <= _TOLERANCE and apart <= _TOLERANCE):  # NaN is not
        raise InputError(
            f"{folder}: the dictionary is not the one that was trained: on {len(l0)} kept rows L0 "
            f"is {float(l0.float().mean()):.1f}, was {float(before_N.float().mean()):.1f}, and "
            f"its reconstruction differs by {off:.1%}; train or copy it again"
        )


def _write(folder: Path, card: Mapping[str, Any]) -> None:
    text = json.dumps(dict(card), indent=1, sort_keys=True, allow_nan=False) + "\n"
    partial = folder / f".{CARD}.partial"
    partial.write_text(text, encoding="utf-8")
    partial.replace(folder / CARD)
