from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest

from interp.behavior.published.noticing import noticed_table
from interp.behavior.reasoning.noticed import instrument_agreement, noticed_by_instrument
from interp.errors import InputError

SAYS, SILENT = "The price is not given. So 7.", "Add the two numbers. So 7."
UNITS = ("prompt_id",)


def planted(n: int = 400, *, answers_if_seen: float = 0.7, seed: int = 0) -> pd.DataFrame:
    """A model that notices half of the time, says so in half of these, and answers all the same.

    The probe reads what it notices; the words only what it says. It always answers otherwise.
    """
    rng = np.random.default_rng(seed)
    seen_N = np.arange(n) % 2 == 0
    said_N = seen_N & (np.arange(n) % 4 == 0)
    answers_N = ~seen_N | (rng.random(n) < answers_if_seen)
    return pd.DataFrame(
        {
            "prompt_id": [f"p{k}" for k in range(n)],
            "model": "child",
            "reply": np.where(said_N, SAYS, SILENT),
            "p_noticed": np.where(seen_N, 0.9, 0.1),
            "concluded": np.where(answers_N, "answer", "abstain"),
        }
    )


def estimates(table: pd.DataFrame, measure: str, against: str = "") -> dict[str, float]:
    here = table[(table["measure"] == measure) & (table["against"] == against)]
    return here.set_index("instrument")["estimate"].to_dict()


def test_each_instrument_has_the_share_of_what_it_sees() -> None:
    replies = planted()
    table = noticed_by_instrument(replies, units=UNITS, n_boot=100)
    answers_N = (replies["concluded"] == "answer").to_numpy()
    seen_N, said_N = np.arange(400) % 2 == 0, np.arange(400) % 4 == 0
    given = estimates(table, "answers_given_noticed")
    assert given == pytest.approx(
        {
            "text": answers_N[said_N].mean(),
            "probe": answers_N[seen_N].mean(),
            "probe_soft": (0.9 * answers_N[seen_N].mean() + 0.1 * 1),
            "both": answers_N[said_N].mean(),
            "probe_only": answers_N[seen_N & ~said_N].mean(),
        }
    )
    assert estimates(table, "noticed") == pytest.approx(
        {"text": 0.25, "probe": 0.5, "probe_soft": 0.5, "both": 0.25, "probe_only": 0.25}
    )
    assert estimates(table, "answers_given_unnoticed")["probe"] == 1
    # What the words miss, they call unnoticed and abstained on; the difference is per reply.
    apart = estimates(table, "answers_given_unnoticed", against="text")
    assert apart["probe"] == pytest.approx(1 - answers_N[~said_N].mean())
    rows = table[(table["measure"] == "answers_given_noticed") & (table["against"] == "")]
    assert ((rows["lo"] < rows["estimate"]) & (rows["estimate"] < rows["hi"])).all()


def test_the_text_is_heard_as_in_the_published_table() -> None:
    replies = planted(80)
    ours = noticed_by_instrument(replies.drop(columns="p_noticed"), units=UNITS, n_boot=20)
    theirs = noticed_table(replies.rename(columns={"prompt_id": "question_id"}), ["model"])
    theirs = theirs[theirs["notice"] == "any"].set_index("measure")["estimate"]
    for measure in ("answers_given_noticed", "answers_given_unnoticed", "noticed",
                    "noticed_given_answers", "noticed_given_abstains"):  # fmt: skip
        assert estimates(ours, measure) == pytest.approx({"text": theirs[measure]})
    assumed = replies.assign(reply="Let's say it costs 3. So 7.")
    how: dict[str, Any] = {"units": UNITS, "n_boot": 20}
    any_kind = noticed_by_instrument(assumed, **how)
    missing = noticed_by_instrument(assumed, heard="missing", **how)
    assert estimates(any_kind, "noticed")["text"] == 1
    assert estimates(missing, "noticed")["text"] == 0


def test_what_is_noticed_late_is_not_heard_early() -> None:
    late = planted(40).assign(reply="Add them. " * 101 + SAYS)
    for heard, share in (("any", 1), ("missing", 1), ("early", 0)):
        table = noticed_by_instrument(late, units=UNITS, heard=heard, n_boot=20)
        assert estimates(table, "noticed")["text"] == share
    soon = noticed_by_instrument(late.assign(reply=SAYS), units=UNITS, heard="early", n_boot=20)
    assert estimates(soon, "noticed")["text"] == 1


def test_a_model_that_never_abstains_always_answers_what_it_noticed() -> None:
    table = noticed_by_instrument(planted(40, answers_if_seen=1.0), units=UNITS, n_boot=20)
    assert set(estimates(table, "answers_given_noticed").values()) == {1.0}
    given = table[(table["measure"] == "noticed_given_abstains") & (table["against"] == "")]
    assert given["estimate"].isna().all()
    assert (given["n"] == 0).all()


