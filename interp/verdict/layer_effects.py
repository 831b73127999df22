"""What the lower and the upper blocks of a child do, as many of one as of the other."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from interp.errors import InputError
from interp.stats import Interval, hierarchical_bootstrap
from interp.verdict.layer_curves import KEYS, check_columns, grafts_by_pair

EFFECTS = ("early", "late", "difference")
"""Of the lowest n blocks, of the highest n, and late minus early."""


def graft_effects(graft: pd.DataFrame, *, n_blocks: int | None = None) -> pd.DataFrame:
    """Effects from a table of grafts, with intervals that hold whatever the grafts share.

    early = J(parent) - J(lowest n blocks from the child), late = J(parent) - J(highest n from it);
    of their difference the parent's J drops out. The table has an interval for each J by itself,
    not how they vary together over the same questions; so half-widths are added, which covers the
    most adverse correlation (the standard error of a difference is at most the sum of the two).
    `paired_effects` is narrower where values by question are at hand.

    The embedding comes along with the lower blocks, final norm and head with the upper ones. With
    half of an even number of blocks on each side the difference is also what giving the upper half
    back to the child restores, less what giving back the lower half does.

    Args:
        graft: columns seed, member, part (lower, upper), n_layers, estimate, lo, hi, and `parent`
            and `target` where there are several.
        n_blocks: n, by default half of the blocks (less one half if they are odd: the middle block
            then stands on neither side). To be said before the effects are seen.

    Returns:
        One row a pair and effect: seed, member, parent, target, n_layers, n_blocks, effect (one of
        `EFFECTS`), estimate, lo, hi.

    Raises:
        InputError: a missing column or graft, or more than half of the blocks.
    """
    columns = {name: grafts_by_pair(graft, name) for name in ("estimate", "lo", "hi")}
    rows: list[dict[str, Any]] = []
    for keys, (lower_L, _) in columns["estimate"].items():
        size = _size(len(lower_L) - 1, n_blocks)
        place = {**dict(zip(KEYS, keys, strict=True)), "n_layers": len(lower_L) - 1}

        def at(part: int, n: int, keys: tuple[object, ...] = keys) -> Interval:
            return Interval(*(float(columns[name][keys][part][n]) for name in columns))

        parent, lower, upper = at(0, 0), at(0, size), at(1, size)
        rows += _rows(place, size, minus(parent, lower), minus(parent, upper), minus(lower, upper))
    return pd.DataFrame(rows)


def patch_effects(
    patches: pd.DataFrame, n_layers: int, *, n_blocks: int | None = None
) -> pd.DataFrame:
    """Effects from patches of single layers: the mean of the lowest n and of the highest n.

    A patch of what one layer adds (`attn_out`, `mlp_out`) is that layer's own effect. A patch of
    the residual stream carries what all layers below have done to it, so its curve rises with depth
    whatever the layers do: late above early in it says nothing, and this is not to be asked of it.

    Args:
        patches: columns seed, member, layer, estimate, lo, hi (PE_l, the share of the gap between
            parent and child that patching layer l alone closes), and `parent` and `target`.
        n_layers: of the models.
        n_blocks: as `graft_effects`.

    Returns:
        As `graft_effects`; half-widths are added here too.

    Raises:
        InputError: a missing column, or a layer of either side that is missing or comes twice.
    """
    check_columns("patch table", patches, ("seed", "member", "layer", "estimate", "lo", "hi"))
    size = _size(n_layers, n_blocks)
    named = patches.assign(
        parent=patches.get("parent", ""), target=patches.get("target", "should_abstain")
    )
    rows: list[dict[str, Any]] = []
    for keys, of_pair in named.groupby([*KEYS], sort=False):
        sides = []
        for layers in (range(size), range(n_layers - size, n_layers)):
            side = of_pair[of_pair["layer"].isin(layers)].sort_values("layer")
            if side["layer"].tolist() != list(layers):
                raise InputError(
                    f"patch table: {keys[1]} (seed {keys[0]}) has layers {side['layer'].tolist()} "
                    f"of {list(layers)}; expected each once"
                )
            # The half-width of a mean is at most the mean of half-widths.
            sides.append(Interval(*(float(side[name].mean()) for name in ("estimate", "lo", "hi"))))
        place = {**dict(zip(KEYS, keys, strict=True)), "n_layers": n_layers}
        rows += _rows(place, size, sides[0], sides[1], minus(sides[1], sides[0]))
    return pd.DataFrame(rows)


def paired_effects(
    items: pd.DataFrame, *, unit: str, n_boot: int = 5000, seed: int = 0, level: float = 0.95
) -> dict[str, Interval]:
    """Effects from the grafts' values of each question, resampled together.

    Args:
        items: one row a question: `unit`, should_abstain, and parent, lower and upper, the
            probability of abstaining under the parent, and with the lowest and the highest n
            blocks from the child.
        unit: column of what is resampled, e.g. "pair_id".
        n_boot: resamples.
        seed: of the resampling.
        level: coverage.

    Returns:
        Effect (one of `EFFECTS`) -> interval, in J: over questions to abstain on, less the others.

    Raises:
        InputError: a missing column, no rows, one class only, or a value that is not finite.
    """
    check_columns("graft items", items, (unit, "should_abstain", "parent", "lower", "upper"))
    label_N = items["should_abstain"].to_numpy(bool)
    value_NC = items[["parent", "lower", "upper"]].to_numpy(float)
    if label_N.all() or not label_N.any() or not np.isfinite(value_NC).all():
        raise InputError(
            "graft items: expected both classes of should_abstain and finite values in parent, "
            "lower and upper"
        )
    pairs = {"early": (0, 1), "late": (0, 2), "difference": (1, 2)}

    def effect(name: str) -> Interval:
        before, after = pairs[name]
        fall_N = value_NC[:, before] - value_NC[:, after]

        def statistic(weights_BN: np.ndarray) -> np.ndarray:
            with np.errstate(invalid="ignore"):
                of_class = [
                    weights_BN[:, rows] @ fall_N[rows] / weights_BN[:, rows].sum(1)
                    for rows in (label_N, ~label_N)
                ]
            return of_class[0] - of_class[1]

        return hierarchical_bootstrap(
            statistic,
            {unit: items[unit].to_numpy()},
            n_boot=n_boot,
            seed=seed,
            level=level,
            strata=label_N,
        )

    return {name: effect(name) for name in EFFECTS}


def minus(a: Interval, b: Interval) -> Interval:
    """The difference a - b, with an interval for whatever way the two vary together."""
    return Interval(
        a.estimate - b.estimate,
        a.estimate - b.estimate - (a.estimate - a.lo) - (b.hi - b.estimate),
        a.estimate - b.estimate + (a.hi - a.estimate) + (b.estimate - b.lo),
    )


def _size(n_layers: int, n_blocks: int | None) -> int:
    size = n_layers // 2 if n_blocks is None else n_blocks
    if not 1 <= size <= n_layers // 2:
        raise InputError(
            f"layer effects: {size} blocks a side of {n_layers}; expected 1 to {n_layers // 2}, so "
            "that no block stands on both"
        )
    return size


def _rows(
    place: dict[str, Any], size: int, early: Interval, late: Interval, difference: Interval
) -> list[dict[str, Any]]:
    found = dict(zip(EFFECTS, (early, late, difference), strict=True))
    return [
        {**place, "n_blocks": size, "effect": name, **value.columns()}
        for name, value in found.items()
    ]
