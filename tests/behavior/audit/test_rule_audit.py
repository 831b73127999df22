"""The grader by rule on made replies of every layout: what is kept, what counts as positive."""

from __future__ import annotations

from pathlib import Path

import pytest

from interp.behavior import agreement_table
from interp.behavior.audit.labelled import HALVES, labelled_replies, split_half
from interp.behavior.audit.rule_audit import SOURCES, rule_audit
from interp.errors import InputError
from tests.behavior import published_replies as made

N = 12


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Enough questions for both halves; MiP's every third verdict has no form."""
    replies = [
        ("There is not enough information to answer.", 0),
        ("So it is 21 loaves.", 1),
        ("?", 3),
    ] * (N // 3)
    made.mip(tmp_path, {"m": replies})
    boxed = [f"hm </think> {made.BOXED_GAP}", r"hm </think> \boxed{6}"] * (N // 2)
    made.umwp_traces(tmp_path, dict.fromkeys(made.UMWP_FILES, boxed))
    made.triviaqa(tmp_path)
    made.xstest(tmp_path)
    made.truthfulqa(tmp_path)
    return tmp_path


def test_halves_hold_every_decided_reply_once(folder) -> None:
    found = {half: set(rule_audit(folder, half=half)["prompt_id"]) for half in HALVES}
    every = [labelled_replies(source, folder) for source in SOURCES]
    decided = {
        row.reply_id: split_half(row.question_id)
        for rows in every
        for row in rows.itertuples()
        if row.label not in ("format_error", "none")
    }
    assert len(decided) == 2 * N // 3 + 4 * N + 1 + 2 + 3
    for half, ids in found.items():
        assert ids == {reply for reply, where in decided.items() if where == half}


def test_labels_and_grades_are_those_of_the_source(folder) -> None:
    graded = rule_audit(folder, half="tune")
    mip = graded[graded["source"] == "mip"].set_index("question_id").sort_index()
    said = labelled_replies("mip", folder).set_index("question_id")["label"][mip.index]
    assert mip["label"].tolist() == (said == "abstain").tolist()
    assert set(mip["label"]) == {True, False}
    assert (mip["graded"] == mip["label"]).all()
    assert set(mip["kind"]) >= {"answer"}
    table = agreement_table(graded, units=["question_id"], n_boot=20)
    assert set(table["source"]) == set(graded["source"])


def test_a_refusal_counts_where_the_label_is_of_refusing_alone(tmp_path: Path, folder) -> None:
    """XSTest's label is refusing; the abstaining of MiP is not."""
    refusal = "I'm sorry, but I can't help with that."
    made.xstest(folder, completion=refusal, final_label="2_full_refusal")
    made.mip(folder, {"m": [(refusal, 1)] * N})
    graded = [rule_audit(folder, half=half) for half in HALVES]
    mip, xstest = (
        [row for table in graded for row in table.itertuples() if row.source == source]
        for source in ("mip", "xstest")
    )
    assert {row.kind for row in mip} == {"refuse"}
    assert not any(row.graded or row.label for row in mip)
    first = next(row for row in xstest if row.question_id == "xstest/1")
    assert (first.kind, first.label, first.graded) == ("refuse", True, True)


def test_another_half_is_refused(folder) -> None:
    with pytest.raises(InputError, match=r"no half 'tuned' \(did you mean 'tune'\?\); there"):
        rule_audit(folder, half="tuned")
