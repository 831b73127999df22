"""Splits: nothing that belongs together is torn, whatever the order of the rows."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from interp.errors import InputError
from interp.prompts import PromptSet
from interp.prompts.datasets import is_there, read_dataset
from interp.prompts.overlap import content_groups, overlap_table
from interp.prompts.splits import check_disjoint, split
from tests.prompts.datasets.files import REAL

EVEN = {"train": 0.5, "dev": 0.2, "test": 0.3}


def row(number: int, **changed: object) -> dict[str, object]:
    plain = {
        "prompt_id": f"p{number}",
        "text": f"question {number}",
        "should_abstain": bool(number % 2),
        "dataset": "d",
    }
    return plain | changed


def made(n_pairs: int, **changed: object) -> PromptSet:
    rows = [row(n, pair_id=f"pair{n // 2}", **changed) for n in range(2 * n_pairs)]
    return PromptSet.from_records(rows)


def shuffled(prompts: PromptSet, seed: int) -> PromptSet:
    order = np.random.default_rng(seed).permutation(len(prompts))
    return PromptSet(prompts.frame.iloc[order].reset_index(drop=True))


def split_of(prompts: PromptSet) -> dict[str, str]:
    return dict(zip(prompts.frame["prompt_id"], prompts.frame["split"], strict=True))


def tangled(n_rows: int, seed: int) -> PromptSet:
    """Pairs, entities and contents that overlap in any way, in components of up to a dozen."""
    rng = np.random.default_rng(seed)
    pair, entity = rng.integers(0, 4 * n_rows, (2, n_rows)).tolist()
    words = rng.integers(0, 2 * n_rows, n_rows).tolist()
    return PromptSet.from_records(
        [
            row(
                n,
                pair_id=f"pair{pair[n]}",
                entity=None if n % 3 else f"e{entity[n]}",
                text=f"what is said in case {words[n]} of all those there are",
                should_abstain=bool(rng.random() < 0.4),
                dataset=f"d{n % 2}",
            )
            for n in range(n_rows)
        ]
    )


@given(st.integers(40, 120), st.integers(0, 10_000))
def test_no_pair_entity_or_content_is_torn_and_the_order_of_rows_is_nothing(n_rows, seed) -> None:
    prompts = tangled(n_rows, seed)
    done = split(prompts, EVEN, seed=seed)
    frame = done.frame
    for column in ("pair_id", "entity"):
        assert (frame.groupby(column)["split"].nunique() == 1).all()
    assert (frame.groupby(content_groups(prompts))["split"].nunique() == 1).all()
    assert frame.drop(columns="split").equals(prompts.frame.drop(columns="split"))
    assert check_disjoint(done)["n"].sum() == len(prompts)
    assert content_groups(prompts).max() < n_rows - 1  # some are linked by what they say
    assert split_of(split(shuffled(prompts, seed), EVEN, seed=seed)) == split_of(done)


def test_shares_hold_in_each_dataset_and_class() -> None:
    sets = [made(n, dataset=name).frame for n, name in ((100, "a"), (40, "b"))]
    sets[1]["prompt_id"] = "b" + sets[1]["prompt_id"]
    sets[1]["pair_id"] = "b" + sets[1]["pair_id"]
    sets[1]["text"] = "b " + sets[1]["text"]
    prompts = PromptSet.concat([PromptSet(frame) for frame in sets])
    counts = check_disjoint(split(prompts, EVEN, seed=3))
    assert len(counts) == 3 * 4
    for one in counts.itertuples():
        assert one.share == pytest.approx(EVEN[one.split], abs=0.03)


def test_components_of_all_sizes_come_near_the_shares() -> None:
    rng = np.random.default_rng(0)
    entity = rng.zipf(1.6, 600).clip(max=60)
    prompts = PromptSet.from_records(
        [row(n, entity=f"e{one}") for n, one in enumerate(entity.tolist())]
    )
    shares = split(prompts, EVEN, seed=0).frame["split"].value_counts(normalize=True)
    for name, share in EVEN.items():
        assert shares[name] == pytest.approx(share, abs=0.02)


def test_the_seed_draws_the_split() -> None:
    prompts = made(60)
    first, again, other = (split_of(split(prompts, seed=seed)) for seed in (1, 1, 2))
    assert first == again != other
    # Any row may come into any split.
    drawn = {
        one: {split_of(split(prompts, seed=s))[one] for s in range(24)} for one in ("p0", "p9")
    }
    assert drawn["p0"] == drawn["p9"] == set(EVEN)


def test_what_links_is_chosen() -> None:
    run = "eight words that all of the prompts share here"
    prompts = PromptSet.from_records(
        [row(n, text=f"{n} {run}", meta={"topic": n // 10}) for n in range(40)]
    )
    with pytest.raises(InputError, match="40 of 40 prompts are linked and must stay together"):
        split(prompts, seed=0)
    for free in (
        split(prompts, seed=0, common=39),
        split(prompts, seed=0, disjoint="exact"),
        split(prompts, seed=0, disjoint="pair"),
    ):
        assert set(free.frame["split"]) == set(EVEN)
    by_topic = split(prompts, {"a": 0.5, "b": 0.5}, seed=0, by=["meta.topic"], disjoint="exact")
    topics = [meta["topic"] for meta in prompts.frame["meta"]]
    assert (by_topic.frame.groupby(topics)["split"].nunique() == 1).all()
    assert by_topic.frame["split"].value_counts().tolist() == [20, 20]


def test_equal_texts_stay_together_unless_only_pairs_count() -> None:
    prompts = PromptSet.from_records([row(n, text=f"what is {n % 20} ?") for n in range(40)])
    twins = [f"p{n}" for n in range(20)], [f"p{n + 20}" for n in range(20)]
    for disjoint, torn in (("exact", False), ("ngram", False), ("pair", True)):
        of = split_of(split(prompts, seed=0, disjoint=disjoint))
        assert any(of[one] != of[other] for one, other in zip(*twins, strict=True)) == torn


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"pair_id": "shared"}, "'p1' in 'test', but they share the pair 'shared' .1 such links"),
        ({"entity": "Bo"}, "they share the entity 'Bo'"),
        ({"text": "Is it so?"}, "they share their whole text|they share the words 'is it so'"),
        (
            {"text": "it is the longest of all questions in here"},
            "they share the words 'it is the longest of all questions in'",
        ),
    ],
)
def test_a_leak_is_named(change: dict[str, str], message: str) -> None:
    prompts = PromptSet.from_records(
        [row(0, split="train", **change), row(1, split="test", **change), row(2, split="test")]
    )
    with pytest.raises(InputError, match=f"'p0' is in 'train' and .*{message}|{message}"):
        check_disjoint(prompts)
    check_disjoint(prompts.where(split="test"))


def test_a_leak_by_whole_texts_is_named() -> None:
    rows = [row(0, split="train", text="So?"), row(1, split="test", text="so")]
    with pytest.raises(InputError, match="they share their whole text"):
        check_disjoint(PromptSet.from_records(rows), disjoint="exact")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"shares": {"train": 0.5, "test": 0.4}}, "sum to 0.9; expected shares above 0"),
        ({"shares": {"train": 1.2, "test": -0.2}}, "sum to 1; expected shares above 0"),
        ({"shares": {}}, "sum to 0; expected"),
        ({"shares": {"": 1.0}}, "a share has no name"),
        ({"shares": {"train": 0.98, "test": 0.02}}, "'test' is left empty; 20 prompts in 10 parts"),
        ({"disjoint": "words"}, "disjoint is 'words'; expected one of ngram, exact, pair"),
        ({"by": "pair"}, "by is 'pair'; expected a list"),
        ({"by": ["pairs"]}, "'pairs'"),
        ({"n": 0}, "n is 0"),
        ({"by": ["dataset"]}, r"20 of 20 prompts .* \(p0, p1, p10, p11, p12, \.\.\.\), .*'train'"),
    ],
)
def test_what_cannot_be_split_is_refused(options: dict, message: str) -> None:
    with pytest.raises(InputError, match=message):
        split(made(10), seed=0, **options)


def test_rows_without_a_split_and_empty_sets_are_refused() -> None:
    with pytest.raises(InputError, match="prompt 'p1' has none"):
        check_disjoint(PromptSet.from_records([row(0, split="train"), row(1)]))
    with pytest.raises(InputError, match="no prompts"):
        split(PromptSet.from_records([]), seed=0)


@pytest.mark.skipif(not REAL.is_dir(), reason="the public datasets are not on this machine")
def test_published_problems_are_split_without_a_shared_run() -> None:
    names = [name for name in ("gsm8k_abstain", "mip_overthinking") if is_there(name, REAL)]
    if len(names) < 2:
        pytest.skip("a dataset is not there")
    done = split(PromptSet.concat([read_dataset(name, REAL) for name in names]), seed=0)
    counts = check_disjoint(done)
    train, test = (done.where(split=name) for name in ("train", "test"))
    assert overlap_table(test, train).empty
    # MiP takes its problems from GSM8K: its shares can only be near.
    for one in counts.itertuples():
        assert one.share == pytest.approx(EVEN[one.split], abs=0.06)
