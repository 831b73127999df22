"""Three curves by depth for a pair: information lost, change made, and the effect of the change."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd

from interp.errors import InputError

KEYS = ("seed", "member", "parent", "target")
COLUMNS = (*KEYS, "curve", "layer", "estimate", "lo", "hi", "informative")
"""What every curve's table has. `informative`: whether the parent holds anything there to lose;
true in all other curves."""

CURVES = ("information", "weights", "activations", "causal")
ABSTENTION = "should_abstain"
"""The target of tables that name none."""


def information_curve(
    preservation: pd.DataFrame,
    *,
    position: str,
    site: str = "resid_post",
    margin: float = 0.05,
) -> pd.DataFrame:
    """Information lost by layer, dI_l = I_l of the parent minus I_l of the child, at one position.

    Layers are comparable at one position and kind of site alone, and which is to be named before
    the curve is seen: a claim taken from the best of several is no claim.

    Args:
        preservation: columns seed, member, parent, target, site, layer, position, estimate, lo, hi
            (child minus parent, with its 90% interval: AUROC, or bits), and parent_auroc and
            control, or `informative`.
        position: as in the table.
        site: as in the table; layers below 0, which are no blocks, are left out.
        margin: the parent holds something at a layer if it is above its control by more.

    Returns:
        `COLUMNS`; a loss is positive. Rows of a model beside itself are left out.

    Raises:
        InputError: a missing column, no such position or site, or a layer that comes twice.
    """
    need = ("seed", "member", "parent", "target", "site", "layer", "position")
    check_columns("preservation table", preservation, (*need, "estimate", "lo", "hi"))
    rows = preservation[
        (preservation["member"] != preservation["parent"]) & (preservation["layer"] >= 0)
    ]
    for column, value in (("position", position), ("site", site)):
        there = sorted(rows[column].unique())
        rows = rows[rows[column] == value]
        if rows.empty:
            raise InputError(
                f"information curve: no {column} {value!r} in the preservation table; it has "
                f"{', '.join(there) or 'no child beside its parent'}"
            )
    if "informative" not in rows.columns:
        check_columns("preservation table", rows, ("parent_auroc", "control"))
        rows = rows.assign(informative=rows["parent_auroc"] - rows["control"] > margin)
    losses = {"estimate": -rows["estimate"], "lo": -rows["hi"], "hi": -rows["lo"]}
    return _curve(rows.assign(**losses), "information")


def weight_curve(changes: pd.DataFrame, *, part: str = "all") -> pd.DataFrame:
    """Relative change of the weights by block.

    Args:
        changes: rows of `interp.checkpoints.change.weight_changes` under seed, member and parent.
        part: "all" of a block, or one part of it.

    Raises:
        InputError: a missing column, no such part, or a layer that comes twice.
    """
    check_columns(
        "weight changes", changes, ("seed", "member", "parent", "layer", "part", "change")
    )
    # What lies outside of the blocks has parts of its own, never "all".
    rows = changes[(changes["part"] == part) & (changes["member"] != changes["parent"])]
    if rows.empty:
        parts = ", ".join(sorted(changes["part"].unique()))
        raise InputError(f"weight curve: no part {part!r} in the table; it has {parts}")
    nothing = float("nan")
    return _curve(
        rows.assign(target="", estimate=rows["change"], lo=nothing, hi=nothing), "weights"
    )


def activation_curve(
    transfer: pd.DataFrame, *, position: str, site: str = "resid_post"
) -> pd.DataFrame:
    """Change of the activations by layer, 1 minus the debiased CKA of child and parent.

    Args:
        transfer: columns seed, member, parent, target, site, layer, position, measure, estimate;
            its rows of the measure "cka".
        position: as in the table.
        site: as in the table.

    Raises:
        InputError: a missing column, no such rows, or a layer that comes twice.
    """
    need = ("seed", "member", "parent", "site", "layer", "position", "measure", "estimate")
    check_columns("transfer table", transfer, need)
    rows = transfer[
        (transfer["measure"] == "cka")
        & (transfer["position"] == position)
        & (transfer["site"] == site)
        & (transfer["layer"] >= 0)
        & (transfer["member"] != transfer["parent"])
    ]
    if rows.empty:
        raise InputError(f"activation curve: no cka at {site}, {position!r} in the transfer table")
    # Activations are of prompts, whatever the labels: one row a layer.
    rows = rows.drop_duplicates(["seed", "member", "layer"])
    nothing = float("nan")
    moved = rows.assign(target="", estimate=1 - rows["estimate"], lo=nothing, hi=nothing)
    return _curve(moved, "activations")


def causal_curve(effects: pd.DataFrame) -> pd.DataFrame:
    """The effect of each single block of the child.

    Args:
        effects: grafts or patches. Grafts: columns seed, member, part (lower, upper), n_layers,
            estimate: J with so many blocks from the child. A block's effect is what J falls by when
            it joins the child's blocks, the mean of joining from below and from above, so that all
            effects sum to what the child lost (as embedding, final norm and head come along with
            the first block from either side, they count with it). It has no interval: those of J
            are of each graft by itself. Patches: columns seed, member, layer, estimate, lo, hi,
            taken as they are. With `parent` and `target` where there are several.

    Raises:
        InputError: a missing column, a graft of some size that is missing, or a layer that comes
            twice.
    """
    if "n_layers" not in effects.columns:
        check_columns("patch table", effects, ("seed", "member", "layer", "estimate", "lo", "hi"))
        return _curve(effects, "causal")
    curves = []
    for keys, (lower_L, upper_L) in grafts_by_pair(effects).items():
        # The last n blocks join from above in the order of n, so block l with n = L - l.
        drops = -lower_L.diff().to_numpy()[1:], -upper_L.diff().to_numpy()[1:][::-1]
        frame = pd.DataFrame({"layer": range(len(drops[0])), "estimate": (drops[0] + drops[1]) / 2})
        curves.append(frame.assign(**dict(zip(KEYS, keys, strict=True)), lo=float("nan")))
    return _curve(pd.concat(curves).assign(hi=float("nan")), "causal")


def grafts_by_pair(
    graft: pd.DataFrame, value: str = "estimate"
) -> dict[tuple[object, ...], tuple[pd.Series, pd.Series]]:
    """A column of the grafts of each pair by number of blocks, lower and upper, each from 0 to L.

    Raises:
        InputError: a missing column, or a graft of some size that is missing or comes twice.
    """
    check_columns("graft table", graft, ("seed", "member", "part", "n_layers", value))
    found: dict[tuple[object, ...], tuple[pd.Series, pd.Series]] = {}
    filled = _filled(graft)
    for keys, rows in filled[filled["member"] != filled["parent"]].groupby([*KEYS], sort=False):
        sizes = list(range(int(rows["n_layers"].max()) + 1))
        parts = []
        for part in ("lower", "upper"):
            of_part = rows[rows["part"] == part].sort_values("n_layers")
            if of_part["n_layers"].tolist() != sizes:
                raise InputError(
                    f"graft table: {keys[1]} (seed {keys[0]}) has {part} grafts of "
                    f"{of_part['n_layers'].tolist()} blocks; expected each of {sizes} once"
                )
            parts.append(of_part.set_index("n_layers")[value])
        found[keys] = parts[0], parts[1]
    return found


def of_pairs(information: pd.DataFrame, *others: pd.DataFrame) -> pd.DataFrame:
    """All curves in one table: those of the information curve's members, with their parents.

    Args:
        information: as from `information_curve`: it says which pairs there are.
        others: the other curves. A table of grafts names no parent, and may have it as a member.

    Raises:
        InputError: two tables hold one curve, or none of another table is of these members.
    """
    parents = information.drop_duplicates("member").set_index("member")["parent"]
    kept = [information]
    for other in others:
        rows = other[other["member"].isin(parents.index)]
        if rows.empty:
            raise InputError(
                f"{other['curve'].iloc[0]} curve: none of the members {', '.join(parents.index)}"
            )
        kept.append(rows.assign(parent=rows["member"].map(parents)))
    curves = pd.concat(kept, ignore_index=True)
    if curves.duplicated([*KEYS, "curve", "layer"]).any():
        raise InputError("layer curves: one curve stands in two of the tables")
    return curves


def check_columns(what: str, frame: pd.DataFrame, columns: Sequence[str]) -> None:
    """Refuses a table without rows or without one of the columns.

    Raises:
        InputError: as said.
    """
    if missing := [column for column in columns if column not in frame.columns]:
        raise InputError(f"{what}: no column {', '.join(missing)}; expected {', '.join(columns)}")
    if frame.empty:
        raise InputError(f"{what}: no rows")


def _filled(frame: pd.DataFrame) -> pd.DataFrame:
    missing = {"parent": "", "target": ABSTENTION, "informative": True}
    return frame.assign(**{k: v for k, v in missing.items() if k not in frame.columns})


def _curve(rows: pd.DataFrame, curve: str) -> pd.DataFrame:
    named = _filled(rows).assign(curve=curve)
    twice = named.duplicated([*KEYS, "layer"])
    if twice.any():
        row = named[twice].iloc[0]
        raise InputError(
            f"{curve} curve: {row['member']} (seed {row['seed']}, target {row['target']!r}) has "
            f"layer {row['layer']} twice; keep one row a layer"
        )
    return named.sort_values([*KEYS, "layer"], kind="stable")[list(COLUMNS)].reset_index(drop=True)
