from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import pandas as pd
import pytest
import torch

from interp.behavior.scores.continuations import Continuations, read_continuations
from interp.behavior.scores.first_token_table import first_token_table
from interp.behavior.scores.first_tokens import first_token_score, first_tokens
from interp.checkpoints import Checkpoint, LoadedModel
from interp.errors import InputError
from interp.prompts import PromptSet
from tests.behavior.conftest import WORDS, prompt_set
from tests.behavior.spaced import spaced_tokenizer, write_spaced

WORLD = Continuations(
    "world",
    abstain=("i do not know", "w3", "w4 w4", "w5 w8"),
    answer=("w5 w6", "w7 w7 w7"),
    clarify=("w8 w9",),
    refuse=("w10", "do not"),
)
"""Of its first tokens w5 begins an answer too, and w10 and do only refuse."""
CHOSEN = ("i", "w3", "w4", "w8")

ENGLISH = Continuations("en", ("I don't know", "Unknown", "It cannot be"), ("It is", "The answer"))


@pytest.fixture(scope="module")
def spaced(tmp_path_factory: pytest.TempPathFactory) -> LoadedModel:
    return Checkpoint(write_spaced(tmp_path_factory.mktemp("spaced")), "spaced").load()


@contextmanager
def calls_of(loaded: LoadedModel) -> Iterator[list[int]]:
    """Rows of each forward."""
    rows: list[int] = []
    handle = loaded.model.register_forward_pre_hook(
        lambda _, __, kwargs: rows.append(len(kwargs["input_ids"])), with_kwargs=True
    )
    try:
        yield rows
    finally:
        handle.remove()


def softmax_score(loaded: LoadedModel, text: str, tokens: list[int]) -> float:
    """From one unpadded forward of one prompt."""
    ids = loaded.tokenizer(text, add_special_tokens=False).input_ids
    with torch.no_grad():
        p_V = loaded.model(torch.tensor([ids])).logits[0, -1].double().softmax(-1)
    return float(torch.logit(p_V[tokens].sum()))


@pytest.mark.parametrize("token_budget", [15, 8192])
def test_the_score_is_the_log_odds_of_a_softmax(
    loaded: LoadedModel, prompts: PromptSet, token_budget: int
) -> None:
    got_N = first_token_score(loaded, prompts, WORLD, token_budget=token_budget)
    tokens = loaded.tokenizer.convert_tokens_to_ids(list(CHOSEN))
    expected = [softmax_score(loaded, text, tokens) for text in prompts.frame["text"]]
    np.testing.assert_allclose(got_N, expected, atol=2e-5)


def test_the_kinds_that_count_make_the_set(loaded: LoadedModel, prompts: PromptSet) -> None:
    got_N = first_token_score(loaded, prompts, WORLD, kinds=("refuse",))
    tokens = loaded.tokenizer.convert_tokens_to_ids(["w10", "do"])
    expected = [softmax_score(loaded, text, tokens) for text in prompts.frame["text"]]
    np.testing.assert_allclose(got_N, expected, atol=2e-5)


def test_one_forward_for_all_prompts_and_none_for_continuations(
    loaded: LoadedModel, prompts: PromptSet
) -> None:
    with calls_of(loaded) as rows:
        first_token_score(loaded, prompts, WORLD)
    assert rows == [len(prompts)]


def test_known_logits_give_a_known_score(loaded: LoadedModel, prompts: PromptSet) -> None:
    """Four tokens of the set with logit 2 among 28 with 0, and 300 on all of them."""
    logit_V = torch.full((len(WORDS),), 300.0)
    logit_V[[WORDS.index(word) for word in CHOSEN]] += 2
    handle = loaded.model.lm_head.register_forward_hook(
        lambda _, __, output: logit_V.expand_as(output)
    )
    try:
        score_N = first_token_score(loaded, prompts, WORLD)
    finally:
        handle.remove()
    np.testing.assert_allclose(score_N, 2 + np.log(4 / (len(WORDS) - 4)), atol=1e-4)


