from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, nullcontext

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from interp.behavior import abstention_score, continuation_logprobs
from interp.behavior.scores.continuation_scores import (
    ContinuationScores,
    continuation_scores,
    normalised_score,
    sequence_score,
)
from interp.behavior.scores.continuations import Continuations, read_continuations
from interp.behavior.scores.scoring import measured_continuations
from interp.checkpoints import Checkpoint, LoadedModel
from interp.errors import InputError
from interp.prompts import PromptSet
from tests.behavior.conftest import WORDS, prompt_set
from tests.behavior.spaced import write_spaced
from tests.checkpoints.tiny import ARCHITECTURES, write_checkpoint

WORLD = Continuations(
    "world",
    abstain=("i do not know", "w3", "w4 w4"),
    answer=("w5 w6", "w7 w7 w7"),
    clarify=("w8 w9",),
    refuse=("w10", "do not"),
)
WORLD_TEXTS = ("w3", "w4 w4", "w5 who is in w6 w7", "is w8")
"""Words that the tokenizer of `tests.checkpoints.tiny` has too."""
KIND_WORDS = ("abstain", "answer", "clarify", "false_premise", "refuse")


@pytest.fixture(scope="module")
def scores(loaded: LoadedModel, prompts: PromptSet) -> ContinuationScores:
    return continuation_scores(loaded, prompts, WORLD)


def by_hand(loaded: LoadedModel, prompts: PromptSet) -> list[dict[str, list[float]]]:
    """Log probability of each token of each continuation: no batch, no padding, no cache."""
    rows = []
    for text in prompts.frame["text"]:
        row = {}
        for continuation in WORLD.texts:
            prompt, after = (
                loaded.tokenizer(part, add_special_tokens=False).input_ids
                for part in (text, continuation)
            )
            with torch.no_grad():
                logits_TV = loaded.model(torch.tensor([prompt + after])).logits[0].double()
            logprob_TV = logits_TV.log_softmax(-1)[len(prompt) - 1 : -1]
            row[continuation] = [
                float(logprob_V[token]) for logprob_V, token in zip(logprob_TV, after, strict=True)
            ]
        rows.append(row)
    return rows


@contextmanager
def logits_become(loaded: LoadedModel, change) -> Iterator[None]:
    handle = loaded.model.lm_head.register_forward_hook(lambda _, __, output: change(output))
    try:
        yield
    finally:
        handle.remove()


def test_both_forms_are_what_the_formulas_say_of_single_forwards(
    loaded: LoadedModel, prompts: PromptSet, scores: ContinuationScores
) -> None:
    for place, row in enumerate(by_hand(loaded, prompts)):
        abstain = [row[text] for text in (*WORLD.abstain, *WORLD.clarify)]
        p = sum(np.exp(sum(tokens)) for tokens in abstain)
        assert scores.form("sequence")[place] == pytest.approx(np.log(p / (1 - p)), abs=1e-4)

        def typical(kind: str, row=row) -> float:
            return float(np.mean([np.exp(np.mean(row[text])) for text in getattr(WORLD, kind)]))

        for name, value in {
            "normalised": (typical("abstain") + typical("clarify")) / 2,
            "normalised_abstain": typical("abstain"),
            "normalised_clarify": typical("clarify"),
            "normalised_refuse": typical("refuse"),
        }.items():
            expected = np.log(value / typical("answer"))
            assert scores.form(name)[place] == pytest.approx(expected, abs=1e-4)


def test_known_probabilities_give_known_scores(loaded: LoadedModel, prompts: PromptSet) -> None:
    """Whatever was read, w3 has 1/2, w4 and w7 1/8 each, and the others share the rest."""
    p_V = torch.full((len(WORDS),), 0.25 / (len(WORDS) - 3))
    p_V[WORDS.index("w3")], p_V[WORDS.index("w4")], p_V[WORDS.index("w7")] = 0.5, 0.125, 0.125
    world = Continuations("world", ("w3", "w4 w4"), ("w7 w7 w7",), refuse=("w4 w3",))
    with logits_become(loaded, lambda output: p_V.log().expand_as(output)):
        forms = continuation_scores(loaded, prompts, world)
    np.testing.assert_allclose(forms.form("sequence"), np.log(0.515625 / 0.484375), rtol=1e-5)
    np.testing.assert_allclose(forms.form("normalised"), np.log(0.3125 / 0.125), rtol=1e-5)
    np.testing.assert_allclose(forms.form("normalised_refuse"), np.log(0.25 / 0.125), rtol=1e-5)
    np.testing.assert_allclose(forms.form("sequence_refuse"), np.log(0.0625 / 0.9375), rtol=1e-5)


