"""The layer claim holds where both halves are planted, and nowhere else."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy.stats import norm

from interp.errors import InputError
from interp.stats import Interval
from interp.tables import read_csv
from interp.verdict.layer_claim import layer_claim, layer_claims
from interp.verdict.layer_curves import information_curve
from interp.verdict.layer_effects import graft_effects
from tests.verdict.layer_tables import graft_rows, preservation_rows

COMMITTED = Path(__file__).parents[2] / "figures" / "organism_seeds"
KEPT, LOST_LOW, LOST_HIGH = [0.0] * 6, [0.3, 0.3, 0.3, 0, 0, 0], [0, 0, 0, 0.3, 0.3, 0.3]
LATE, EARLY, EVEN = [0, 0, 0, 0.1, 0.2, 0.4], [0.4, 0.2, 0.1, 0, 0, 0], [0.1] * 6


def claims_of(
    losses: list[float], blocks: list[float], noise: float = 0.01, margin: float = 0.05, **cell
) -> pd.DataFrame:
    information = information_curve(
        preservation_rows(losses, half_width=noise, **cell), position="entity_last"
    )
    return layer_claims(
        information, graft_effects(graft_rows(blocks, half_width=noise)), margin=margin
    )


@pytest.mark.parametrize(
    ("losses", "blocks", "noise", "calls", "verdict"),
    [
        (KEPT, LATE, 0.01, ("shown", "shown"), "holds"),
        (LOST_HIGH, LATE, 0.01, ("shown", "shown"), "holds"),
        (LOST_LOW, EARLY, 0.01, ("contradicted", "contradicted"), "does not hold"),
        (LOST_LOW, LATE, 0.01, ("contradicted", "shown"), "does not hold"),
        (KEPT, EARLY, 0.01, ("shown", "contradicted"), "does not hold"),
        (KEPT, EVEN, 0.01, ("shown", "undecided"), "undecided"),
        (LOST_LOW, EVEN, 0.01, ("contradicted", "undecided"), "does not hold"),
        (KEPT, LATE, 0.06, ("undecided", "shown"), "undecided"),
        (LOST_LOW, EARLY, 0.5, ("undecided", "undecided"), "undecided"),
        ([-loss for loss in LOST_LOW], LATE, 0.01, ("contradicted", "shown"), "does not hold"),
        ([0.051, 0, 0, 0, 0, 0], LATE, 0.01, ("undecided", "shown"), "undecided"),
    ],
)
def test_planted_curves_give_their_verdict(losses, blocks, noise, calls, verdict) -> None:
    (row,) = claims_of(losses, blocks, noise).to_dict("records")
    assert (row["information"], row["causal"]) == calls
    assert row["verdict"] == verdict
    assert (row["n_blocks"], row["margin"]) == (3, 0.05)
    assert row["difference"] == pytest.approx(row["late"] - row["early"])


def test_reasons_name_both_parts_with_their_numbers() -> None:
    (reasons,) = claims_of(LOST_LOW, LATE)["reasons"]
    information, causal = reasons.split("; ")
    assert information.startswith("early layer 0 lost beyond 0.05: 0.300 [")
    assert causal == "late blocks do more: late minus early effect 0.700 [0.680, 0.720]"


def test_nothing_kept_where_there_was_nothing_to_keep() -> None:
    """A parent at chance below loses nothing there, which shows nothing."""
    (row,) = claims_of(KEPT, LATE, parent_auroc=[0.5] * 3 + [0.9] * 3).to_dict("records")
    assert (row["information"], row["verdict"]) == ("undecided", "undecided")
    assert "in no early layer does the parent hold anything" in row["reasons"]
    (row,) = claims_of([0.3, 0, 0, 0, 0, 0], LATE, parent_auroc=[0.5] + [0.9] * 5).to_dict(
        "records"
    )
    assert row["verdict"] == "holds"
    assert "early layers 1, 2 kept all" in row["reasons"]


def test_the_margin_is_that_of_the_measure() -> None:
    assert claims_of([0.1] * 6, LATE)["verdict"].item() == "does not hold"
    assert claims_of([0.1] * 6, LATE, margin=0.2)["verdict"].item() == "holds"


def losses_of(values: np.ndarray, error: float) -> pd.DataFrame:
    z = norm.ppf(0.95)
    return pd.DataFrame(
        {"layer": range(len(values)), "estimate": values, "informative": True}
        | {"lo": values - z * error, "hi": values + z * error}
    )


def test_errors_stay_at_five_percent() -> None:
    """At the margin itself neither "shown" nor "contradicted" is said more often than at 5%."""
    rng = np.random.default_rng(0)
    error, late = 0.01, Interval(0.3, 0.2, 0.4)
    calls = [
        layer_claim(losses_of(rng.normal(0.05, error, 3), error), late).information.call
        for _ in range(500)
    ]
    shares = {call: np.mean([seen == call for seen in calls]) for call in ("shown", "contradicted")}
    assert shares["shown"] <= 0.03  # all three have to pass
    assert 0.025 < shares["contradicted"] < 0.08  # exact for layers that vary by themselves
    one = [
        layer_claim(losses_of(rng.normal(0.05, error, 1), error), late).information.call
        for _ in range(500)
    ]
    assert np.mean([call == "shown" for call in one]) == pytest.approx(0.05, abs=0.03)


def test_nothing_is_assumed_where_nothing_was_measured() -> None:
    kept = losses_of(np.zeros(3), 0.001)
    late = Interval(0.3, 0.2, 0.4)
    unknown = Interval(0.3, np.nan, np.nan)
    assert layer_claim(kept, late).verdict == "holds"
    assert layer_claim(kept, None).verdict == "undecided"
    assert layer_claim(None, late).verdict == "undecided"
    assert layer_claim(kept, unknown).verdict == "undecided"
    assert layer_claim(kept.assign(lo=np.nan, hi=np.nan), late).verdict == "undecided"
    assert layer_claim(kept, Interval(-0.3, -0.4, -0.2)).verdict == "does not hold"
    assert len(layer_claim(None, None).reasons) == 2


def test_targets_and_seeds_are_judged_apart() -> None:
    tables = [
        preservation_rows(KEPT, seed=seed, target=target)
        for seed, target in ((0, "should_abstain"), (0, "backtracking"), (1, "backtracking"))
    ]
    information = information_curve(pd.concat(tables), position="entity_last")
    grafts = pd.concat(
        [graft_rows(LATE, target="should_abstain"), graft_rows(EARLY, target="backtracking")]
    )
    found = layer_claims(information, graft_effects(grafts))
    verdicts = found.set_index(["seed", "target"])["verdict"].to_dict()
    assert verdicts == {
        (0, "should_abstain"): "holds",
        (0, "backtracking"): "does not hold",
        (1, "backtracking"): "undecided",  # no grafts of this seed
    }
    missing = found[found["seed"] == 1].iloc[0]
    assert np.isnan(missing["difference"])
    assert "no effect of early and late blocks was measured" in missing["reasons"]


def test_bad_tables_are_one_clear_error() -> None:
    information = information_curve(preservation_rows(KEPT), position="entity_last")
    effects = graft_effects(graft_rows(LATE))
    for tables, said in (
        ((information.drop(columns="informative"), effects), "no column informative"),
        ((information, effects.drop(columns="n_blocks")), "layer effects: no column n_blocks"),
        ((information.iloc[:0], effects), "information curve: no rows"),
        ((information, pd.concat([effects, effects])), "early of child .* comes twice"),
        ((information.assign(layer=6), effects), "child has layer 6, but its effects are of 6"),
    ):
        with pytest.raises(InputError, match=said):
            layer_claims(*tables)
    with pytest.raises(InputError, match="margin=0"):
        layer_claims(information, effects, margin=0.0)


def test_the_claim_on_the_committed_lineage() -> None:
    """Where only upper blocks were trained it holds; where the weights are others', it does not."""
    preservation = read_csv(COMMITTED / "preservation.csv")
    effects = graft_effects(read_csv(COMMITTED / "graft.csv"))
    for position in ("entity_last", "last_prompt"):
        found = layer_claims(information_curve(preservation, position=position), effects)
        verdicts = {member: set(rows["verdict"]) for member, rows in found.groupby("member")}
        assert verdicts["reason_sft_upper"] == {"holds"}
        for member in ("replaced", "never", "scrubbed", "scrubbed_mid", "scrubbed_low"):
            assert verdicts[member] == {"does not hold"}


def test_where_no_blocks_do_anything_nothing_is_said_of_which_do_more() -> None:
    kept = losses_of(np.zeros(3), 0.01)
    sure = Interval(-0.007, -0.009, -0.005)
    nothing = (Interval(0.005, 0.003, 0.007), Interval(-0.002, -0.003, 0.0))
    assert layer_claim(kept, sure).verdict == "does not hold"
    claim = layer_claim(kept, sure, ends=nothing)
    assert claim.causal.call == claim.verdict == "undecided"
    assert "early 0.005 [0.003, 0.007], late -0.002" in claim.causal.reason
    # One end that does something, or may do, is enough.
    for late in (Interval(0.3, 0.2, 0.4), Interval(0.03, -0.02, 0.08)):
        assert layer_claim(kept, sure, ends=(nothing[0], late)).verdict == "does not hold"