def test_agreement_is_what_was_planted() -> None:
    """The probe sees half, the words half of that: they agree on 75%, kappa 1/2."""
    replies = planted(80)
    table = instrument_agreement(replies, units=UNITS, n_boot=50).set_index("measure")
    assert table.loc["agreement", "estimate"] == pytest.approx(0.75)
    assert table.loc["kappa", "estimate"] == pytest.approx(0.5)
    assert table.loc["precision", "estimate"] == pytest.approx(0.5)
    unread = replies.assign(p_noticed=replies["p_noticed"].where(np.arange(80) < 40))
    assert instrument_agreement(unread, units=UNITS, n_boot=20)["n"].max() == 40
    counted = noticed_by_instrument(unread, units=UNITS, n_boot=20)
    probe = counted[(counted["instrument"] == "probe") & (counted["against"] == "")]
    assert probe.set_index("measure").loc["noticed", ["n", "excluded"]].tolist() == [40, 40]


def test_replies_that_conclude_nothing_are_left_out() -> None:
    replies = planted(40)
    cut = pd.concat([replies, planted(8).assign(prompt_id=[f"cut{k}" for k in range(8)],
                                                concluded=None)])  # fmt: skip
    pd.testing.assert_frame_equal(
        noticed_by_instrument(cut, units=UNITS, n_boot=20),
        noticed_by_instrument(replies, units=UNITS, n_boot=20),
    )


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"p_noticed": 1.2}, "p_noticed is 1.2"),
        ({"concluded": "perhaps"}, "concluded is 'perhaps'"),
        ({"concluded": None}, "none concludes anything"),
        ({"reply": None}, "prompt p0: the reply is None"),
        ({"prompt_id": "same"}, "twice"),
    ],
)
def test_replies_that_cannot_be_are_refused(change: dict, said: str) -> None:
    with pytest.raises(InputError, match=said):
        noticed_by_instrument(planted(8).assign(**change), units=("model",))


def test_instruments_that_are_not_there_are_refused() -> None:
    replies = planted(8)
    with pytest.raises(InputError, match="no column reply, said or p_noticed"):
        noticed_by_instrument(replies.drop(columns=["reply", "p_noticed"]), units=UNITS)
    with pytest.raises(InputError, match="expected both"):
        instrument_agreement(replies.drop(columns="p_noticed"), units=UNITS)
    with pytest.raises(InputError, match="read no reply"):
        instrument_agreement(replies.assign(p_noticed=np.nan), units=UNITS)
    with pytest.raises(InputError, match="threshold of 2"):
        noticed_by_instrument(replies, units=UNITS, threshold=2)


def with_said(replies: pd.DataFrame) -> pd.DataFrame:
    """A rule of one's own in the place of the text, which hears the same."""
    return replies.assign(said=(replies["reply"] == SAYS).astype(int)).drop(columns="reply")


@pytest.mark.parametrize("kind", [int, float, bool])
@pytest.mark.parametrize("heard", ["any", "missing", "early"])
def test_a_rule_that_hears_the_same_finds_the_same(kind: type, heard: str) -> None:
    replies = planted(80)
    own = with_said(replies)
    own = own.assign(said=own["said"].astype(kind))
    how: dict[str, Any] = {"units": UNITS, "n_boot": 20, "heard": heard}
    pd.testing.assert_frame_equal(
        noticed_by_instrument(own, **how), noticed_by_instrument(replies, **how)
    )
    pd.testing.assert_frame_equal(
        instrument_agreement(own, **how, source="model"), instrument_agreement(replies, **how)
    )
    alone = noticed_by_instrument(own.drop(columns="p_noticed"), **how)
    assert set(alone["instrument"]) == {"text"}
    assert estimates(alone, "noticed")["text"] == 0.25


def test_a_rule_of_ones_own_is_heard_and_where_there_is_a_text_the_text_is() -> None:
    # All say so by the rule, whatever the words are.
    own = planted(80).assign(said=1)
    ruled = noticed_by_instrument(own.drop(columns="reply"), units=UNITS, n_boot=20)
    assert estimates(ruled, "noticed")["text"] == 1
    assert estimates(ruled, "noticed")["probe_only"] == 0
    assert estimates(ruled, "noticed")["both"] == estimates(ruled, "noticed")["probe"] == 0.5
    worded = noticed_by_instrument(own, units=UNITS, n_boot=20)
    pd.testing.assert_frame_equal(
        worded, noticed_by_instrument(planted(80), units=UNITS, n_boot=20)
    )


def test_what_a_rule_says_of_replies_that_conclude_nothing_does_not_matter() -> None:
    own = with_said(planted(40))
    cut = own.head(8).assign(
        prompt_id=[f"cut{k}" for k in range(8)], concluded=None, said=float("nan")
    )
    pd.testing.assert_frame_equal(
        noticed_by_instrument(pd.concat([own, cut]), units=UNITS, n_boot=20),
        noticed_by_instrument(own, units=UNITS, n_boot=20),
    )


@pytest.mark.parametrize("said", [0.5, -1, 2, float("nan"), None, "yes", "1"])
def test_what_is_neither_said_nor_unsaid_is_refused(said: object) -> None:
    own = with_said(planted(8))
    said_N = [*own["said"].astype(object)[:-1], said]
    for told in (own.assign(said=said_N), own.assign(said=said_N).drop(columns="p_noticed")):
        with pytest.raises(InputError, match="said is neither 0 nor 1"):
            noticed_by_instrument(told, units=UNITS)
