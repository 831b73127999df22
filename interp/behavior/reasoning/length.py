"""How accuracy goes with the length of a chain: a peak inside the range, a slope, or nothing.

Wu et al., "When More is Less" (arXiv 2502.07266): accuracy is an inverted U of length, whose peak
moves up with difficulty. Harder questions are thought about longer and answered worse, so that
length is to blame only within a difficulty. A logistic regression on log length and its square,
with an intercept for each difficulty, and one for each difficulty alone. Two slopes decide on its
shape, one at either end of the range (Lind & Mehlum 2010): a square alone bends without turning.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import pandas as pd

from interp.behavior.tables import check_columns
from interp.errors import InputError
from interp.stats import Interval, hierarchical_bootstrap

Shape = Literal["peak", "trough", "rising", "falling", "flat", "unclear"]
POOLED = "pooled"
_RANGE = (0.05, 0.95)
_AT = {"slope_short": 0.0, "slope_middle": 0.5, "slope_long": 1.0}
_RIDGE = 1e-3
"""Of standardised terms: keeps the fit of a resample finite in which all replies are right."""


def difficulty_of(items: pd.DataFrame, n_strata: int = 3) -> pd.Series:
    """How hard each item's question is for the other models: strata from 0, easy, upwards.

    The share that the model itself got right would be the outcome over again, so that each model's
    questions are sorted by the replies of the others alone.

    Args:
        items: one row a reply: prompt_id, model, correct.
        n_strata: as many groups of questions of about the same size; questions as hard as each
            other stay together, so there may be fewer.

    Returns:
        A stratum for each row, as text ("0", "1", ...), with the index of the items.

    Raises:
        InputError: a missing column, correct that is neither true nor false, a single model, a
            question that no other model was asked, or fewer than one stratum.
    """
    check_columns("difficulty", items, ("prompt_id", "model", "correct"), ("prompt_id",))
    _check_correct("difficulty", items)
    if n_strata < 1:
        raise InputError(f"difficulty: {n_strata} strata; expected at least 1")
    right = items["correct"].astype(float)
    total = right.groupby(items["prompt_id"]).transform("sum")
    count = right.groupby(items["prompt_id"]).transform("size")
    own = [items["prompt_id"], items["model"]]
    n_others = count - right.groupby(own).transform("size")
    if (n_others == 0).any():
        row = items[n_others == 0].iloc[0]
        raise InputError(
            f"difficulty, prompt {row['prompt_id']}: no model but {row['model']} was asked it; "
            "give the difficulty in a column instead"
        )
    hard = (1 - (total - right.groupby(own).transform("sum")) / n_others).round(9)
    strata = pd.Series("", items.index)
    for _, of_model in hard.groupby(items["model"]):
        by_question = of_model.groupby(items["prompt_id"]).first()
        edges = np.unique(np.quantile(by_question, np.arange(1, n_strata) / n_strata))
        strata[of_model.index] = np.searchsorted(edges, of_model).astype(str)
    return strata


def length_table(
    items: pd.DataFrame,
    *,
    units: Sequence[str],
    margin: float = 0.1,
    seed: int = 0,
    n_boot: int = 1000,
) -> pd.DataFrame:
    """The curve of accuracy over chain length, within difficulties and of each alone.

    Args:
        items: one row a reply: prompt_id, tokens (of its chain), correct, difficulty (any labels),
            and the units. Left out are replies whose chain is empty or of unknown length, and,
            with a column truncated, those that were cut off: all of these are long and none is
            right, which would be a slope of the limit's making.
        units: columns of the units that intervals are over, from the top.
        margin: the steepest slope that counts as flat, in log odds per doubling of the length.
        seed: of the bootstrap.
        n_boot: resamples.

    Returns:
        A row for "pooled" (an intercept for each difficulty) and for each difficulty alone, also
        where all of its replies are left out:
        difficulty; shape; vertex, vertex_lo, vertex_hi (tokens where the curve turns; NaN unless
        its bend is of one sign); bend (of the square of log2 length), slope_short, slope_middle and
        slope_long (log odds per doubling at the 5th percentile of lengths, the middle in logs, and
        the 95th), each with _lo and _hi (95%, `hierarchical_bootstrap`); from_tokens, to_tokens,
        that range; n, right (how many), excluded.

        Shapes, by the limits: "peak", slope_short above 0 and slope_long below 0; "trough", the
        other way round; "rising" and "falling", both on one side; "flat", all slopes within the
        margin; "unclear" otherwise, also where nothing can be fitted (one outcome, or fewer than
        three lengths).

    Raises:
        InputError: no rows, a missing column, correct that is neither true nor false, no
            difficulty, a margin not above 0, or no chain of known length.
    """
    items = items.reset_index(drop=True)
    needed = ("prompt_id", "tokens", "correct", "difficulty", *units)
    check_columns("chain lengths", items, needed, units)
    if not margin > 0:
        raise InputError(f"chain lengths: margin {margin}; expected above 0")
    _check_correct("chain lengths", items)
    if items["difficulty"].isna().any():
        raise InputError("chain lengths: a row has no difficulty; one label for all is enough")
    known_N = pd.to_numeric(items["tokens"], errors="coerce") > 0
    if "truncated" in items:
        known_N &= ~items["truncated"].astype(bool)
    if not known_N.any():
        raise InputError("chain lengths: no chain of known length; were replies drawn with one?")
    rows = []
    for name, asked in [(POOLED, items), *items.groupby("difficulty", sort=True)]:
        part = asked[known_N[asked.index]]
        n = len(part)
        counts = {"n": n, "right": int(part["correct"].sum()), "excluded": len(asked) - n}
        rows.append({"difficulty": name} | _row(part, units, margin, seed, n_boot) | counts)
    return pd.DataFrame(rows)


def _check_correct(what: str, items: pd.DataFrame) -> None:
    if not items["correct"].isin([0, 1]).all():
        raise InputError(f"{what}: correct is neither true nor false in some row")


def _row(
    part: pd.DataFrame, units: Sequence[str], margin: float, seed: int, n_boot: int
) -> dict[str, Any]:
    log2_N = np.log2(part["tokens"].to_numpy(float))
    lo, hi = np.quantile(log2_N, _RANGE) if len(part) else (np.nan, np.nan)
    ends = {"from_tokens": 2**lo, "to_tokens": 2**hi}
    right_N = part["correct"].to_numpy(float)
    found = dict.fromkeys(("bend", *_AT), Interval(np.nan, np.nan, np.nan))
    vertex, shape = Interval(np.nan, np.nan, np.nan), "unclear"
    if len(np.unique(log2_N)) >= 3 and 0 < right_N.sum() < len(right_N):
        curve = _Curve.of(log2_N, right_N, part["difficulty"].to_numpy())
        levels = {unit: part[unit].to_numpy() for unit in units}
        how: dict[str, Any] = {"n_boot": n_boot, "seed": seed}
        found["bend"] = hierarchical_bootstrap(curve.bend, levels, **how)
        for name, share in _AT.items():
            place = lo + share * (hi - lo)
            found[name] = hierarchical_bootstrap(
                lambda w, x=place: curve.slope(w, x), levels, **how
            )
        shape = _shape(found, margin)
        if found["bend"].lo > 0 or found["bend"].hi < 0:
            log2 = hierarchical_bootstrap(curve.vertex, levels, **how)
            vertex = Interval(*(float(2**end) for end in (log2.estimate, log2.lo, log2.hi)))
    row = {"shape": shape} | vertex.columns("vertex")
    for name, value in found.items():
        row |= value.columns(name)
    return row | ends


def _shape(found: dict[str, Interval], margin: float) -> Shape:
    short, long = found["slope_short"], found["slope_long"]
    up, down = (short.lo > 0, long.lo > 0), (short.hi < 0, long.hi < 0)
    if up[0] and down[1]:
        return "peak"
    if down[0] and up[1]:
        return "trough"
    if all(up):
        return "rising"
    if all(down):
        return "falling"
    if all(-margin < found[name].lo and found[name].hi < margin for name in _AT):
        return "flat"
    return "unclear"


@dataclass(frozen=True, eq=False)
class _Curve:
    """A logistic fit: an intercept a difficulty, z and z^2, with z the standardised log2 length.

    Attributes:
        terms_NP: intercepts first, z and z^2 last.
        right_N: the outcome.
        middle: of log2 length.
        spread: of log2 length.
        fits: coefficients [B, P] by the digest of their weights: several statistics of the same
            resamples are read off one fit.
    """

    terms_NP: np.ndarray
    right_N: np.ndarray
    middle: float
    spread: float
    fits: dict[bytes, np.ndarray]

    @classmethod
    def of(cls, log2_N: np.ndarray, right_N: np.ndarray, difficulty_N: np.ndarray) -> _Curve:
        middle, spread = float(log2_N.mean()), float(log2_N.std())
        z_N = (log2_N - middle) / spread
        intercepts_NS = (difficulty_N[:, None] == np.unique(difficulty_N)).astype(float)
        return cls(np.column_stack([intercepts_NS, z_N, z_N**2]), right_N, middle, spread, {})

    def bend(self, weights_BN: np.ndarray) -> np.ndarray:
        """Coefficient of log2 length squared."""
        return self._fit(weights_BN)[:, -1] / self.spread**2

    def slope(self, weights_BN: np.ndarray, log2_length: float) -> np.ndarray:
        """Log odds per doubling at a length."""
        linear_B, square_B = self._fit(weights_BN)[:, -2:].T
        return (linear_B + 2 * square_B * (log2_length - self.middle) / self.spread) / self.spread

    def vertex(self, weights_BN: np.ndarray) -> np.ndarray:
        """The log2 length at which the curve turns."""
        linear_B, square_B = self._fit(weights_BN)[:, -2:].T
        return self.middle - self.spread * linear_B / (2 * square_B)

    def _fit(self, weights_BN: np.ndarray) -> np.ndarray:
        digest = hashlib.sha256(np.ascontiguousarray(weights_BN).tobytes()).digest()
        if digest not in self.fits:
            self.fits[digest] = _logistic(self.terms_NP, self.right_N, weights_BN)
        return self.fits[digest]


def _logistic(terms_NP: np.ndarray, right_N: np.ndarray, weights_BN: np.ndarray) -> np.ndarray:
    """Coefficients [B, P] of as many weighted fits, by Newton steps from 0."""
    n_terms = terms_NP.shape[1]
    pairs_NQ = (terms_NP[:, :, None] * terms_NP[:, None, :]).reshape(len(terms_NP), -1)
    beta_BP = np.zeros((len(weights_BN), n_terms))
    for _ in range(25):
        mean_BN = 1 / (1 + np.exp(-(beta_BP @ terms_NP.T).clip(-30, 30)))
        gradient_BP = (weights_BN * (right_N - mean_BN)) @ terms_NP - _RIDGE * beta_BP
        hessian_BQ = (weights_BN * mean_BN * (1 - mean_BN)) @ pairs_NQ
        hessian_BPP = hessian_BQ.reshape(-1, n_terms, n_terms) + _RIDGE * np.eye(n_terms)
        step_BP = np.linalg.solve(hessian_BPP, gradient_BP[..., None])[..., 0]
        # Where outcomes are all but separated a whole step would overshoot.
        beta_BP += step_BP / np.maximum(1, np.abs(step_BP).max(1, keepdims=True) / 5)
        if np.abs(step_BP).max() < 1e-8:
            break
    return beta_BP