def test_edits_are_made_at_the_left_padded_prompts(loaded: LoadedModel, prompts: PromptSet) -> None:
    seen: list[int] = []

    @contextmanager
    def edits(encoded, rows):
        seen.extend(rows)
        assert encoded.attention_mask_BT[:, -1].all()
        add = torch.nn.functional.one_hot(torch.tensor(3), len(WORDS)) * 50.0
        handle = loaded.model.lm_head.register_forward_hook(lambda _, __, output: output + add)
        try:
            yield
        finally:
            handle.remove()

    assert WORDS[3] == "i"
    assert (first_token_score(loaded, prompts, WORLD, edits=edits, token_budget=20) > 10).all()
    assert sorted(seen) == list(range(len(prompts)))


@pytest.mark.parametrize(("text", "space"), [("A:", " "), ("A:\n", ""), ("<turn>", ""), ("", "")])
def test_tokens_have_the_space_that_the_prompt_asks_for(text: str, space: str) -> None:
    tokenizer = spaced_tokenizer()
    found = first_tokens(tokenizer, ENGLISH, text)
    said = {tokenizer.decode([token]): texts for token, texts in found.begins.items()}
    assert said[f"{space}I"] == ("I don't know",)
    assert said[f"{space}It"] == ("It cannot be", "It is")
    assert {tokenizer.decode([token]) for token in found.chosen} == {f"{space}I", f"{space}Unknown"}


def test_every_prompt_is_scored_with_its_own_set(spaced: LoadedModel) -> None:
    """ " I" after a colon is abstaining; after a line break it is "I" that is."""
    texts = ["Q: where is it? A:", "Who?\n", "where? A:", "<turn>"]
    got_N = first_token_score(spaced, prompt_set(texts), ENGLISH)
    for text, score in zip(texts, got_N, strict=True):
        space = " " if text.endswith(":") else ""
        tokens = [
            spaced.tokenizer(space + word, add_special_tokens=False).input_ids[0]
            for word in ("I", "Unknown")
        ]
        assert score == pytest.approx(softmax_score(spaced, text, tokens), abs=2e-5)


def test_a_prompt_that_ends_within_a_word_is_named(spaced: LoadedModel) -> None:
    asked = prompt_set(["Q: where is it? A:", "Q: where is it? A: "])
    with pytest.raises(InputError, match=r"prompt p1: followed by .* its last tokens change"):
        first_token_score(spaced, asked, ENGLISH)


def test_a_set_of_nothing_is_refused(loaded: LoadedModel, prompts: PromptSet) -> None:
    world = Continuations("world", ("w5 w8", "w7 w1"), ("w5 w6", "w7 w2"))
    with pytest.raises(InputError, match="after prompt p0 no token begins a continuation"):
        first_token_score(loaded, prompts.where(prompt_id="p0"), world)


def test_a_model_without_the_words_is_one_error(loaded: LoadedModel, prompts: PromptSet) -> None:
    with pytest.raises(InputError, match=r"en\.yaml: 'abstain\.0' .* does not know"):
        first_token_score(loaded, prompts, read_continuations("en"))


def replies(prompts: PromptSet, said: list[str | None], outcomes: list[str]) -> pd.DataFrame:
    ids = [None if word is None else WORDS.index(word) for word in said]
    asked = prompts.frame["prompt_id"].tolist()[: len(said)]
    return pd.DataFrame(
        {
            "prompt_id": asked,
            "pair_id": asked,
            "first_token": pd.array(ids, dtype="Int64"),
            "outcome": outcomes,
            "split": "dev",
        }
    )


def test_the_table_shows_each_token_and_what_it_begins(
    loaded: LoadedModel, prompts: PromptSet
) -> None:
    table = first_token_table(loaded.tokenizer, prompts, WORLD).set_index("text")
    assert table[table["chosen"]].index.tolist() == sorted(CHOSEN, key=WORDS.index)
    assert set(table[~table["chosen"]].index) == {"w5", "w7", "w10", "do"}
    assert table.loc["w5", "begins"] == "w5 w8 | w5 w6"
    assert table.loc["w5", "kinds"] == "abstain | answer"
    assert table.loc["w8", "token"] == WORDS.index("w8")
    assert "precision" not in table


