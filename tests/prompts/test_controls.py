"""Irrelevant-clause controls of minimal pairs, and what length alone tells."""

from __future__ import annotations

from math import inf

import numpy as np
import pytest

from interp.errors import InputError
from interp.prompts import PromptSet
from interp.prompts.controls import CONTROL, irrelevant_clause_controls, length_control
from interp.prompts.datasets import is_there, read_dataset
from interp.prompts.words import word_counts, words_of
from interp.stats import auroc
from tests.prompts.datasets.files import REAL

SCENE = "Lucy is baking bread for tea."  # six words
GIVEN = "The mill gave her 9 jars."  # six words, and needed
ASKED = "She filled 4 jars. How many jars are empty?"
WHOLE = f"{SCENE} {GIVEN} {ASKED}"


def pair(whole: str, without: str, name: str = "a", **changed: object) -> list[dict[str, object]]:
    common = {"pair_id": name, "dataset": "d", "scenario": "underspecified_context"} | changed
    return [
        {
            "prompt_id": f"{name}/whole",
            "text": whole,
            "should_abstain": False,
            "answers": ["5"],
            "meta": {"source": "mill"},
            **common,
        },
        {"prompt_id": f"{name}/missing", "text": without, "should_abstain": True, **common},
    ]


def controls_of(*pairs: list[dict[str, object]], **options: float):
    return irrelevant_clause_controls(
        PromptSet.from_records([row for both in pairs for row in both]), **options
    )


def test_a_control_lacks_a_clause_and_is_answerable_still() -> None:
    prompts = PromptSet.from_records(pair(WHOLE, f"{SCENE} {ASKED}", split="test"))
    made = irrelevant_clause_controls(prompts)
    (row,) = made.prompts.frame.to_dict("records")
    assert row == {
        **prompts.frame.iloc[0],
        "prompt_id": f"a/whole/{CONTROL}",
        "text": f"{GIVEN} {ASKED}",
        "meta": {
            "source": "mill",
            "control": "irrelevant_clause_deleted",
            "control_of": "a/whole",
            "deleted": SCENE,
            "deleted_words": 6,
            "missing_words": 6,
        },
    }
    assert not row["should_abstain"]
    # It is as long as the half that cannot be answered, and may stand beside the pair.
    both = PromptSet.concat([prompts, made.prompts])
    assert np.diff(word_counts(both)[1:]).tolist() == [0]
    for either in ([prompts, made.prompts], [made.prompts, prompts]):
        again = irrelevant_clause_controls(PromptSet.concat(either))
        assert again.prompts.frame.equals(made.prompts.frame)


def test_the_clause_nearest_in_length_is_cut() -> None:
    whole = f"Lucy sings. {WHOLE}"
    for less, missing, nearest in (
        (f"Lucy sings. {SCENE} {ASKED}", 6, SCENE),
        (whole.replace("gave her 9 jars", "gave her"), 2, "Lucy sings."),
    ):
        for within in (2.0, inf):
            made = controls_of(pair(whole, less), min_words=2, within=within)
            (meta,) = made.prompts.frame["meta"]
            assert (meta["deleted"], meta["missing_words"]) == (nearest, missing)


@pytest.mark.parametrize(
    ("without", "counts"),
    [
        (f"{SCENE} {ASKED}", [1, 1, 1, 1]),
        # A bare question lacks far more than any clause.
        ("How many jars are empty?", [1, 1, 1, 0]),
        # A word less is no clause, and another word is nothing less.
        (WHOLE.replace("9 ", ""), [1, 0, 0, 0]),
        (WHOLE.replace("9", "many"), [1, 0, 0, 0]),
        # Something else is said instead.
        ("Ola owns a mill at sea with old sails.", [1, 0, 0, 0]),
    ],
)
def test_only_pairs_that_lack_a_clause_of_about_the_length_get_one(without, counts) -> None:
    made = controls_of(pair(WHOLE, without))
    (found,) = made.counts.itertuples(index=False)
    assert list(found) == ["d", *counts]
    assert len(made.prompts) == counts[-1]
    # Of any length, and of every pair.
    assert len(controls_of(pair(WHOLE, without), within=inf, min_words=0).prompts) == 1


@pytest.mark.parametrize(("within", "produced"), [(1.0, 0), (1.4, 0), (1.5, 1), (2.0, 1)])
def test_about_the_length_is_within_a_factor(within: float, produced: int) -> None:
    whole = f"{SCENE} The old mill by our sea gave her 9 jars. {ASKED}"  # ten words
    longer = whole.replace("The old mill by our sea gave her 9 jars. ", "")
    shorter = whole.replace("sea gave her 9 ", "")
    assert len(words_of(whole)) - len(words_of(longer)) == 10
    assert len(words_of(whole)) - len(words_of(shorter)) == 4
    assert len(controls_of(pair(whole, shorter), within=within).prompts) == produced
    assert len(controls_of(pair(whole, longer), within=within).prompts) == (within == 2)


