from __future__ import annotations

from itertools import permutations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from interp.behavior.calibration.selective import (
    risk_coverage_table,
    weighted_aurc,
    weighted_excess_aurc,
    weighted_selective_accuracy,
)
from interp.errors import InputError

ANSWERS = st.lists(
    st.tuples(st.integers(0, 5).map(lambda n: n / 5), st.booleans()), min_size=1, max_size=6
)


def arrays(rows: list[tuple[float, bool]]) -> tuple[np.ndarray, np.ndarray]:
    confidence, correct = zip(*rows, strict=True)
    return np.array(confidence), np.array(correct)


def once(statistic, n: int) -> float:
    return float(statistic(np.ones((1, n)))[0])


def by_hand(errors: list[float]) -> float:
    """Mean over k of the error rate of the first k answers."""
    return float(np.mean([np.mean(errors[: k + 1]) for k in range(len(errors))]))


def orders(confidence_N: np.ndarray, correct_N: np.ndarray) -> list[np.ndarray]:
    """Correctness in every order that agrees with falling confidence."""
    rows = permutations(range(len(confidence_N)))
    return [correct_N[list(o)] for o in rows if (np.diff(confidence_N[list(o)]) <= 0).all()]


@given(ANSWERS)
def test_aurc_is_the_mean_over_all_orders_of_equal_confidences(rows) -> None:
    confidence_N, correct_N = arrays(rows)
    expected = np.mean([by_hand(list(1.0 - c)) for c in orders(confidence_N, correct_N)])
    ours = once(weighted_aurc(confidence_N, correct_N), len(rows))
    assert ours == pytest.approx(expected, abs=1e-12)
    best = min(by_hand(list(o)) for o in permutations(1.0 - correct_N))
    excess = once(weighted_excess_aurc(confidence_N, correct_N), len(rows))
    assert excess == pytest.approx(expected - best, abs=1e-12)


@given(ANSWERS, st.integers(1, 6))
def test_selective_accuracy_is_that_of_the_first_k(rows, k) -> None:
    confidence_N, correct_N = arrays(rows)
    n, k = len(rows), min(k, len(rows))
    expected = np.mean([c[:k].mean() for c in orders(confidence_N, correct_N)])
    ours = once(weighted_selective_accuracy(confidence_N, correct_N, k / n), n)
    assert ours == pytest.approx(expected, abs=1e-12)


@given(ANSWERS, st.integers(0, 5))
def test_weights_of_a_row_are_copies_of_it(rows, row) -> None:
    confidence_N, correct_N = arrays(rows)
    weights_N = np.ones(len(rows))
    weights_N[row % len(rows)] = 3
    copied = np.repeat(np.arange(len(rows)), weights_N.astype(int))
    weighted = weighted_selective_accuracy(confidence_N, correct_N, 0.5)(weights_N[None])
    plain = weighted_selective_accuracy(confidence_N[copied], correct_N[copied], 0.5)
    assert float(weighted[0]) == pytest.approx(once(plain, len(copied)), abs=1e-12)


def test_rows_without_weight_are_not_there() -> None:
    rng = np.random.default_rng(0)
    confidence_N, correct_N = rng.choice(8, 30) / 8, rng.random(30) < 0.6
    kept_N = rng.random(30) < 0.5
    kept_N[confidence_N.argmax()] = False
    for statistic in (weighted_aurc, weighted_excess_aurc):
        weighted = float(statistic(confidence_N, correct_N)(kept_N[None].astype(float))[0])
        alone = once(statistic(confidence_N[kept_N], correct_N[kept_N]), int(kept_N.sum()))
        assert weighted == pytest.approx(alone, abs=1e-12)


def test_known_areas() -> None:
    n, rate = 20000, 0.3
    rng = np.random.default_rng(1)
    correct_N = np.arange(n) >= rate * n
    useless = once(weighted_aurc(rng.random(n), correct_N), n)
    assert useless == pytest.approx(rate, abs=0.01)
    perfect = once(weighted_aurc(correct_N + 0.1 * rng.random(n), correct_N), n)
    assert perfect == pytest.approx(rate + (1 - rate) * np.log(1 - rate), abs=1e-3)  # its limit
    assert once(weighted_excess_aurc(correct_N * 1.0, correct_N), n) == 0


def items(n: int = 120) -> pd.DataFrame:
    rng = np.random.default_rng(3)
    confidence_N = rng.random(n)
    return pd.DataFrame(
        {
            "prompt_id": [f"p{row}" for row in range(n)],
            "entity": np.arange(n) // 2,
            "source": np.where(np.arange(n) % 4 < 2, "margin", "verbalised"),
            "confidence": confidence_N,
            "correct": rng.random(n) < confidence_N,
        }
    )


def test_the_curve_ends_at_the_error_rate() -> None:
    table = risk_coverage_table(items(), units=["entity"], n_boot=100)
    assert list(table.columns) == ["source", "coverage", "estimate", "lo", "hi", "n"]
    for source, of_source in items().groupby("source"):
        curve = table[table["source"] == source]
        assert curve["coverage"].iloc[-1] == 1
        assert curve["estimate"].iloc[-1] == pytest.approx(1 - of_source["correct"].mean())
        half = of_source.nlargest(30, "confidence")["correct"].mean()
        at_half = curve.loc[curve["coverage"] == 0.5, "estimate"]
        assert float(at_half.iloc[0]) == pytest.approx(1 - half)
        assert (curve["lo"] <= curve["estimate"] + 1e-12).all()
        assert (curve["estimate"] <= curve["hi"] + 1e-12).all()


def test_a_source_without_confidences_has_no_curve() -> None:
    silent = items().assign(confidence=lambda t: t["confidence"].where(t["source"] == "margin"))
    table = risk_coverage_table(silent, units=["entity"], coverages=[0.5], n_boot=20)
    assert table["source"].tolist() == ["margin"]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda t: t.drop(columns="entity"), "lack the column entity"),
        (lambda t: t.iloc[:0], "no rows"),
        (lambda t: t.assign(confidence=[1.2, *t["confidence"][1:]]), "prompt p0: confidence is"),
        (lambda t: t.assign(confidence=["high", *t["confidence"][1:]]), "confidence is 'high'"),
        (lambda t: t.assign(correct=[None, *t["correct"][1:]]), "prompt p0: correct is None"),
    ],
)
def test_bad_items_are_refused(change, message) -> None:
    with pytest.raises(InputError, match=message):
        risk_coverage_table(change(items()), units=["entity"], n_boot=10)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: weighted_aurc(np.array([0.1, 0.2]), np.array([True])), "do not fit"),
        (lambda: weighted_aurc(np.array([]), np.array([])), "N > 0"),
        (lambda: weighted_aurc(np.array([0.1, np.nan]), np.array([0, 1])), "row 1 is nan"),
        (lambda: weighted_aurc(np.array([0.1]), np.array([0.5])), "0 and 1"),
        (lambda: weighted_selective_accuracy(np.ones(1), np.ones(1), 0.0), "coverage is 0.0"),
        (lambda: risk_coverage_table(items(), units="entity"), "units are 'entity'"),
        (lambda: risk_coverage_table(items(), units=[]), r"units are \[\]"),
    ],
)
def test_bad_calls_are_refused(call, message) -> None:
    with pytest.raises(InputError, match=message):
        call()
