from __future__ import annotations

from itertools import combinations

import numpy as np
import pandas as pd
import pytest
from scipy.stats import binom, hypergeom

from interp.behavior.majority import majority_table, majority_votes
from interp.errors import InputError


def samples_of(votes: dict[str, list[str]], **columns: object) -> pd.DataFrame:
    """Samples by prompt: "idk" abstains, "right" is correct, anything else is wrong."""
    outcomes = {"idk": "abstain", "right": "correct"}
    return pd.DataFrame(
        [
            {"prompt_id": prompt, "pair_id": prompt, "group": "unknown", "mode": "direct"}
            | {"vote": vote, "outcome": outcomes.get(vote, "wrong")}
            | columns
            for prompt, said in votes.items()
            for vote in said
        ]
    )


def agents(p: float, n_prompts: int, n_samples: int, seed: int = 0) -> pd.DataFrame:
    """Each sample abstains with chance p, and gives one and the same answer otherwise."""
    rng = np.random.default_rng(seed)
    said = np.where(rng.random((n_prompts, n_samples)) < p, "idk", "right").tolist()
    return samples_of({f"p{row}": votes for row, votes in enumerate(said)})


def share(table: pd.DataFrame, k: int, measure: str) -> float:
    (row,) = table[(table["k"] == k) & (table["measure"] == measure)].itertuples()
    return row.estimate


@pytest.mark.parametrize("p", [0.3, 0.5, 0.65])
def test_majority_of_k_is_the_binomials(p: float) -> None:
    table = majority_table(agents(p, 1200, 9), units=["pair_id"], ks=[1, 3, 4, 9], n_boot=20)
    for k in (1, 3, 4, 9):
        tie = binom.pmf(k / 2, k, p) if k % 2 == 0 else 0.0
        expected = binom.sf(k / 2, k, p) + tie / 2  # a tie is won half of the time
        assert share(table, k, "abstain") == pytest.approx(expected, abs=0.04)
        assert share(table, k, "tied") == pytest.approx(tie, abs=0.04)
        assert share(table, k, "wrong") == 0


def test_choices_of_k_from_one_prompts_samples_are_the_hypergeometrics() -> None:
    samples = samples_of({"a": ["idk"] * 5 + ["right"] * 3})
    votes = majority_votes(samples, [1, 2, 3, 4, 5, 8], n_orders=2000).set_index("k")
    for k in (1, 2, 3, 4, 5, 8):
        chance = hypergeom(8, 5, k)
        tie = chance.pmf(k // 2) if k % 2 == 0 else 0.0
        assert votes.loc[k, "tied"] == pytest.approx(tie, abs=0.02)
        assert votes.loc[k, "abstain"] == pytest.approx(chance.sf(k // 2) + tie / 2, abs=0.02)
    assert votes.loc[1, "abstain"] == 5 / 8  # exact, whatever the rings
    assert votes.loc[8, ["abstain", "tied"]].tolist() == [1, 0]


def test_wrong_answers_that_differ_do_not_vote_together() -> None:
    said = ["idk", "idk", "rome", "oslo", "bern", "right"]
    votes = majority_votes(samples_of({"a": said}), [3, 6], n_orders=4000).set_index("k")
    assert votes.loc[6, ["abstain", "correct", "wrong", "tied"]].tolist() == [1, 0, 0, 0]
    expected = dict.fromkeys(("abstain", "correct", "wrong", "tied"), 0.0)
    kinds = {"idk": "abstain", "right": "correct"}
    chosen = list(combinations(said, 3))
    for three in chosen:
        top = [v for v in set(three) if three.count(v) == max(map(three.count, three))]
        for vote in top:
            expected[kinds.get(vote, "wrong")] += 1 / len(top) / len(chosen)
        expected["tied"] += (len(top) > 1) / len(chosen)
    for name, value in expected.items():
        assert votes.loc[3, name] == pytest.approx(value, abs=0.02)


def test_outcomes_of_a_vote_add_up_and_the_order_of_samples_is_nothing() -> None:
    samples = agents(0.4, 20, 6)
    votes = majority_votes(samples, [1, 2, 3, 6])
    np.testing.assert_allclose(votes[["abstain", "correct", "wrong"]].sum(axis=1), 1)
    again = majority_votes(samples.iloc[::-1], [1, 6]).set_index(["prompt_id", "k"])
    for row in votes[votes["k"].isin([1, 6])].itertuples():
        assert again.loc[(row.prompt_id, row.k), "abstain"] == pytest.approx(row.abstain)


def test_intervals_are_over_units() -> None:
    """Prompts of a pair that vote as one tell as much as one of them."""
    samples = agents(0.5, 150, 3)
    doubled = pd.concat([samples, samples.assign(prompt_id="again " + samples["prompt_id"])])
    once, twice = (
        majority_table(rows, units=["pair_id"], ks=[1, 3], n_boot=300)
        for rows in (samples, doubled)
    )
    np.testing.assert_allclose(twice[["lo", "hi"]], once[["lo", "hi"]], atol=1e-12)
    assert (once["n"] == 150).all()
    assert (twice["n"] == 300).all()
    inner = once[once["measure"] == "abstain"]
    assert (inner["lo"] < inner["estimate"]).all()
    assert (inner["estimate"] < inner["hi"]).all()


def test_groups_and_modes_are_apart() -> None:
    samples = pd.concat(
        [agents(0.9, 10, 3), agents(0.1, 10, 3, seed=1).assign(group="known")]
    ).assign(prompt_id=lambda t: t["group"] + t["prompt_id"], pair_id=lambda t: t["prompt_id"])
    both = pd.concat([samples, samples.assign(mode="cot", vote="right", outcome="correct")])
    table = majority_table(both, units=["pair_id"], ks=[3], n_boot=20)
    abstain = table[table["measure"] == "abstain"].set_index(["mode", "group"])["estimate"]
    assert abstain["direct", "unknown"] > 0.8 > 0.2 > abstain["direct", "known"]
    assert abstain["cot", "unknown"] == abstain["cot", "known"] == 0


@pytest.mark.parametrize(
    ("change", "ks", "message"),
    [
        (lambda t: t.drop(columns="vote"), [1], "lack the column vote"),
        (lambda t: t.iloc[:0], [1], "no rows"),
        (lambda t: t, [], r"k is \[\]"),
        (lambda t: t, [0], r"k is \[0\]"),
        (lambda t: t, [4], "prompt p0, mode direct: 3 samples, k is 4"),
        (lambda t: t.assign(vote=None), [1], "prompt p0: no vote"),
        (lambda t: t.assign(outcome="refuse"), [1], "prompt p0: the outcome is 'refuse'"),
        (lambda t: t.assign(vote="x"), [1], "the vote 'x' has two outcomes"),
        (lambda t: t.assign(pair_id=range(len(t))), [1], "prompt p0: its rows differ"),
    ],
)
def test_bad_samples_are_refused(change, ks, message) -> None:
    with pytest.raises(InputError, match=message):
        majority_table(change(agents(0.5, 4, 3)), units=["pair_id"], ks=ks, n_boot=10)
