from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from tokenizers import Tokenizer, pre_tokenizers
from tokenizers.models import BPE
from transformers import PreTrainedTokenizerFast

from interp.behavior.reasoning.underthinking import (
    thought_rows,
    thought_spans,
    underthinking_table,
)
from interp.errors import InputError
from tests.checkpoints.tiny import word_tokenizer

UNITS = ("prompt_id",)


def cut(text: str, **how) -> list[str]:
    return [text[start:stop].strip() for start, stop in thought_spans(text, **how)]


def test_a_thought_ends_where_a_sentence_begins_with_a_switch_word() -> None:
    text = "Add 2 and 3. Wait, it says 4.\n\nAlternatively, I wait for the bus. But wait! Or not."
    assert cut(text) == [
        "Add 2 and 3.",
        "Wait, it says 4.",
        "Alternatively, I wait for the bus.",
        "But wait! Or not.",
    ]
    assert "".join(text[a:b] for a, b in thought_spans(text)) == text
    assert cut("Waiters eat. Hmmm.") == ["Waiters eat. Hmmm."]
    assert cut("Wait, what?") == ["Wait, what?"]  # nothing stood before it
    assert cut("<think>\nWait, no. Hmm.") == ["<think>", "Wait, no.", "Hmm."]
    assert cut("so 3 wait so 4 wait", anywhere=True) == ["so 3", "wait so 4", "wait"]
    assert cut("so 3 wait so 4") == ["so 3 wait so 4"]
    assert cut("one. Plan B: two", words=["plan b"]) == ["one.", "Plan B: two"]
    assert thought_spans("") == []


@pytest.mark.parametrize("words", [[], ["wait", " "]])
def test_switch_words_that_are_none_are_refused(words: list[str]) -> None:
    with pytest.raises(InputError, match="expected some, none empty"):
        thought_spans("a", words)


def test_tokens_and_right_thoughts_are_counted() -> None:
    replies = pd.DataFrame(
        {
            "prompt_id": ["p", "p", "q"],
            "sample": [0, 1, 0],
            "text": ["w1 w2 wait w3 a wait w4", "w9", "w1 wait w3"],
        }
    )
    rows = thought_rows(replies, {"p": ["w3"], "q": []}, word_tokenizer(("wait",)), anywhere=True)
    assert rows["tokens"].tolist() == [2, 3, 2, 1, 1, 2]
    assert rows["right"].tolist() == [False, True, False, False, False, False]
    assert rows["thought"].tolist() == [0, 1, 2, 0, 0, 1]
    judged = thought_rows(
        replies, {"p": ["w3"], "q": []}, word_tokenizer(), is_right=lambda text, _: "w9" in text
    )
    assert judged["right"].tolist() == [False, True, False]
    with pytest.raises(InputError, match="no entry for prompt q"):
        thought_rows(replies, {"p": []}, word_tokenizer())
    with pytest.raises(InputError, match="prompt p: the text is None"):
        thought_rows(replies.assign(text=None), {"p": [], "q": []}, word_tokenizer())
    with pytest.raises(InputError, match="lack the column text"):
        thought_rows(replies.drop(columns="text"), {}, word_tokenizer())


def test_a_token_that_begins_with_the_space_before_a_thought_is_of_that_thought() -> None:
    """Byte-level tokenizers put the space first, and some count it among the token's characters."""
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    merges = [("a", "i"), ("ai", "t"), ("\u0120", "W"), ("\u0120W", "ait")]
    vocab = {piece: n for n, piece in enumerate([*alphabet, *(a + b for a, b in merges)])}
    backend = Tokenizer(BPE(vocab=vocab, merges=merges))
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=backend)
    text = "ab. Wait c\nHmm"
    assert tokenizer(text, return_offsets_mapping=True)["offset_mapping"][3] == (3, 8)
    replies = pd.DataFrame({"prompt_id": ["p"], "sample": [0], "text": [text]})
    rows = thought_rows(replies, {"p": []}, tokenizer)
    assert rows["tokens"].tolist() == [3, 4, 3]  # "ab.", " Wait" and " c" and the break, "Hmm"


def thoughts(spec: dict[str, list[tuple[int, bool]]]) -> pd.DataFrame:
    return pd.DataFrame(
        [
            {"prompt_id": name, "sample": 0, "thought": k, "tokens": tokens, "right": right}
            for name, of in spec.items()
            for k, (tokens, right) in enumerate(of)
        ]
    )


