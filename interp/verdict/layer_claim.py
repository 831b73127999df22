"""The layer claim: knowledge of ignorance stands below, and what changed acts above."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import pandas as pd
from scipy.stats import norm

from interp.errors import InputError
from interp.stats import Interval, tost
from interp.verdict.layer_curves import check_columns
from interp.verdict.layer_effects import EFFECTS

ClaimVerdict = Literal["holds", "does not hold", "undecided"]
Call = Literal["shown", "contradicted", "undecided"]

MARGIN = 0.05
"""The largest loss or gain of AUROC that does not matter; for bits, say another."""

SMALLEST = 0.05
"""The smallest effect of a block of layers, in J, that a claim about them is made of."""

PAIR = ["seed", "member", "target"]


@dataclass(frozen=True)
class Part:
    """One half of the claim.

    Attributes:
        call: shown, contradicted by an interval, or neither.
        reason: one sentence with the numbers.
    """

    call: Call
    reason: str


@dataclass(frozen=True)
class LayerClaim:
    """The claim about one pair and target.

    Attributes:
        verdict: "holds" if both parts are shown, "does not hold" if one is contradicted.
        information: whether the early layers lost nothing.
        causal: whether the late blocks do more than as many early ones.
    """

    verdict: ClaimVerdict
    information: Part
    causal: Part

    @property
    def reasons(self) -> tuple[str, str]:
        """Why, of both parts."""
        return self.information.reason, self.causal.reason


def layer_claim(
    losses: pd.DataFrame | None,
    difference: Interval | None,
    *,
    ends: tuple[Interval, Interval] | None = None,
    margin: float = MARGIN,
) -> LayerClaim:
    """Decides the claim for one pair from intervals; nothing is assumed where one is missing.

    "Knowledge in lower layers, reasoning in higher ones" rests on similarity curves between prompt
    formats (arXiv 2507.18178), without a causal test. Here it holds only if both are shown: every
    early layer where the parent holds something is equivalent to 0 in what the child lost (two
    one-sided tests at 5% each, so that all of them pass needs no correction), and the late blocks'
    effect is above that of as many early blocks. A part is contradicted only by its interval: a
    loss or gain beyond the margin at one of m early layers, at 5% over all of them (half-widths
    widened by z(1 - .05/m)/z(.95)), or an effect of late blocks below that of early ones.

    Args:
        losses: the early layers: columns layer, estimate, lo, hi (90%), informative. None if they
            were not measured.
        difference: late minus early effect at equal block size. None likewise.
        ends: the early and the late effect by themselves. If both are shown to be within
            `SMALLEST` of nothing, no blocks did anything, and the causal part stays undecided.
        margin: in the unit of the losses.

    Raises:
        InputError: the margin is not above zero.
    """
    information = _information(losses, margin)
    causal = _causal(difference, ends)
    calls = {information.call, causal.call}
    verdict: ClaimVerdict = "undecided"
    if calls == {"shown"}:
        verdict = "holds"
    elif "contradicted" in calls:
        verdict = "does not hold"
    return LayerClaim(verdict, information, causal)


def layer_claims(
    information: pd.DataFrame, effects: pd.DataFrame, *, margin: float = MARGIN
) -> pd.DataFrame:
    """The claim for every pair and target of a study.

    Early layers are those below the blocks that `effects` counts as early.

    Args:
        information: as from `interp.verdict.layer_curves.information_curve`.
        effects: as from `graft_effects` or `patch_effects`.
        margin: as for `layer_claim`.

    Returns:
        One row a pair and target of the information curve: seed, member, parent, target, verdict,
        information and causal (the calls), margin, n_blocks, early, late and difference with _lo
        and _hi (NaN where no effect was measured), reasons (both, joined by "; ").

    Raises:
        InputError: a missing column, an effect that comes twice, or layers beyond the model.
    """
    check_columns(
        "information curve",
        information,
        (*PAIR, "parent", "layer", "estimate", "lo", "hi", "informative"),
    )
    check_columns("layer effects", effects, (*PAIR, "effect", "n_blocks", "n_layers", "estimate"))
    if effects.duplicated([*PAIR, "effect"]).any():
        row = effects[effects.duplicated([*PAIR, "effect"])].iloc[0]
        raise InputError(
            f"layer effects: {row['effect']} of {row['member']} (seed {row['seed']}, target "
            f"{row['target']!r}) comes twice; give one block size and one kind of effect"
        )
    measured = dict(iter(effects.groupby(PAIR, sort=False)))
    rows: list[dict[str, Any]] = []
    for key, curve in information.groupby([*PAIR, "parent"], sort=False):
        place = dict(zip((*PAIR, "parent"), key, strict=True))
        found = measured.get(key[:3])
        if found is None:
            claim, numbers = (
                layer_claim(None, None, margin=margin),
                {"n_blocks": None} | _numbers({}),
            )
        else:
            size, n_layers = int(found["n_blocks"].iloc[0]), int(found["n_layers"].iloc[0])
            if curve["layer"].max() >= n_layers:
                raise InputError(
                    f"information curve: {key[1]} has layer {curve['layer'].max()}, but its "
                    f"effects are of {n_layers} layers"
                )
            by_name = {
                row.effect: Interval(row.estimate, row.lo, row.hi)
                for row in found.itertuples(index=False)
            }
            early, late = by_name.get("early"), by_name.get("late")
            claim = layer_claim(
                curve[curve["layer"] < size],
                by_name.get("difference"),
                ends=(early, late) if early and late else None,
                margin=margin,
            )
            numbers = {"n_blocks": size, **_numbers(by_name)}
        rows.append(
            {
                **place,
                "verdict": claim.verdict,
                "information": claim.information.call,
                "causal": claim.causal.call,
                "margin": margin,
                **numbers,
                "reasons": "; ".join(claim.reasons),
            }
        )
    return pd.DataFrame(rows)


def _information(losses: pd.DataFrame | None, margin: float) -> Part:
    if losses is None:
        return Part("undecided", "no effects say which layers are early")
    held = losses[losses["informative"].astype(bool)].sort_values("layer")
    if held.empty:
        return Part("undecided", "in no early layer does the parent hold anything to lose")
    values = {
        int(row.layer): Interval(row.estimate, row.lo, row.hi)
        for row in held.itertuples(index=False)
    }
    layers = ", ".join(map(str, values))
    worst = max(values, key=lambda layer: abs(values[layer].estimate))
    said = f"{_written(values[worst])} at layer {worst}"
    if all(tost(value, margin) for value in values.values()):
        return Part(
            "shown", f"early layers {layers} kept all within {margin:g}; the most moved by {said}"
        )
    widening = norm.ppf(1 - 0.05 / len(values)) / norm.ppf(0.95)
    for layer, value in sorted(values.items(), key=lambda item: -abs(item[1].estimate)):
        lo = value.estimate - widening * (value.estimate - value.lo)
        hi = value.estimate + widening * (value.hi - value.estimate)
        if lo > margin or hi < -margin:
            verb = "lost" if lo > margin else "gained"
            written = _written(Interval(value.estimate, lo, hi))
            return Part("contradicted", f"early layer {layer} {verb} beyond {margin:g}: {written}")
    return Part(
        "undecided", f"early layers {layers} not shown equivalent within {margin:g}: {said}"
    )


def _causal(difference: Interval | None, ends: tuple[Interval, Interval] | None) -> Part:
    if difference is None:
        return Part("undecided", "no effect of early and late blocks was measured")
    if ends is not None and all(end.lo > -SMALLEST and end.hi < SMALLEST for end in ends):
        early, late = (_written(end) for end in ends)
        return Part(
            "undecided",
            f"neither end does anything beyond {SMALLEST:g}: early {early}, late {late}",
        )
    said = f"late minus early effect {_written(difference)}"
    if difference.lo > 0:
        return Part("shown", f"late blocks do more: {said}")
    if difference.hi < 0:
        return Part("contradicted", f"early blocks do more: {said}")
    return Part("undecided", f"neither end does more: {said}")


def _written(value: Interval) -> str:
    # Adding 0 to what is rounded turns a minus 0 into a plain one.
    shown = [round(number, 3) + 0.0 for number in (value.estimate, value.lo, value.hi)]
    return "{:.3f} [{:.3f}, {:.3f}]".format(*shown)


def _numbers(values: dict[str, Interval]) -> dict[str, float]:
    nothing = Interval(float("nan"), float("nan"), float("nan"))
    return {
        column: number
        for name in EFFECTS
        for column, number in values.get(name, nothing).columns(name).items()
    }
