"""Does a curve by depth have a step, or is it flat? One change point, and its permutation p."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice, permutations
from math import comb, factorial
from typing import Literal

import numpy as np
import pandas as pd

from interp.errors import InputError
from interp.verdict.layer_curves import check_columns

_BLOCK = 1024


@dataclass(frozen=True)
class ChangePoint:
    """The best step in a curve by depth, against no step.

    Attributes:
        at: index of the first layer above the step, from 1.
        below: mean of the layers under it.
        above: mean of the layers from it on.
        p: of a step as large as this at any depth, if the curve is flat; 1 where all are equal.
        smallest_p: the least p that any curve of this many layers and rows can have: where it is
            above .05, a p above .05 says nothing.
        permuted: "layers" or "items".
    """

    at: int
    below: float
    above: float
    p: float
    smallest_p: float
    permuted: str


def change_point(
    values_RL: np.ndarray,
    *,
    permute: Literal["layers", "items"],
    n_perm: int = 9999,
    seed: int = 0,
    groups: Sequence[object] | np.ndarray | None = None,
) -> ChangePoint:
    """Finds the step that takes up most of the mean curve's spread over depth, and tests it.

    Model: mean a below layer k, mean b from it on, k from 1 to L - 1, against one mean. Statistic:
    T = max over k of k(L-k)/L (b - a)^2, the sum of squares that the step takes up; the p is that
    of the maximum, so the choice of k is paid for (Hinkley 1970; permutation: Antoch & Huskova
    2001, Statistics & Probability Letters 53:37). Both directions count.

    What is permuted depends on what a row is:
    - "layers": rows are whole curves (one per seed, or a single one), and each row's layers are
      shuffled by themselves. If the curve is flat, its layers' noise must be exchangeable. It is
      all that a table of estimates allows. Neighbouring layers of one model share most of what they
      hold, and a smooth drift passes for a step: a small p means "not flat", no more. Few layers
      cannot reach a small p: a single curve of six not below .1 by a clean step.
    - "items": rows are prompts, each with a value at every layer (its loss in bits, its change in
      p). Rows, less their own mean over layers, keep or flip their sign as wholes. If the curve is
      flat these are symmetric about 0. What layers share stays shared, so this is the one to take
      where there are values by item.

    Args:
        values_RL: R rows over L layers.
        permute: which of the two.
        n_perm: shuffles or flips; all of them are gone through, and p is exact, if they are no
            more than that.
        seed: of those drawn otherwise.
        groups: [R], rows that flip together (an entity's prompts); only for items.

    Raises:
        InputError: not [R, L] with R >= 1 and L >= 3, a value that is not finite, `n_perm` below 1,
            or groups that do not fit.
    """
    values_RL = np.asarray(values_RL, dtype=float)
    _check(values_RL, permute, n_perm, groups)
    n_rows, n_layers = values_RL.shape
    mean_L = values_RL.mean(0)
    gains_K = _gains(mean_L[None])[0]
    at = 1 + int(gains_K.argmax())
    rng = np.random.default_rng(seed)
    if permute == "layers":
        exact = n_rows == 1 and n_layers < 20 and factorial(n_layers) <= n_perm
        curves = _orders(values_RL[0]) if exact else _shuffled(values_RL, n_perm, rng)
        # A step in the middle is matched by its own layers in any order, and by its mirror image.
        smallest = 2 / comb(n_layers, n_layers // 2) ** n_rows
    else:
        sum_GL = _sums(values_RL - values_RL.mean(1, keepdims=True), groups)
        exact = len(sum_GL) < 63 and 2 ** len(sum_GL) <= n_perm
        curves = _flipped(sum_GL, rng, 2 ** len(sum_GL) if exact else n_perm, exact=exact)
        smallest = 2.0 ** (1 - len(sum_GL))
    # Ties up to rounding are ties.
    reached = gains_K.max() * (1 - 1e-9)
    seen, exceed = 0, 0
    for curves_BL in curves:
        seen += len(curves_BL)
        exceed += int((_gains(curves_BL).max(1) >= reached).sum())
    p = exceed / seen if exact else (1 + exceed) / (1 + seen)
    flat = np.ptp(values_RL, axis=1).max() == 0
    return ChangePoint(
        at,
        float(mean_L[:at].mean()),
        float(mean_L[at:].mean()),
        1.0 if flat else p,
        max(smallest, 0.0 if exact else 1 / (1 + n_perm)),
        permute,
    )


def change_points(curves: pd.DataFrame, *, n_perm: int = 9999, seed: int = 0) -> pd.DataFrame:
    """The best step of each curve of a study, and whether the curve is flat, over its seeds.

    Tables hold one estimate a layer, so layers are permuted, each seed's by themselves. Layers
    where the parent holds nothing in some seed are left out: nothing can be lost there, which is no
    step.

    Args:
        curves: as from `interp.verdict.layer_curves`.
        n_perm: as for `change_point`.
        seed: as for `change_point`.

    Returns:
        One row a member, target and curve: at (the first layer above the step), below, above, p,
        smallest_p, permuted, n_seeds. A curve of fewer than 3 layers that all seeds have is left
        out.

    Raises:
        InputError: a missing column, or no rows.
    """
    check_columns(
        "layer curves",
        curves,
        ("seed", "member", "target", "curve", "layer", "estimate", "informative"),
    )
    held = curves.assign(estimate=curves["estimate"].where(curves["informative"].astype(bool)))
    rows = []
    for keys, of_curve in held.groupby(["member", "target", "curve"], sort=False):
        values_SL = of_curve.pivot(index="seed", columns="layer", values="estimate").dropna(axis=1)
        if values_SL.shape[1] < 3:
            continue
        found = change_point(values_SL.to_numpy(), permute="layers", n_perm=n_perm, seed=seed)
        place = dict(zip(("member", "target", "curve"), keys, strict=True))
        step = vars(found) | {"at": int(values_SL.columns[found.at])}
        rows.append(place | step | {"n_seeds": len(values_SL)})
    return pd.DataFrame(rows)


def _gains(curves_BL: np.ndarray) -> np.ndarray:
    """Sum of squares that a step before each of the layers 1 to L - 1 takes up, [B, L - 1]."""
    n_layers = curves_BL.shape[1]
    centred_BL = curves_BL - curves_BL.mean(1, keepdims=True)
    k_K = np.arange(1, n_layers)
    # The mean of what is centred is 0, so the two sums of a split are each other's negative.
    return centred_BL.cumsum(1)[:, :-1] ** 2 * n_layers / (k_K * (n_layers - k_K))


def _orders(row_L: np.ndarray) -> Iterator[np.ndarray]:
    """A row's layers in every order [B, L], in blocks."""
    orders = permutations(range(len(row_L)))
    while block := list(islice(orders, _BLOCK)):
        yield row_L[np.array(block)]


def _shuffled(values_RL: np.ndarray, n_perm: int, rng: np.random.Generator) -> Iterator[np.ndarray]:
    """Mean curves [B, L] of rows whose layers are shuffled, each row's by themselves, in blocks."""
    for start in range(0, n_perm, _BLOCK):
        each = min(_BLOCK, n_perm - start)
        shuffled = [rng.permuted(np.tile(row_L, (each, 1)), axis=1) for row_L in values_RL]
        yield np.mean(shuffled, axis=0)


def _sums(centred_RL: np.ndarray, groups: Sequence[object] | np.ndarray | None) -> np.ndarray:
    """What each group adds to the mean curve, [G, L]."""
    names_R = np.arange(len(centred_RL)) if groups is None else np.asarray(groups)
    group_R = np.unique(names_R, return_inverse=True)[1]
    sum_GL = np.zeros((int(group_R.max()) + 1, centred_RL.shape[1]))
    np.add.at(sum_GL, group_R, centred_RL)
    return sum_GL / len(centred_RL)


def _flipped(
    sum_GL: np.ndarray, rng: np.random.Generator, n_flips: int, *, exact: bool
) -> Iterator[np.ndarray]:
    """Mean curves [B, L] of groups with flipped signs, in blocks."""
    n_groups = len(sum_GL)
    for start in range(0, n_flips, _BLOCK):
        each = min(_BLOCK, n_flips - start)
        flip_BG = (
            np.arange(start, start + each)[:, None] >> np.arange(n_groups) & 1
            if exact
            else rng.integers(0, 2, (each, n_groups))
        )
        yield (1 - 2 * flip_BG) @ sum_GL


def _check(
    values_RL: np.ndarray,
    permute: str,
    n_perm: int,
    groups: Sequence[object] | np.ndarray | None,
) -> None:
    if values_RL.ndim != 2 or not len(values_RL) or values_RL.shape[1] < 3:
        raise InputError(
            f"change point: values have shape {values_RL.shape}; expected rows over at least 3 "
            "layers, [R, L]"
        )
    if not np.isfinite(values_RL).all():
        row, layer = np.argwhere(~np.isfinite(values_RL))[0]
        raise InputError(f"change point: row {row} has no finite value at layer {layer}")
    if n_perm < 1:
        raise InputError(f"change point: n_perm={n_perm}; expected at least 1")
    if groups is not None and (permute == "layers" or len(groups) != len(values_RL)):
        raise InputError(
            "change point: groups are for items, one for each row; leave them out otherwise"
        )
