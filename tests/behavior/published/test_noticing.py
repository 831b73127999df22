"""Noticing by rule: sentences that do and do not, the table's algebra, and known rates."""

from __future__ import annotations

import pandas as pd
import pytest

from interp.behavior.audit.labelled import labelled_replies
from interp.behavior.published.noticing import (
    BINS,
    EARLY,
    MISSING,
    notice,
    notice_early,
    noticed_by_length,
    noticed_table,
)
from interp.errors import InputError
from tests.behavior.published_replies import REAL

SAYS = {
    "not given": [
        "The problem does not say how many loaves there are.",
        "It isn\N{RIGHT SINGLE QUOTATION MARK}t specified how long he walks.",
        "Nothing is mentioned about pencils.",
        "The values of x and y, none of which are given, decide it.",
    ],
    "not enough": [
        "There is not enough information.",
        "We lack sufficient data to go on.",
        "Without more context, this stays open.",
        "The sticks do not relate to the shirts.",
    ],
    "lacking": ["The number of hours is missing.", "It is unclear what n stands for."],
    "asks": [
        "Let me know how many there were!",
        "You'll need to know the price of one.",
        "Could you clarify the question?",
        "We would need more information on that.",
    ],
    "cannot": [
        "It is impossible to determine the cost.",
        "We cannot calculate that.",
        "The total can't be found.",
    ],
}
SILENT = [
    "First, I need to find the relevant information in the text.",
    "He bakes 3 loaves a day, so 21 in a week.",
    "There are not 5 but 6 loaves left.",
    "I don't see any missing information here.",
    "There's no ambiguity in this, so 21 it is.",
    "I don't think I missed any information.",
    "The problem doesn't mention any other costs.",
    "No additional fees are mentioned.",
    "We do not need to assume anything.",
    "",
]


def test_every_kind_of_phrase_has_examples():
    assert set(SAYS) == set(MISSING)


@pytest.mark.parametrize("sentence", [text for texts in SAYS.values() for text in texts])
def test_what_says_that_something_is_missing_is_heard_wherever_it_stands(sentence):
    assert notice(sentence).missing == 0.0
    behind = "Bo has 3 loaves. "
    text = f"{behind}{sentence} So it is 4."
    assert notice(text).missing == pytest.approx((len(behind) - 1) / len(text), abs=0.02)


@pytest.mark.parametrize("sentence", SILENT)
def test_what_says_nothing_of_the_kind_is_not_heard(sentence):
    assert notice(sentence).first is None


def test_assuming_is_heard_apart_and_the_first_of_both_counts():
    text = "Let's say it costs $3. That is 6 in all. But the price is not given."
    found = notice(text)
    assert found.assumed == 0.0
    assert found.missing == pytest.approx(text.index("But") / len(text), abs=0.02)
    assert found.first == found.assumed
    assert notice("Suppose he has two.").missing is None


def test_a_sentence_that_cannot_be_solved_is_not_taken_back():
    text = "Without additional constraints no other value can't be ruled in, so we cannot solve it."
    assert notice(text).missing == 0.0


def replies(cells: dict[tuple[bool, str | None], int], model: str = "m") -> pd.DataFrame:
    texts = {True: "It is unclear.", False: "It is 4."}
    rows = [
        {"reply": texts[noticed], "concluded": concluded, "model": model}
        for (noticed, concluded), n in cells.items()
        for _ in range(n)
    ]
    return pd.DataFrame(rows).assign(question_id=[f"q{k}" for k in range(len(rows))])


def test_the_table_is_the_cross_table_that_was_planted():
    cells = {(True, "answer"): 6, (True, "abstain"): 3, (False, "answer"): 9, (False, "abstain"): 2}
    table = noticed_table(replies({**cells, (True, None): 5}), ["model"])
    found = table[table["notice"] == "any"].set_index("measure")
    expected = {
        "noticed_answers": (6, 20),
        "noticed_abstains": (3, 20),
        "unnoticed_answers": (9, 20),
        "unnoticed_abstains": (2, 20),
        "noticed": (9, 20),
        "answers_given_noticed": (6, 9),
        "answers_given_unnoticed": (9, 11),
        "noticed_given_answers": (6, 15),
        "noticed_given_abstains": (3, 5),
    }
    for measure, (hit, n) in expected.items():
        assert found.loc[measure, "estimate"] == pytest.approx(hit / n)
        assert found.loc[measure, "n"] == n
        assert found.loc[measure, "lo"] < hit / n < found.loc[measure, "hi"]
    assert found.loc["place", ["estimate", "n"]].tolist() == [0.0, 9]


