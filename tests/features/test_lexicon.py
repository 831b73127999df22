from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import entropy

from interp.errors import InputError
from interp.features import SparseCodes, reason_score


def by_the_book(dense_NM, tokens, sequences, lexicon, before, after, alpha, ignore):
    """The published statistic, one sequence and one token at a time."""
    n, m = dense_NM.shape
    words = {}
    for word, spellings in lexicon.items():
        inside = set()
        for at in range(n):
            for ids in spellings:
                reach = range(at, min(at + len(ids), n))
                same = len({sequences[i] for i in reach}) == 1 and len(reach) == len(ids)
                if same and [tokens[i] for i in reach] == list(ids):
                    around = range(max(at - before, 0), min(at + len(ids) + after, n))
                    inside |= {i for i in around if sequences[i] == sequences[at]}
        words[word] = sorted(i for i in inside if tokens[i] not in ignore)
    union = sorted(set().union(*words.values()))
    rest = [i for i in range(n) if i not in union and tokens[i] not in ignore]
    mean_in, mean_out = dense_NM[union].mean(0), dense_NM[rest].mean(0)
    score_M = np.empty(m)
    for latent in range(m):
        around = np.array([dense_NM[i, latent].mean() if i else 0 for i in words.values()])
        h = entropy(around) / np.log(len(around)) if around.sum() else 0
        score_M[latent] = (
            mean_in[latent] / mean_in.sum() * h**alpha - mean_out[latent] / mean_out.sum()
        )
    return score_M, mean_in, mean_out


LEXICON = {"wait": [[3], [4, 5]], "hmm": [[6]], "never": [[19]]}


@given(st.integers(0, 500))
def test_reason_score_is_the_published_statistic(seed):
    rng = np.random.default_rng(seed)
    tokens = rng.integers(0, 12, 80)
    sequences = np.sort(rng.integers(0, 9, 80)).astype(str)
    dense_NM = np.where(rng.random((80, 7)) < 0.5, rng.exponential(size=(80, 7)), 0)
    table = reason_score(
        SparseCodes.from_dense(dense_NM), tokens, sequences, LEXICON, ignore=[0]
    ).sort_values("latent")
    score_M, mean_in, mean_out = by_the_book(
        dense_NM, tokens.tolist(), sequences.tolist(), LEXICON, 1, 2, 0.7, {0}
    )
    np.testing.assert_allclose(table["score"], score_M, atol=1e-7)
    np.testing.assert_allclose(table["mean_inside"], mean_in, rtol=1e-6)
    np.testing.assert_allclose(table["mean_outside"], mean_out, rtol=1e-6)


def test_a_latent_around_the_words_ranks_first_and_one_on_them_shows_as_a_lookup():
    tokens = np.tile([0, 1, 2, 3, 7, 8, 9, 10, 6, 11, 7, 8, 9, 9, 9, 9], 10)
    sequences = np.repeat(np.arange(10), 16)
    word_N = np.isin(tokens, [3, 6])
    after_N = np.roll(word_N, 1)
    dense_NM = np.stack([after_N, word_N, tokens == 9, tokens == 3], axis=1).astype(np.float32)
    table = reason_score(SparseCodes.from_dense(dense_NM), tokens, sequences, LEXICON)
    assert table["score"].is_monotonic_decreasing
    table = table.set_index("latent")
    assert table["on_word"].to_dict() == pytest.approx({0: 0, 1: 1, 2: np.nan, 3: 1}, nan_ok=True)
    assert table.loc[[0, 1], "score"].min() > 0 > table.loc[2, "score"]
    # Of latents as strong, one that knows all words of the lexicon counts for more.
    lone = {"wait": LEXICON["wait"], "hmm": LEXICON["hmm"]}
    two = reason_score(SparseCodes.from_dense(dense_NM), tokens, sequences, lone)
    assert two.set_index("latent").loc[[1, 3], "entropy"].tolist() == pytest.approx(
        [0.982, 0], abs=0.02
    )


def test_for_one_word_entropy_says_nothing():
    tokens, sequences = np.array([1, 3, 2, 2, 2, 2]), np.zeros(6)
    codes = SparseCodes.from_dense(np.array([[0, 2.0, 0, 0, 0, 1], [1.0, 0, 0, 0, 1, 0]]).T)
    table = reason_score(codes, tokens, sequences, {"wait": [[3]]}, window=(0, 0))
    assert table["entropy"].tolist() == [1, 1]
    assert table.set_index("latent")["score"].to_dict() == pytest.approx({0: 1 - 1 / 3, 1: -2 / 3})


WORDS = {"wait": [[3]]}


def score(tokens=(3, 1, 1, 1, 1, 1), sequences=(0,) * 6, lexicon=WORDS, value=1.0, fires=6):
    dense_N1 = np.where(np.arange(6) < fires, value, 0)[:, None]
    return reason_score(SparseCodes.from_dense(dense_N1), tokens, sequences, lexicon)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: score(tokens=(3,)), r"tokens of shape \(1,\) for 6 rows"),
        (lambda: score(sequences=(0, 1, 0, 1, 2, 2)), "stand apart"),
        (lambda: score(lexicon={}), "no word in the lexicon"),
        (lambda: score(lexicon={"wait": [[]]}), "without token ids"),
        (lambda: score(lexicon={"wait": [[9]]}), "0 tokens in windows .* and 6 elsewhere"),
        (lambda: score(tokens=(3,) * 6), "6 tokens in windows .* and 0 elsewhere"),
        (lambda: score(value=-1.0), "negative values"),
        (lambda: score(fires=2), "no latent fires inside the windows, or none outside"),
    ],
)
def test_bad_input_gets_one_clear_error(call, message):
    with pytest.raises(InputError, match=message):
        call()