def items(outcomes: dict[str, str | None]) -> pd.DataFrame:
    return pd.DataFrame(
        {"prompt_id": list(outcomes), "sample": 0, "outcome": list(outcomes.values())}
    )


def test_xi_is_the_share_of_wrong_answers_said_after_the_first_right_thought() -> None:
    spec = {
        "early": [(20, True), (30, False), (50, True)],  # 1 - 20/100
        "late": [(60, False), (40, True)],  # right to the end: 0
        "never": [(10, False), (10, False)],  # it never had it: 0, as in the paper
        "fine": [(10, False), (30, True)],
        "abstains": [(99, True)],
    }
    outcome = {"early": "wrong", "late": "wrong", "never": "wrong", "fine": "correct"}
    outcome |= {"abstains": "abstain", "silent": "wrong"}
    table = underthinking_table(items(outcome), thoughts(spec), units=UNITS, n_boot=20)
    found = table.set_index("measure")
    expected = {
        "xi": 0.8 / 3, "xi_with_right": 0.8 / 2, "has_right": 2 / 3, "thoughts_wrong": 7 / 3,
        "thoughts_correct": 2, "tokens_wrong": 220 / 3, "tokens_correct": 40,
        "tokens_ratio": 220 / 120, "thoughts_ratio": 7 / 6, "empty": 1,
    }  # fmt: skip
    assert found["estimate"].to_dict() == pytest.approx(expected)
    assert found.loc[["xi", "xi_with_right", "tokens_correct", "empty"], "n"].tolist() == [
        3,
        2,
        1,
        5,
    ]
    shuffled = thoughts(spec).sample(frac=1, random_state=1)
    again = underthinking_table(items(outcome), shuffled, units=UNITS, n_boot=20)
    pd.testing.assert_frame_equal(again, table)


def test_replies_of_no_thought_at_all_are_counted_and_make_no_number() -> None:
    silent = items({"a": "wrong", "b": "correct"})
    none = thought_rows(silent.assign(text=""), {"a": ["1"], "b": []}, word_tokenizer())
    table = underthinking_table(silent, none, units=UNITS, n_boot=20).set_index("measure")
    assert table.loc["empty", ["estimate", "n"]].tolist() == [2, 2]
    assert table.drop(index="empty")["estimate"].isna().all()


def test_intervals_hold_the_planted_value() -> None:
    """Wrong answers of which 60% had it after a quarter of their tokens."""
    rng = np.random.default_rng(0)
    names = [f"p{k}" for k in range(300)]
    spec = {name: [(25, bool(rng.random() < 0.6)), (75, False)] for name in names}
    table = underthinking_table(
        items(dict.fromkeys(names, "wrong")), thoughts(spec), units=UNITS, n_boot=300
    ).set_index("measure")
    assert table.loc["xi", "lo"] < 0.45 < table.loc["xi", "hi"]
    assert table.loc["xi", "hi"] - table.loc["xi", "lo"] < 0.12
    assert table.loc["xi_with_right", "estimate"] == 0.75
    assert np.isnan(table.loc["tokens_ratio", "estimate"])
    assert np.isnan(table.loc["tokens_correct", "estimate"])


def test_tables_that_do_not_fit_are_refused() -> None:
    some, said = items({"a": "wrong"}), thoughts({"a": [(1, True)]})
    with pytest.raises(InputError, match="sample 0 of a twice"):
        underthinking_table(pd.concat([some, some]), said, units=UNITS)
    with pytest.raises(InputError, match="thoughts lack the column right"):
        underthinking_table(some, said.drop(columns="right"), units=UNITS)
    with pytest.raises(InputError, match="a thought is there twice"):
        underthinking_table(some, pd.concat([said, said]), units=UNITS)
    with pytest.raises(InputError, match="neither right nor not"):
        underthinking_table(some, said.assign(right=np.nan), units=UNITS)
    with pytest.raises(InputError, match="not in the items"):
        underthinking_table(some, thoughts({"b": [(1, True)]}), units=UNITS)
    with pytest.raises(InputError, match="lack the column outcome"):
        underthinking_table(some.drop(columns="outcome"), said, units=UNITS)