def test_what_is_merely_assumed_counts_under_any_alone():
    rows = replies({(False, "answer"): 3}).assign(reply="Suppose it is 3.")
    table = noticed_table(rows, ["model"]).set_index(["notice", "measure"])["estimate"]
    assert (table["any", "noticed"], table["missing", "noticed"]) == (1, 0)
    assert pd.isna(table["missing", "answers_given_noticed"])
    assert pd.isna(table["missing", "place"])


FILLER = "Bo has a loaf. " * (EARLY // 4)  # EARLY words, none of which notices


def test_early_reads_the_first_words_of_every_reply():
    said = "It is unclear."
    assert notice_early(said) == notice(said)
    assert notice_early(f"{said} {FILLER * 9}").missing == 0.0
    assert notice(FILLER + said).missing is not None
    assert notice_early(FILLER + said).missing is None
    # The last word of the first EARLY still counts, the next does not.
    words = ["loaf"] * (EARLY - 1)
    assert notice_early(" ".join([*words, "unclear", "loaf"])).missing is not None
    assert notice_early(" ".join(["loaf", *words, "unclear"])).missing is None


def test_going_on_for_long_is_noticed_and_early_is_not_moved_by_it():
    """A model that says the same and goes on differs in "any" alone."""
    rows = replies({(False, "answer"): 6, (True, "answer"): 4})
    longer = rows.assign(reply=rows["reply"] + FILLER + "It is unclear.")
    table = noticed_table(pd.concat([rows, longer.assign(model="long")]), ["model"])
    noticed = table[table["measure"] == "noticed"].set_index(["model", "notice"])["estimate"]
    assert (noticed["m", "any"], noticed["long", "any"]) == (0.4, 1.0)
    assert (noticed["m", "early"], noticed["long", "early"]) == (0.4, 0.4)


def test_noticing_is_told_by_length():
    """At the edges of bins: so many words belong to the bin that they close."""
    rows = pd.DataFrame(
        {"reply": " ".join(["loaf"] * (n - 1) + [last]), "model": "m", "question_id": f"{n}{last}"}
        for edge in BINS
        for n in (edge, edge + 1)
        for last in ("loaf", "unclear")
    )
    table = noticed_by_length(rows, ["model"])
    found = table[table["notice"] == "any"].set_index("words")
    names = ["1-150", "151-250", "251-400", "401-800", "801-3000", "3001-"]
    assert found.index.tolist() == names
    assert found["n"].tolist() == [2, 4, 4, 4, 4, 2]
    assert (found["estimate"] == 0.5).all()
    assert (found["lo"] < 0.5).all()
    assert (found["hi"] > 0.5).all()
    # Of 151 to 250 words one notices at its 151st, the other at its 250th.
    early = table[table["notice"] == "early"].set_index("words")["estimate"]
    assert early[names].tolist() == [0.5, 0.25, 0, 0, 0, 0]


def test_groups_stand_apart():
    both = pd.concat([replies({(True, "answer"): 4}, "a"), replies({(False, "answer"): 4}, "b")])
    table = noticed_table(both, ["model"])
    noticed = table[(table["measure"] == "noticed") & (table["notice"] == "any")]
    assert noticed.set_index("model")["estimate"].to_dict() == {"a": 1, "b": 0}


def test_bad_tables_are_refused():
    rows = replies({(True, "answer"): 2})
    with pytest.raises(InputError, match="concluded"):
        noticed_table(rows.drop(columns="concluded"), ["model"])
    for table in (noticed_table, noticed_by_length):
        with pytest.raises(InputError, match="question q comes twice"):
            table(rows.assign(question_id="q"), ["model"])
        with pytest.raises(InputError, match="lack the column reply"):
            table(rows.drop(columns="reply"), ["model"])


@pytest.mark.skipif(
    not (REAL / "mip_overthinking").is_dir() or not (REAL / "sum_umwp_reasoning_outputs").is_dir(),
    reason="the public files are not on this machine",
)
def test_on_replies_it_was_not_written_on_it_hears_what_is_said_and_little_else():
    """Phrases were chosen on the half "tune"; rates here are of the half "apart"."""
    mip, umwp = (labelled_replies(source, REAL) for source in ("mip", "umwp_traces"))
    every = pd.concat([mip, umwp])
    every = every[every["split_half"] == "apart"]
    said = every["reply"].map(lambda reply: notice(reply).missing is not None)
    boxed = every["label"].eq("abstain") & every["source"].eq("umwp_traces")
    assert said[boxed].mean() >= 0.98
    instruct = every["model"].isin(["Qwen32", "gpt4o", "Gemma227", "o1"])
    judged = every["label"].eq("abstain") & instruct & every["should_abstain"]
    assert said[judged].mean() > 0.93
    whole = every["arm"].eq("whole") & every["label"].eq("answer")
    assert said[whole].mean() < 0.02
    chains = every["label"].eq("correct") & every["arm"].eq("plain")
    assert said[chains].mean() < 0.12