def test_precision_and_recall_are_counted(loaded: LoadedModel, prompts: PromptSet) -> None:
    """Of ten replies five begin with the set and five abstain, three do both."""
    said = ["i", "i", "i", "w8", "w3", "w5", "w20", "w20", None, "w7"]
    outcomes = ["abstain"] * 2 + ["wrong"] + ["abstain"] + ["correct"] + ["abstain"] * 2
    outcomes += ["correct", "wrong", "correct"]
    ten = replies(prompts, said, outcomes)
    said_four_times = pd.concat([ten.assign(pair_id=ten["pair_id"] + time) for time in "abcd"])
    table = first_token_table(loaded.tokenizer, prompts, WORLD, said_four_times, n_boot=200)
    whole = table[table["what"] == "set"].iloc[0]
    assert (whole["n"], whole["precision"], whole["recall"]) == (20, 3 / 5, 3 / 5)
    assert 0 <= whole["precision_lo"] < 3 / 5 < whole["precision_hi"] <= 1
    tokens = table[table["what"] == "token"].set_index("text")
    for text, (n, precision, recall) in {
        "i": (12, 2 / 3, 2 / 5),
        "w8": (4, 1, 1 / 5),
        "w5": (4, 1, 1 / 5),
        "w7": (4, 0, 0),
        "w4": (0, np.nan, 0),
    }.items():
        got = tokens.loc[text, ["n", "precision", "recall"]].to_numpy(float)
        np.testing.assert_allclose(got, [n, precision, recall], err_msg=text)


def test_a_precision_of_all_or_nothing_has_wilsons_limits_over_units(
    loaded: LoadedModel, prompts: PromptSet
) -> None:
    """All of 5 replies of 5 pairs, told twice each: the limits stay those of 5."""
    said, outcomes = ["i"] * 5 + ["w7"] * 5, ["abstain"] * 5 + ["wrong"] * 5
    once = replies(prompts, said, outcomes)
    table = first_token_table(
        loaded.tokenizer, prompts, WORLD, pd.concat([once, once]), n_boot=50
    ).set_index("text")
    z2 = 1.959964**2
    limits = table.loc["i", ["n", "precision", "precision_lo", "precision_hi"]].tolist()
    assert limits == pytest.approx([10, 1, 5 / (5 + z2), 1], abs=1e-6)
    limits = table.loc["w7", ["n", "precision", "precision_lo", "precision_hi"]].tolist()
    assert limits == pytest.approx([10, 0, 0, z2 / (5 + z2)], abs=1e-6)
    assert table.loc["w4", "recall_hi"] > 0.4


def test_a_reply_is_held_against_the_set_after_its_own_prompt() -> None:
    """ "I" without its space is no token of the set after a colon."""
    tokenizer = spaced_tokenizer()
    asked = prompt_set(["where? A:", "Who?\n"])
    bare, after_space = (tokenizer(text).input_ids[0] for text in ("I", " I"))
    said = pd.DataFrame(
        {
            "prompt_id": ["p0", "p0", "p1", "p1"],
            "pair_id": ["p0", "p0", "p1", "p1"],
            "first_token": [bare, after_space, bare, after_space],
            "outcome": ["wrong", "abstain", "abstain", "wrong"],
            "split": "dev",
        }
    )
    table = first_token_table(tokenizer, asked, ENGLISH, said, n_boot=10)
    whole = table[table["what"] == "set"].iloc[0]
    assert (whole["n"], whole["precision"], whole["recall"]) == (2, 1, 1)


@pytest.mark.parametrize(
    ("column", "value", "message"),
    [
        ("split", "test", "reply to prompt p0: split 'test'; expected the split dev"),
        ("outcome", "hedged", "prompt p0: the outcome is 'hedged'; expected one of abstain"),
        ("prompt_id", "q9", "reply to prompt q9: .*expected a prompt that is among those given"),
    ],
)
def test_bad_replies_are_refused(
    loaded: LoadedModel, prompts: PromptSet, column: str, value: str, message: str
) -> None:
    said = replies(prompts, ["i", "w7"], ["abstain", "correct"])
    said.loc[0, column] = value
    with pytest.raises(InputError, match=message):
        first_token_table(loaded.tokenizer, prompts, WORLD, said)
    with pytest.raises(InputError, match=f"the replies lack the column {column}"):
        first_token_table(loaded.tokenizer, prompts, WORLD, said.drop(columns=column))