def test_the_sequence_form_is_the_abstention_score_of_its_phrases(
    loaded: LoadedModel, prompts: PromptSet, scores: ContinuationScores
) -> None:
    for name, phrases in {
        "sequence": (*WORLD.abstain, *WORLD.clarify),
        "sequence_abstain": WORLD.abstain,
        "sequence_refuse": WORLD.refuse,
    }.items():
        expected_N = abstention_score(loaded, prompts, phrases)
        np.testing.assert_allclose(scores.form(name), expected_N, atol=2e-5)


def test_the_frame_has_a_column_a_form(scores: ContinuationScores, prompts: PromptSet) -> None:
    frame = scores.frame()
    assert frame["prompt_id"].tolist() == prompts.frame["prompt_id"].tolist()
    assert list(frame.columns[1:]) == [
        *("sequence", "sequence_abstain", "sequence_clarify", "sequence_refuse"),
        *("normalised", "normalised_abstain", "normalised_clarify", "normalised_refuse"),
    ]
    assert np.isfinite(frame.drop(columns="prompt_id").to_numpy()).all()


def test_a_constant_on_all_logits_changes_nothing(
    loaded: LoadedModel, prompts: PromptSet, scores: ContinuationScores
) -> None:
    with logits_become(loaded, lambda output: output + 7.5):
        shifted = continuation_scores(loaded, prompts, WORLD)
    np.testing.assert_allclose(shifted.logprob_NC, scores.logprob_NC, atol=2e-4)


def test_lengths_are_counted_in_tokens(scores: ContinuationScores) -> None:
    n_words = [len(text.split()) for text in WORLD.texts]
    assert (scores.length_NC == n_words).all()


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_prompts_read_once_give_what_whole_forwards_give(
    prompts: PromptSet, architecture: str, tmp_path: Path
) -> None:
    """Also where a sliding window is shorter than prompt and continuation."""
    model = Checkpoint(write_checkpoint(tmp_path, architecture), architecture).load()
    for token_budget in (60, 8192):
        once = measured_continuations(model, prompts, WORLD_TEXTS, token_budget=token_budget)
        whole = measured_continuations(
            model, prompts, WORLD_TEXTS, edits=lambda *_: nullcontext(), token_budget=token_budget
        )
        torch.testing.assert_close(once.logprob_NC, whole.logprob_NC, atol=2e-5, rtol=1e-5)
        assert torch.equal(once.length_NC, whole.length_NC)


def test_several_continuations_cost_one_reading_of_the_prompts(
    loaded: LoadedModel, prompts: PromptSet
) -> None:
    widths = []
    handle = loaded.model.register_forward_pre_hook(
        lambda _, __, kwargs: widths.append(kwargs["input_ids"].shape[1]), with_kwargs=True
    )
    try:
        continuation_scores(loaded, prompts, WORLD)
    finally:
        handle.remove()
    longest = max(len(text.split()) for text in prompts.frame["text"])
    several = [len(text.split()) - 1 for text in WORLD.texts if len(text.split()) > 1]
    assert widths == [longest, *several]


def test_no_continuations_are_no_columns(loaded: LoadedModel, prompts: PromptSet) -> None:
    assert continuation_logprobs(loaded, prompts, []).shape == (len(prompts), 0)


