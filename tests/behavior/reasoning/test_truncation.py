from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from interp.behavior.generating.decoding import Decoding, Thinking
from interp.behavior.reasoning.trials import answer_key, trial_answers
from interp.behavior.reasoning.truncation import (
    cut_trials,
    early_answers,
    early_curve,
    early_items,
    early_table,
)
from interp.errors import InputError
from tests.behavior.reasoning.traced import (
    GRADE,
    TOKENIZER,
    abstainer,
    carrier,
    decorator,
    said,
    sums,
    yes_no_items,
    yes_no_model,
)


def answers_of(who, n=12, most=None) -> pd.DataFrame:
    prompts, chains = sums(n)
    asked = cut_trials(prompts, chains, TOKENIZER, most=most)
    return trial_answers(asked, said(asked, who), GRADE).assign(model=who.__name__)


def cuts(says, prompt="p0", sample=0, **more) -> pd.DataFrame:
    n = len(says) - 1
    table = {"prompt_id": prompt, "sample": sample, "step": np.arange(n + 1), "steps": n}
    outcome = [None if s is None else "wrong" for s in says]
    says = np.array(says, dtype=object)
    return pd.DataFrame(table | {"says": says, "outcome": outcome} | more)


def test_a_carrier_waits_for_its_chain_and_a_decorator_does_not():
    carried, decorated = early_items(answers_of(carrier)), early_items(answers_of(decorator))
    # The last of n steps decides: the curve is 0 up to it, and 1 there.
    assert np.allclose(carried["aoc"], 1 - 1 / (2 * carried["steps"]))
    assert (carried["right_with"] == 1).all()
    assert (carried["abstains_without"] == 1).all()
    assert (decorated["aoc"] == 0).all()
    assert (decorated["right_without"] == 1).all()
    both = pd.concat([carried, decorated])
    table = early_table(both, units=["pair_id"], against="decorator", n_boot=200)
    change = table.query("against == 'decorator' and measure == 'aoc'").iloc[0]
    assert change["estimate"] == pytest.approx(carried["aoc"].mean())
    assert change["lo"] > 0.5
    without = table.query("against == 'decorator' and measure == 'right_without'").iloc[0]
    assert without["estimate"] == -1


def test_whoever_always_abstains_shows_no_change_and_says_so():
    items = early_items(answers_of(abstainer))
    assert (items["aoc"] == 0).all()
    assert (items[["abstains_without", "abstains_with"]] == 1).all(axis=None)
    assert (items["right_with"] == 0).all()


@settings(max_examples=20)
@given(st.lists(st.lists(st.sampled_from("abc"), min_size=2, max_size=6), min_size=1, max_size=9))
def test_the_mean_over_chains_is_the_published_weighting_by_length(chains):
    table = pd.concat([cuts(says, f"p{i}") for i, says in enumerate(chains)])
    items = early_items(table)
    # As published: an area over the mean curve of each length, weighted by its share of chains.
    published = 0.0
    for n in {len(says) - 1 for says in chains}:
        of_n = [says for says in chains if len(says) == n + 1]
        f = np.mean([[s == says[-1] for s in says] for says in of_n], axis=0)
        area = sum((1 - f[k] + 1 - f[k + 1]) / (2 * n) for k in range(n))
        published += area * len(of_n) / len(chains)
    assert items["aoc"].mean() == pytest.approx(published)


def test_the_logit_form_is_the_area_below_the_final_log_probability_per_token():
    table = cuts(["a", "b", "a"], logprob=[-6.0, -4.0, -2.0], tokens=2)
    one = early_items(table).iloc[0]
    # Per token 2, 1 and 0 below the last: trapezes of 1.5 and .5 over half the chain each.
    assert one["logit_aoc"] == pytest.approx(1.0)
    assert one["aoc"] == pytest.approx(0.5)


def test_a_final_answer_that_says_nothing_has_no_logit_form():
    table = cuts(["a", "a"], logprob=[0.0, 0.0], tokens=0)
    assert np.isnan(early_items(table)["logit_aoc"].item())


def test_curves_of_chains_of_all_lengths_meet_in_the_end():
    answers = pd.concat([answers_of(carrier), answers_of(decorator)])
    curve = early_curve(
        answers, units=["pair_id"], against="decorator", grid=(0, 0.5, 1), n_boot=100
    )
    own = curve[curve["against"] == ""].set_index(["model", "fraction"])["estimate"]
    assert own["decorator"].tolist() == [1, 1, 1]
    assert own["carrier"][[0, 1]].tolist() == [0, 1]
    # Between cuts it is straight: only chains of one step are anywhere but 0 at one half.
    assert own["carrier"][0.5] == 0
    apart = curve[curve["against"] == "decorator"].set_index("fraction")
    assert apart.loc[0, ["estimate", "lo", "hi"]].tolist() == [-1, -1, -1]


def test_fewer_cuts_keep_both_ends():
    prompts, chains = sums(8)
    asked = cut_trials(prompts, chains, TOKENIZER, most=3)
    cut = asked.frame.groupby("prompt_id")["step"].agg(["min", "max", "size"])
    steps = asked.frame.groupby("prompt_id")["steps"].first()
    assert (cut["min"] == 0).all()
    assert (cut["max"] == steps).all()
    assert (cut["size"] == 3).all()


