"""How often debaters are persuaded: by arm, by fallacies against logic, and by model."""

from __future__ import annotations

from typing import Any

import pandas as pd

from interp.behavior.reasoning.contrasts import contrast_table
from interp.behavior.tables import check_columns
from interp.errors import InputError

OUTCOMES = ("claim_id", "arm", "repeat", "opening", "at_risk", "flipped", "ended")
UNITS = ("claim_id",)


def flip_table(
    outcomes: pd.DataFrame,
    *,
    logical: str = "logical",
    fallacious: str = "fallacious",
    against: str | None = None,
    seed: int = 0,
    n_boot: int = 1000,
) -> pd.DataFrame:
    """Flip rates with intervals over claims, and differences on the same claims.

    A dialogue is at risk if the debater disagreed before any argument; the flip rate is the share
    of those that ended in agreement. A dialogue that ran out of room or arguments counts as not
    flipped (`exclusion_table` counts them). Arms of a model share their openings, so their
    difference is between the same dialogues. Models are compared by claim, over the claims that
    both disagreed with at least once: each model's rate over its own repeats, claims alike.

    Args:
        outcomes: as from `interp.behavior.reasoning.persuasion.debates`; with a column `model`
            where there are several.
        logical: name of the arm that others are compared with.
        fallacious: name of the arm whose difference to it is the gap.
        against: the model that others are compared with; None compares none.
        seed: of the bootstrap.
        n_boot: resamples.

    Returns:
        Columns model, arm, against (the arm or model that the difference is to; "" for a rate by
        itself), measure, estimate, lo, hi (95%), n, excluded. Measures: flip_rate (n dialogues at
        risk), flip_difference to the logical arm (n dialogues at risk), rate_by_claim and its
        difference between models (n claims), and gap, the fallacious less the logical rate of a
        claim, under the arm "fallacious - logical" (n claims). Limits are NaN over fewer than 6
        claims.

    Raises:
        InputError: no rows, a missing column or arm, a dialogue twice, a model that is not there,
            or a flip without being at risk.
    """
    named = _checked(outcomes)
    arms = set(named["arm"])
    if logical not in arms:
        raise InputError(f"flip table: no arm {logical!r}; there are {', '.join(sorted(arms))}")
    at_risk = named["at_risk"].astype(bool)
    # Nothing to flip is no value: such dialogues count as excluded, and in no mean.
    value = named["flipped"].astype(float).where(at_risk)
    dialogues = named.assign(value=value).rename(columns={"repeat": "sample"})
    how: dict[str, Any] = {"units": UNITS, "seed": seed, "n_boot": n_boot}
    by_arm = contrast_table(
        dialogues, {"value": "value"}, factor="arm", against=logical, by=("model",), **how
    )
    is_rate = by_arm["against"] == ""
    by_arm["measure"] = is_rate.map({True: "flip_rate", False: "flip_difference"})
    by_claim = dialogues.groupby(["model", "arm", "claim_id"], sort=False)["value"].mean()
    rates = by_claim.reset_index()
    tables = [by_arm]
    per_model = rates.assign(prompt_id=rates["claim_id"])
    tables.append(
        contrast_table(
            per_model,
            {"rate_by_claim": "value"},
            factor="model",
            against=against,
            by=("arm",),
            **how,
        )
    )
    if fallacious in arms:
        wide = by_claim.unstack("arm")
        gap = (wide[fallacious] - wide[logical]).rename("value").reset_index()
        gap = gap.assign(prompt_id=gap["claim_id"], arm=f"{fallacious} - {logical}")
        tables.append(
            contrast_table(
                gap, {"gap": "value"}, factor="model", against=against, by=("arm",), **how
            )
        )
    columns = ["model", "arm", "against", "measure", "estimate", "lo", "hi", "n", "excluded"]
    return pd.concat(tables, ignore_index=True)[columns]


def exclusion_table(outcomes: pd.DataFrame) -> pd.DataFrame:
    """What became of all dialogues, by model and arm, those that no rate is over included.

    Args:
        outcomes: as for `flip_table`.

    Returns:
        Columns model, arm, dialogues, agreed_before and no_stance (excluded: there was nothing to
        give up), at_risk, flipped, heard_all, no_argument and no_room (ended before all rounds);
        the last four sum to at_risk. An opening that did not fit counts under no_stance.

    Raises:
        InputError: as `flip_table`.
    """
    named = _checked(outcomes)
    rows = []
    for (model, arm), of_arm in named.groupby(["model", "arm"], sort=False):
        risk = of_arm["at_risk"].astype(bool)
        ended = of_arm.loc[risk, "ended"]
        rows.append(
            {
                "model": model,
                "arm": arm,
                "dialogues": len(of_arm),
                "agreed_before": int((of_arm["opening"] == "agree").sum()),
                "no_stance": int((of_arm["opening"] == "none").sum()),
                "at_risk": int(risk.sum()),
                "flipped": int((ended == "agreed").sum()),
                "heard_all": int((ended == "rounds").sum()),
                "no_argument": int((ended == "no_argument").sum()),
                "no_room": int((ended == "no_room").sum()),
            }
        )
    return pd.DataFrame(rows)


def _checked(outcomes: pd.DataFrame) -> pd.DataFrame:
    check_columns("outcomes of debates", outcomes, OUTCOMES, UNITS)
    named = outcomes if "model" in outcomes.columns else outcomes.assign(model="")
    wrong = named["flipped"].astype(bool) & ~named["at_risk"].astype(bool)
    if wrong.any():
        raise InputError(
            f"outcomes of debates, claim {named[wrong]['claim_id'].iloc[0]}: flipped without being "
            "at risk; only a debater who disagreed can be persuaded"
        )
    return named.assign(prompt_id=named["claim_id"])