def test_counts_are_by_dataset_and_rows_without_a_pair_are_none_of_them() -> None:
    alone = {"prompt_id": "x", "text": WHOLE, "should_abstain": False, "dataset": "alone"}
    made = controls_of(
        pair(WHOLE, f"{SCENE} {ASKED}"),
        pair(f"{GIVEN} {ASKED}", ASKED, "b"),
        pair(WHOLE, f"{SCENE} {ASKED}", "c", dataset="e"),
        [alone],
    )
    assert made.counts.to_numpy().tolist() == [["d", 2, 2, 1, 1], ["e", 1, 1, 1, 1]]
    assert made.prompts.frame["pair_id"].tolist() == ["a", "c"]


def test_of_messages_the_last_is_cut() -> None:
    def messages(text: str) -> list[dict[str, str]]:
        return [{"role": "system", "content": "Be brief."}, {"role": "user", "content": text}]

    rows = pair(WHOLE, f"{SCENE} {ASKED}")
    chats = [{**row, "text": None, "messages": messages(str(row["text"]))} for row in rows]
    (made,) = controls_of(chats).prompts.frame["messages"]
    assert made == messages(f"{GIVEN} {ASKED}")


@pytest.mark.parametrize(
    ("rows", "options", "message"),
    [
        (pair(WHOLE, ASKED)[:1], {}, "no minimal pair among the prompts"),
        (pair(WHOLE, ASKED), {"within": 0.5}, "within=0.5, min_words=3; expected at least 1"),
        (pair(WHOLE, ASKED), {"min_words": -1}, "min_words=-1; expected at least 1 and at least 0"),
    ],
)
def test_what_has_no_controls_is_refused(rows, options, message) -> None:
    with pytest.raises(InputError, match=message):
        controls_of(rows, **options)


def test_length_alone_is_measured_in_each_dataset_and_in_all() -> None:
    rng = np.random.default_rng(0)
    rows = []
    for name, less in (("short", 5), ("even", 0)):
        for one in range(40):
            size = int(rng.integers(8, 16))
            rows += pair("w " * size, "w " * (size - less), f"{name}{one}", dataset=name)
    rows += pair("w", "w", "alone", dataset="alone")[:1]
    prompts = PromptSet.from_records(rows)
    table = length_control(prompts, n_boot=200).set_index("dataset")
    assert list(table.index) == ["short", "even", "all"]  # one class has no AUROC
    words, labels = word_counts(prompts), prompts.labels
    short = (prompts.frame["dataset"] == "short").to_numpy()
    assert table.loc["short", "estimate"] == auroc(words[short], labels[short])
    assert table.loc["all", "estimate"] == auroc(words, labels)
    assert table.loc["even", "estimate"] == 0.5
    assert table.loc["short", "hi"] < 0.5 <= table.loc["even", "hi"]
    assert table["n"].tolist() == [80, 80, 161]
    assert (table.loc["short", "words_answer"] - table.loc["short", "words_abstain"]) == 5
    with pytest.raises(InputError, match="all 80 prompts have one should_abstain"):
        length_control(prompts.where(should_abstain=True))


@pytest.mark.skipif(not REAL.is_dir(), reason="the public datasets are not on this machine")
@pytest.mark.parametrize("name", ["umwp", "mip_overthinking", "gsm8k_abstain"])
def test_controls_of_published_pairs_lack_only_what_is_said_to_be_deleted(name: str) -> None:
    if not is_there(name, REAL):
        pytest.skip("the dataset is not there")
    prompts = read_dataset(name, REAL)
    prompts = prompts.where(np.arange(len(prompts)) % 2600 < 1200)  # of UMWP both halves
    rows = {row["prompt_id"]: row for row in prompts.frame.to_dict("records")}
    made = irrelevant_clause_controls(prompts, within=inf)
    assert made.counts["produced"].sum() == len(made.prompts) > 10
    for row in made.prompts.frame.to_dict("records"):
        of = rows[row["meta"]["control_of"]]
        whole, left = words_of(of["text"]), words_of(row["text"])
        gone = words_of(row["meta"]["deleted"])
        assert sorted(left + gone) == sorted(whole)
        assert not any(word.isdigit() for word in gone)
        assert (row["answers"], row["pair_id"]) == (of["answers"], of["pair_id"])
    fitting = irrelevant_clause_controls(prompts)
    # A bare question lacks more than any clause has.
    assert (len(fitting.prompts) == 0) == (name == "gsm8k_abstain")