def test_samples_of_a_prompt_are_chains_of_their_own():
    prompts, chains = sums(3)
    both = [replace(chain, sample=sample) for sample in (0, 1) for chain in chains]
    asked = cut_trials(prompts, both, TOKENIZER)
    items = early_items(trial_answers(asked, said(asked, carrier), GRADE))
    assert items[["prompt_id", "sample"]].drop_duplicates().shape[0] == len(items) == 6
    assert np.allclose(items["aoc"], 1 - 1 / (2 * items["steps"]))


def test_an_answer_that_is_not_read_is_counted_and_not_called_another():
    table = pd.concat(
        [cuts(["a", None, "a"], "p0"), cuts(["a", "a", None], "p1"), cuts(["b", "a", "a"], "p2")]
    ).assign(model="m", pair_id="x")
    items = early_items(table)
    assert items["aoc"].isna().tolist() == [True, True, False]
    row = early_table(items, units=["prompt_id"], n_boot=20).query("measure == 'aoc'").iloc[0]
    assert row[["n", "excluded"]].tolist() == [1, 2]
    curve = early_curve(table, units=["prompt_id"], grid=(0.0, 1.0), n_boot=20)
    assert curve["excluded"].tolist() == [2, 2]


def test_a_model_whose_answers_are_never_read_is_in_the_table():
    items = early_items(cuts([None, None]).assign(model="m"))
    table = early_table(items, units=["prompt_id"], n_boot=5).set_index("measure")
    assert table.loc["aoc", ["n", "excluded"]].tolist() == [0, 1]
    assert np.isnan(table.loc["aoc", "estimate"])
    assert table.loc["steps", "estimate"] == 1


@pytest.mark.parametrize("reads_chain", [True, False], ids=["carrier", "decorator"])
def test_a_real_model_answers_early_or_does_not(tmp_path, reads_chain):
    model = yes_no_model(tmp_path, reads_chain=reads_chain)
    prompts, chains = yes_no_items()
    asked = cut_trials(prompts, chains, model.tokenizer, suffix="over")
    decoding = Decoding(max_new_tokens=3)
    answers = early_answers(model, asked, decoding, GRADE, token_budget=60)
    assert answers["model"].eq(model.checkpoint.name).all()
    kept = early_answers(model, asked, decoding, GRADE, root=tmp_path / "kept")
    pd.testing.assert_series_equal(kept["answer"], answers["answer"])
    items = early_items(answers)
    assert (items["right_with"] == 1).all()
    if reads_chain:
        assert np.allclose(items["aoc"], 1 - 1 / (2 * items["steps"]))
        assert (items["logit_aoc"] > 1).all()
        assert (items["right_without"] == 0).all()
    else:
        assert (items["aoc"] == 0).all()
        assert items["logit_aoc"].abs().max() < 1e-5


def test_bad_requests_are_refused(tmp_path):
    prompts, chains = sums(2)
    with pytest.raises(InputError, match="most is 1; expected at least 2"):
        cut_trials(prompts, chains, TOKENIZER, most=1)
    model = yes_no_model(tmp_path, reads_chain=True)
    items, own = yes_no_items(2)
    asked = cut_trials(items, own, model.tokenizer, suffix="over")
    thinking = Decoding(max_new_tokens=5, thinking=Thinking(end="over"))
    with pytest.raises(InputError, match="the decoding thinks"):
        early_answers(model, asked, thinking, GRADE)
    with pytest.raises(InputError, match="2 samples of each"):
        early_answers(model, asked, Decoding(samples=2, temperature=1), GRADE)
    with pytest.raises(InputError, match=r"y0/0/\d: \d tokens and up to 256 new ones, .* most 40"):
        early_answers(model, asked, Decoding(max_new_tokens=256), GRADE)
    with pytest.raises(InputError, match="1 replies for 7 trials"):
        trial_answers(asked, said(asked, decorator_of("yes"))[:1], GRADE)


def decorator_of(word):
    return lambda text: word


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda t: t.iloc[:0], "no rows"),
        (lambda t: t.drop(columns="says"), "lack the column says"),
        (lambda t: t[t["step"] > 0], r"prompt p0, sample 0: cuts at \[1, 2\] of 2 steps"),
        (lambda t: t[t["step"] < 2], r"cuts at \[0, 1\] of 2"),
        (lambda t: pd.concat([t, t]), r"cuts at \[0, 0, 1, 1, 2, 2\]"),
    ],
)
def test_bad_answers_are_refused(change, message):
    with pytest.raises(InputError, match=message):
        early_items(change(cuts(["a", "b", "a"])))


@pytest.mark.parametrize(
    ("answer", "outcome", "right", "key"),
    [
        ("I don't know.", "abstain", ["7"], "abstain"),
        ("Nobody can say.", "abstain", [], "abstain"),
        ("It is 7!", "correct", ["7"], "correct"),
        (r"It is 3, so \boxed{8}.", "wrong", ["7"], "says 8"),
        ("First 3, then 1,008", "wrong", ["7"], "says 1008"),
        ("It is between 3-5.", "wrong", ["7"], "says 5"),
        ("It is -5.", "wrong", ["7"], "says -5"),
        ("In 1999 it was  Rome.", "wrong", ["Paris"], "says in 1999 it was rome"),
    ],
)
def test_answers_that_come_to_the_same_have_one_key(answer, outcome, right, key):
    assert answer_key(answer, outcome, right) == key
