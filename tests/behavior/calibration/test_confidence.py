from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy.special import softmax
from scipy.stats import entropy

from interp.behavior.calibration.confidence import span_confidence, verbalised_confidence
from interp.errors import InputError

N, T, V = 5, 6, 11


@pytest.fixture
def said() -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Logits, tokens, and spans of 0 to 6 tokens, not all of them in one piece."""
    generator = torch.Generator().manual_seed(0)
    logits_NTV = 3 * torch.randn(N, T, V, generator=generator)
    token_NT = torch.randint(V, (N, T), generator=generator)
    spans = [[], [2], [0, 1], [1, 3, 5], range(T)]
    span_NT = torch.tensor([[place in span for place in range(T)] for span in spans])
    return logits_NTV, token_NT, span_NT


def test_each_confidence_is_its_definition(said) -> None:
    logits_NTV, token_NT, span_NT = said
    frame = span_confidence(logits_NTV, token_NT, span_NT).frame()
    for row in range(1, N):
        p_TV = softmax(logits_NTV[row][span_NT[row]].double().numpy(), axis=1)
        own_T = p_TV[np.arange(len(p_TV)), token_NT[row][span_NT[row]].numpy()]
        ranked_TV = np.sort(p_TV, axis=1)
        expected = {
            "top_probability": ranked_TV[:, -1].mean(),
            "margin": (ranked_TV[:, -1] - ranked_TV[:, -2]).mean(),
            "entropy": np.mean([1 - entropy(p_V, base=V) for p_V in p_TV]),
            "token_probability": own_T.mean(),
            "sequence_probability": own_T.prod(),
            "normalised_probability": own_T.prod() ** (1 / len(own_T)),
            "min_probability": own_T.min(),
            "sequence_logprob": np.log(own_T).sum(),
        }
        assert set(expected) == set(frame.columns)
        for name, value in expected.items():
            assert frame[name][row] == pytest.approx(value, abs=1e-12), name
    assert frame.iloc[0].isna().all()


def test_what_lies_outside_a_span_does_not_count(said) -> None:
    logits_NTV, token_NT, span_NT = said
    expected = span_confidence(logits_NTV, token_NT, span_NT).frame()
    logits_NTV[~span_NT], token_NT[~span_NT] = torch.nan, -1
    again = span_confidence(logits_NTV, token_NT, span_NT).frame()
    np.testing.assert_array_equal(again, expected)


def test_log_probabilities_do_as_well_as_logits(said) -> None:
    logits_NTV, token_NT, span_NT = said
    from_logits = span_confidence(logits_NTV, token_NT, span_NT).frame()
    logprobs_NTV = logits_NTV.double().log_softmax(-1)
    from_logprobs = span_confidence(logprobs_NTV, token_NT, span_NT).frame()
    np.testing.assert_allclose(from_logprobs, from_logits, atol=1e-12)


def test_greedy_tokens_are_the_top_ones(said) -> None:
    logits_NTV, _, span_NT = said
    frame = span_confidence(logits_NTV, logits_NTV.argmax(-1), span_NT).frame()
    np.testing.assert_array_equal(frame["top_probability"], frame["token_probability"])


def test_sure_and_unsure_predictions_end_the_scale() -> None:
    sure_V = torch.full((V,), -torch.inf)
    sure_V[3] = 0
    logits_NTV = torch.stack([sure_V.expand(2, V), torch.zeros(2, V)])
    token_NT = torch.full((2, 2), 3)
    frame = span_confidence(logits_NTV, token_NT, torch.ones(2, 2, dtype=torch.bool)).frame()
    assert frame.iloc[0].tolist() == [1, 1, 1, 1, 1, 1, 1, 0]
    unsure = [1 / V, 0, 0, 1 / V, V**-2, 1 / V, 1 / V, -2 * np.log(V)]
    np.testing.assert_allclose(frame.iloc[1], unsure, atol=1e-12)


def test_bad_spans_are_refused(said) -> None:
    logits_NTV, token_NT, span_NT = said
    with pytest.raises(InputError, match="vocabulary of 1"):
        span_confidence(logits_NTV[..., :1], token_NT, span_NT)
    for value, message in ((torch.nan, "NaN"), (torch.inf, "NaN"), (-torch.inf, "ruled out")):
        broken_NTV = logits_NTV.clone()
        broken_NTV[3, 5, token_NT[3, 5]] = value
        with pytest.raises(InputError, match=f"row 3, token 5: .*{message}"):
            span_confidence(broken_NTV, token_NT, span_NT)
    for token in (-1, V):
        outside_NT = token_NT.clone()
        outside_NT[1, 2] = token
        with pytest.raises(InputError, match="row 1, token 2: a token lies outside"):
            span_confidence(logits_NTV, outside_NT, span_NT)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("confidence: 0.8", 0.8),
        ("Paris. Confidence: 80%", 0.8),
        ("Answer: 42, confidence is about 90 percent.", 0.9),
        ("**Confidence level:** 7/10", 0.7),
        ("Confidence = .5", 0.5),
        ("<answer>42</answer> <confidence>0.35</confidence>", 0.35),
        ("My confidence: 0,25", 0.25),
        ("Confidence (0-100): 85", 0.85),
        ("Confidence (from 0 to 10): 4", 0.4),
        ("certainty of 4 out of 5", 0.8),
        ("Confidence: 1", 1.0),
        ("confidence: 0", 0.0),
        ("I am 80% sure that it is 42.", 0.8),
        ("It is 1989 (95 % confident)", 0.95),
        ("80%", 0.8),
        (" 80/100. ", 0.8),
        ("4 of 5", 0.8),
        ("0.65", 0.65),
        ("Confidence: 0.8. So my confidence is 80%.", 0.8),
        # no number, or none of confidence
        ("", None),
        ("Confidence: high", None),
        ("I am quite sure.", None),
        ("The rate is 20%, so the tax is 42.", None),
        ("42", None),
        ("uncertainty: 0.8", None),
        ("I am 80% unsure", None),
        # more than one, a range, a bound, a negation
        ("confidence: 0.8, later confidence: 0.6", None),
        ("Confidence: 70-80%", None),
        ("Confidence: 70%-80%", None),
        ("Confidence: 0.7 to 0.8", None),
        ("between 70% and 80% sure", None),
        ("at least 80% sure", None),
        ("I am not 80% sure", None),
        ("less than 50% confident", None),
        # beyond the scale
        ("confidence: 120%", None),
        ("confidence: 8", None),
        ("confidence: -0.5", None),
        ("5 of 4", None),
        ("confidence: 3/0", None),
        ("confidence: 0.8.1", None),
        ("confidence: 4/5/6", None),
    ],
)
def test_what_is_said_is_read(text: str, expected: float | None) -> None:
    assert verbalised_confidence(text) == (None if expected is None else pytest.approx(expected))


def test_a_bare_number_is_out_of_the_scale_asked_for() -> None:
    assert verbalised_confidence("Confidence: 80", scale=100) == pytest.approx(0.8)
    assert verbalised_confidence("Confidence: 1", scale=100) == pytest.approx(0.01)
    assert verbalised_confidence("Confidence: 80%", scale=10) == pytest.approx(0.8)
    assert verbalised_confidence("Confidence: 80", scale=10) is None
    with pytest.raises(InputError, match="scale is 0"):
        verbalised_confidence("80%", scale=0)


WAYS = (
    "confidence: {p}%", "Confidence: {p}/100", "I am {p}% sure.", "{p}%", "{p} of 100",
    "Confidence: {share:.2f}", "The answer is 7. Confidence (0-100): {p}", "{p} percent certain",
)  # fmt: skip


@given(st.integers(0, 100), st.sampled_from(WAYS))
def test_every_way_of_saying_it_is_understood(p: int, way: str) -> None:
    assert verbalised_confidence(way.format(p=p, share=p / 100)) == pytest.approx(p / 100)


@given(st.text(alphabet="confidence sure80.,%/-:()", max_size=40))
def test_nothing_else_is_a_share(text: str) -> None:
    value = verbalised_confidence(text)
    assert value is None or 0 <= value <= 1
    if not any(letter.isdigit() for letter in text):
        assert value is None