@st.composite
def measured(draw: st.DrawFn) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Log probabilities, lengths and kinds of made-up continuations after five prompts."""
    kind_C = draw(st.lists(st.sampled_from(KIND_WORDS), min_size=2, max_size=12))
    kind_C = np.array([*kind_C, "abstain", "answer"])
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    length_NC = rng.integers(1, 9, (5, len(kind_C)))
    return rng.normal(-3, 2, (5, len(kind_C))) * length_NC, length_NC, kind_C


@given(measured(), st.sampled_from(["abstain", "answer"]), st.integers(2, 5))
def test_writing_a_kind_down_again_changes_no_normalised_score(made, kind: str, times: int) -> None:
    logprob_NC, length_NC, kind_C = made
    again_C = np.repeat(np.arange(len(kind_C)), np.where(kind_C == kind, times, 1))
    np.testing.assert_allclose(
        normalised_score(logprob_NC[:, again_C], length_NC[:, again_C], kind_C[again_C]),
        normalised_score(logprob_NC, length_NC, kind_C),
        atol=1e-12,
    )


@given(measured(), st.randoms(use_true_random=False))
def test_the_order_of_continuations_changes_no_score(made, random) -> None:
    logprob_NC, length_NC, kind_C = made
    order_C = list(range(len(kind_C)))
    random.shuffle(order_C)
    logprob_ND, length_ND, kind_D = logprob_NC[:, order_C], length_NC[:, order_C], kind_C[order_C]
    np.testing.assert_allclose(
        normalised_score(logprob_ND, length_ND, kind_D),
        normalised_score(logprob_NC, length_NC, kind_C),
        atol=1e-12,
    )
    scaled = 40.0  # as probabilities of continuations are: their sum stays below 1
    np.testing.assert_allclose(
        sequence_score(logprob_ND - scaled, kind_D),
        sequence_score(logprob_NC - scaled, kind_C),
        atol=1e-12,
    )


@given(measured(), st.integers(2, 4))
def test_length_by_itself_changes_no_normalised_score(made, times: int) -> None:
    logprob_NC, length_NC, kind_C = made
    np.testing.assert_allclose(
        normalised_score(logprob_NC * times, length_NC * times, kind_C),
        normalised_score(logprob_NC, length_NC, kind_C),
        atol=1e-12,
    )


@given(measured())
def test_the_two_sides_are_even_where_all_continuations_are(made) -> None:
    logprob_NC, length_NC, kind_C = made
    even_N = normalised_score(np.full_like(logprob_NC, -2.0) * length_NC, length_NC, kind_C)
    np.testing.assert_allclose(even_N, 0, atol=1e-12)


def test_less_continuations_is_what_scoring_less_gives(
    loaded: LoadedModel, prompts: PromptSet, scores: ContinuationScores
) -> None:
    texts = ("w3", "w4 w4", "w7 w7 w7", "w10")
    part = scores.only(texts)
    fresh = continuation_scores(loaded, prompts, WORLD.only(texts))
    for name in fresh.form_kinds:
        np.testing.assert_allclose(part.form(name), fresh.form(name), atol=2e-5)
    assert part.form_kinds == fresh.form_kinds
    one_less = scores.only([text for text in WORLD.texts if text != "w3"])
    for name in one_less.form_kinds:
        np.testing.assert_array_equal(one_less.form(name), scores.form(name, without="w3"))


def test_sides_name_what_a_form_weighs(scores: ContinuationScores) -> None:
    assert scores.sides("sequence") == [(*WORLD.abstain, *WORLD.clarify)]
    assert scores.sides("normalised_refuse") == [WORLD.refuse, WORLD.answer]


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        ({"name": "sequense"}, r"no 'sequense' \(did you mean 'sequence'\?\)"),
        ({"name": "sequence", "without": "w33"}, r"no 'w33' \(did you mean 'w3'\?\)"),
        ({"name": "sequence_clarify", "without": "w8 w9"}, "no continuation of the kind clarify"),
    ],
)
def test_a_form_that_is_not_there_is_refused(
    scores: ContinuationScores, asked: dict[str, str], message: str
) -> None:
    with pytest.raises(InputError, match=message):
        scores.form(**asked)


def test_what_one_tokenizer_makes_the_same_is_refused(
    loaded: LoadedModel, prompts: PromptSet
) -> None:
    """Apart as texts, but not in tokens: two spaces are as good as one."""
    world = Continuations("world", ("i  do",), ("i do not",))
    with pytest.raises(InputError, match="'i do not' begins with 'i  do'"):
        continuation_scores(loaded, prompts, world)


@pytest.mark.parametrize(
    ("kind_C", "kinds", "message"),
    [
        (("abstain", "answer"), ("refuse",), "no continuation of the kind refuse"),
        (("abstain", "abstain"), ("abstain",), "no continuation of the kind answer; .* abstain"),
    ],
)
def test_a_score_of_nothing_is_refused(kind_C, kinds, message: str) -> None:
    with pytest.raises(InputError, match=message):
        normalised_score(np.full((1, 2), -1.0), np.ones((1, 2), dtype=int), kind_C, kinds)


def test_a_model_without_the_words_is_one_error(loaded: LoadedModel, prompts: PromptSet) -> None:
    with pytest.raises(InputError, match=r"en\.yaml: 'abstain\.0' .* does not know"):
        continuation_scores(loaded, prompts, read_continuations("en"))


@pytest.fixture(scope="module")
def spaced(tmp_path_factory: pytest.TempPathFactory) -> LoadedModel:
    return Checkpoint(write_spaced(tmp_path_factory.mktemp("spaced")), "spaced").load()


@pytest.mark.parametrize("end", ["A:", "A:\n", "<turn>"])
def test_the_shipped_continuations_can_be_scored(spaced: LoadedModel, end: str) -> None:
    scores = continuation_scores(
        spaced, prompt_set([f"Q: where is it? {end}"]), read_continuations("en")
    )
    assert np.isfinite(scores.frame().drop(columns="prompt_id").to_numpy()).all()


def test_a_prompt_that_ends_within_a_word_is_named(spaced: LoadedModel) -> None:
    asked = prompt_set(["Q: where is it? A:", "Q: where is it? A: "])
    with pytest.raises(InputError, match=r"prompt p1: followed by .* its last tokens change"):
        continuation_scores(spaced, asked, read_continuations("en"))
