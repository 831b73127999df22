"""Length matching: what is kept is matched, and length then tells nothing."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from interp.errors import InputError
from interp.prompts import PromptSet
from interp.prompts.controls import length_control
from interp.prompts.datasets import is_there, read_dataset
from interp.prompts.matching import length_matched
from interp.prompts.words import word_counts
from interp.stats import auroc
from tests.checkpoints.tiny import word_tokenizer
from tests.prompts.datasets.files import REAL

SIZES = st.lists(st.tuples(st.integers(1, 12), st.integers(1, 12)), min_size=1, max_size=30)


def pairs_of(sizes: list[tuple[int, int]], dataset: str = "d") -> PromptSet:
    """Minimal pairs of so many words: the unanswerable half, and the answerable one."""
    return PromptSet.from_records(
        [
            {
                "prompt_id": f"{dataset}/{pair}/{due}",
                "pair_id": f"{dataset}/{pair}",
                "text": " ".join(["word"] * size),
                "should_abstain": due,
                "dataset": dataset,
            }
            for pair, both in enumerate(sizes)
            for due, size in zip((True, False), both, strict=True)
        ]
    )


def length_auroc(prompts: PromptSet) -> float:
    return auroc(word_counts(prompts), prompts.labels)


@given(SIZES, st.integers(0, 4), st.integers(0, 9))
def test_pairs_stay_whole_within_the_tolerance_and_as_often_longer_as_shorter(
    sizes, tolerance, seed
) -> None:
    longer = [one - other for one, other in sizes]
    expected = longer.count(0) + 2 * sum(
        min(longer.count(apart), longer.count(-apart)) for apart in range(1, tolerance + 1)
    )
    prompts = pairs_of(sizes)
    if not expected:
        with pytest.raises(InputError, match=r"no pair has .* allow a larger tolerance, or match"):
            length_matched(prompts, tolerance, seed=seed)
        return
    kept = length_matched(prompts, tolerance, seed=seed)
    words, labels = word_counts(kept), kept.labels
    halves = kept.frame.assign(words=words).pivot(
        index="pair_id", columns="should_abstain", values="words"
    )
    apart = halves[True] - halves[False]  # no half is missing, or this would be NaN
    assert len(apart) == expected
    assert apart.abs().max() <= tolerance
    assert sorted(apart) == sorted(-apart)
    assert words[labels].sum() == words[~labels].sum()


@given(SIZES, st.integers(0, 4))
def test_without_pairs_the_couples_are_within_the_tolerance_too(sizes, tolerance) -> None:
    prompts = pairs_of(sizes)
    assume({one for one, _ in sizes} & {other for _, other in sizes})  # a couple that must fit
    kept = length_matched(prompts, tolerance, seed=0, within="dataset")
    words, labels = word_counts(kept), kept.labels
    assert labels.sum() == (~labels).sum()
    assert words[labels].sum() == words[~labels].sum()
    # In one dimension, sorted couples are the ones that differ least.
    assert np.abs(np.sort(words[labels]) - np.sort(words[~labels])).max() <= tolerance
    if tolerance == 0:
        assert length_auroc(kept) == 0.5
        due, not_due = (np.array(side) for side in zip(*sizes, strict=True))
        most = sum(min((due == size).sum(), (not_due == size).sum()) for size in range(13))
        assert labels.sum() == most


def test_length_tells_nothing_after_matching_what_it_told_before() -> None:
    rng = np.random.default_rng(0)
    whole = rng.integers(10, 60, 400)
    sizes = list(zip((whole - rng.integers(-2, 12, 400)).tolist(), whole.tolist(), strict=True))
    sizes = [(max(one, 1), other) for one, other in sizes]
    prompts = PromptSet.concat([pairs_of(sizes), pairs_of([(9, 30), (31, 9), (4, 4)], "e")])
    assert length_auroc(prompts.where(dataset="d")) < 0.45
    for within in ("pair", "dataset"):
        kept = length_matched(prompts, 3, seed=0, within=within)
        for name in ("d", "e"):
            assert length_auroc(kept.where(dataset=name)) == pytest.approx(0.5, abs=0.01)


def test_a_bare_question_is_matched_with_another_problem() -> None:
    prompts = pairs_of([(4, 20), (5, 22), (9, 5), (21, 40)])
    with pytest.raises(InputError, match="match within='dataset'"):
        length_matched(prompts, 1, seed=0)
    kept = length_matched(prompts, 1, seed=0, within="dataset")
    # 5 with 5; 21 lies between 20 and 22, but is one longer or shorter: no opposite, no couple.
    assert word_counts(kept).tolist() == [5, 5]


def test_the_seed_and_not_the_order_of_the_rows_says_what_is_kept() -> None:
    prompts = pairs_of([(4, 5)] * 30 + [(7, 6)] * 10)
    backwards = PromptSet(prompts.frame.iloc[::-1].reset_index(drop=True))
    for within in ("pair", "dataset"):
        first, again, other = (
            set(length_matched(one, 1, seed=seed, within=within).frame["prompt_id"])
            for one, seed in ((prompts, 1), (backwards, 1), (prompts, 2))
        )
        assert first == again
        assert len(first) == 40
        assert first != other


def test_tokens_are_counted_as_the_model_is_given_them() -> None:
    tokenizer = word_tokenizer()
    prompts = pairs_of([(3, 5), (4, 4)])
    frame = prompts.frame.copy()
    frame.loc[0, "text"] = "word , word , word"  # a comma is a token, and no word
    kept = length_matched(PromptSet(frame), 0, seed=0, tokenizer=tokenizer)
    assert len(kept) == 4
    assert len(length_matched(PromptSet(frame), 0, seed=0)) == 2


def test_rows_of_one_class_in_a_dataset_are_dropped() -> None:
    alone = pairs_of([(5, 5)], "alone").where(should_abstain=True)
    for within in ("pair", "dataset"):
        kept = length_matched(
            PromptSet.concat([pairs_of([(5, 5)]), alone]), 0, seed=0, within=within
        )
        assert kept.frame["dataset"].tolist() == ["d", "d"]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"tolerance": -1}, "tolerance=-1, within='pair'; expected at least 0"),
        ({"within": "row"}, "within='row'; expected at least 0, and 'pair' or 'dataset'"),
    ],
)
def test_bad_options_are_refused(options: dict, message: str) -> None:
    with pytest.raises(InputError, match=message):
        length_matched(pairs_of([(5, 5)]), seed=0, **options)


def test_a_pair_with_a_third_row_is_refused() -> None:
    frame = pairs_of([(5, 5), (5, 5)]).frame
    frame["pair_id"] = ["one", "one", "two", "one"]
    with pytest.raises(InputError, match="pair 'one' has 1 unanswerable and 2 answerable rows"):
        length_matched(PromptSet(frame), seed=0)


@pytest.mark.parametrize(
    ("name", "within", "before", "fewest"),
    [("umwp", "pair", 0.49, 3000), ("gsm8k_abstain", "dataset", 0.03, 300)],
)
def test_published_sets_are_matched(name: str, within: str, before: float, fewest: int) -> None:
    if not REAL.is_dir() or not is_there(name, REAL):
        pytest.skip("the public dataset is not on this machine")
    prompts = read_dataset(name, REAL)
    assert length_control(prompts, n_boot=50)["estimate"].iloc[0] < before
    kept = length_matched(prompts, seed=0, within=within)
    assert len(kept) >= fewest
    after = length_control(kept, n_boot=200).iloc[0]
    assert after["estimate"] == pytest.approx(0.5, abs=0.005)
    assert after["lo"] <= 0.5 <= after["hi"]
