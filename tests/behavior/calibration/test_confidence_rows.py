from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest

from interp.behavior import calibration_table, reliability_table, risk_coverage_table
from interp.behavior.calibration.confidence_rows import SOURCES, confidence_items
from interp.errors import InputError

UNITS = ("dataset", "pair_id")


@pytest.fixture
def items() -> pd.DataFrame:
    """Ten graded replies, two of which abstain."""
    rng = np.random.default_rng(0)
    outcomes = ["correct", "wrong", "abstain", "correct", "wrong", "correct"] + ["wrong"] * 4
    outcomes[7] = "abstain"
    return pd.DataFrame(
        {
            "prompt_id": [f"p{row}" for row in range(10)],
            "outcome": outcomes,
            "dataset": ["a", "b"] * 5,
            "pair_id": [row // 2 for row in range(10)],
            "said": ["80%", "no number", "10%", "0.3", None, *["I am 90% sure"] * 5],
            "votes": rng.random(10),
        }
    )


@pytest.fixture
def confidences() -> pd.DataFrame:
    """In another order than the items; p1 has no span."""
    rng = np.random.default_rng(1)
    frame = pd.DataFrame(rng.random((10, len(SOURCES))), columns=list(SOURCES))
    frame.insert(0, "prompt_id", [f"p{row}" for row in range(10)])
    frame.loc[1, list(SOURCES)] = np.nan
    return frame.sample(frac=1, random_state=0).assign(sequence_logprob=-3.0, p_ik=0.25)


def test_each_answer_stands_beside_its_own_confidence(items, confidences) -> None:
    got = confidence_items(items, confidences, units=UNITS)
    answered = items[items["outcome"] != "abstain"]
    assert list(got) == ["prompt_id", "source", "confidence", "correct", *UNITS]
    assert got["source"].unique().tolist() == list(SOURCES)
    by_id = confidences.set_index("prompt_id")
    for source, part in got.groupby("source"):
        assert part["prompt_id"].tolist() == answered["prompt_id"].tolist()
        assert part["correct"].tolist() == (answered["outcome"] == "correct").tolist()
        expected = by_id.loc[part["prompt_id"], source]
        np.testing.assert_array_equal(part["confidence"], expected)
        for unit in UNITS:
            assert part[unit].tolist() == answered[unit].tolist()


def test_words_and_votes_are_sources_too(items, confidences) -> None:
    got = confidence_items(
        items,
        confidences,
        units=UNITS,
        sources=("p_ik",),
        verbalised="said",
        majority_share="votes",
    )
    of = dict(iter(got.groupby("source")["confidence"]))
    answered = items["outcome"] != "abstain"
    expected = [0.8, np.nan, 0.3, np.nan, 0.9, 0.9, 0.9, 0.9]
    np.testing.assert_array_equal(of["verbalised"], expected)
    np.testing.assert_array_equal(of["majority share"], items["votes"][answered])
    np.testing.assert_array_equal(of["p_ik"], 0.25)


def test_the_scale_is_what_a_bare_number_is_out_of(items, confidences) -> None:
    said = items.assign(said="7")
    got = confidence_items(said, confidences, units=UNITS, sources=(), verbalised="said", scale=10)
    assert (got["confidence"] == 0.7).all()


def test_an_answer_without_a_span_is_missing_or_counts_as_rlsf_counts_it(
    items, confidences
) -> None:
    options: dict[str, Any] = {"units": UNITS, "sources": ("margin",), "verbalised": "said"}
    missing = confidence_items(items, confidences, **options)
    zero = confidence_items(items, confidences, without=0.0, **options)
    # What was never put into words stays missing: that is no answer without a span.
    without = (missing["prompt_id"] == "p1") & (missing["source"] == "margin")
    assert missing["confidence"][without].isna().all()
    assert (zero["confidence"][without] == 0).all()
    pd.testing.assert_frame_equal(missing[~without], zero[~without])
    stated = calibration_table(missing, units=("pair_id",)).set_index(["source", "measure"])
    assert stated.loc[("margin", "stated"), "estimate"] == pytest.approx(7 / 8)


def test_the_tables_take_them(items, confidences) -> None:
    got = confidence_items(items, confidences, units=("prompt_id",), verbalised="said")
    assert list(got) == ["prompt_id", "source", "confidence", "correct"]
    table = calibration_table(got, units=("prompt_id",), n_boot=50)
    accuracy = table[table["measure"] == "accuracy"].set_index("source")["estimate"]
    assert accuracy["margin"] == pytest.approx(3 / 7)
    assert set(table["source"]) == {*SOURCES, "verbalised"}
    assert len(reliability_table(got, units=("prompt_id",)))
    assert len(risk_coverage_table(got, units=("prompt_id",), n_boot=50))


@pytest.mark.parametrize(
    ("change", "options", "message"),
    [
        ({"outcome": "none"}, {}, "prompt p0: the outcome is 'none'; expected one of abstain"),
        ({"outcome": "abstain"}, {}, "all 10 abstain"),
        ({}, {"sources": ("certainty",)}, "confidences lack the column certainty"),
        ({}, {"sources": "margin"}, "name at least one column"),
        ({}, {"sources": ()}, "name at least one column"),
        ({}, {"verbalised": "words"}, "graded replies lack the column words"),
        ({}, {"majority_share": "votes_"}, "graded replies lack the column votes_"),
        ({}, {"units": ("entity",)}, "graded replies lack the column entity"),
        ({"prompt_id": "q"}, {}, "prompt q: no row for its answer"),
    ],
)
def test_bad_input_is_refused(items, confidences, change, options, message: str) -> None:
    with pytest.raises(InputError, match=message):
        confidence_items(items.assign(**change), confidences, **{"units": UNITS, **options})


def test_two_rows_of_one_prompt_are_refused(items, confidences) -> None:
    twice = pd.concat([confidences, confidences[confidences["prompt_id"] == "p4"]])
    with pytest.raises(InputError, match="prompt p4: two rows"):
        confidence_items(items, twice, units=UNITS)
