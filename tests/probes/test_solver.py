from __future__ import annotations

import warnings
from dataclasses import dataclass

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import StratifiedKFold
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from interp.errors import InputError
from interp.probes.solver import Solution, solve
from interp.stats import auroc
from tests.probes.newton import fit_exactly

CS = (1e-4, 1e-2, 1.0, 100.0)
"""From a penalty that leaves the mean difference to one that leaves separable rows alone."""


@dataclass(frozen=True)
class Problem:
    acts_ND: np.ndarray
    class_N: np.ndarray
    weight_N: np.ndarray | None = None

    @property
    def folds(self) -> list[tuple[np.ndarray, np.ndarray]]:
        splitter = StratifiedKFold(4, shuffle=True, random_state=0)
        return list(splitter.split(self.acts_ND, self.class_N))


def problem(kind: str, seed: int) -> Problem:
    """Rows with a power-law spectrum, and whatever makes the kind hard."""
    rng = np.random.default_rng([seed, *kind.encode()])
    n, d = {"wide": (80, 120), "tall": (240, 30)}.get(kind, ((140, 30), (72, 90))[seed % 2])
    size_D = np.arange(1, d + 1) ** -0.5
    true_D = rng.normal(size=d) * size_D
    acts_ND = rng.normal(size=(n, d)) * size_D
    logit_N = 3 * acts_ND @ true_D / np.linalg.norm(true_D)
    class_N = (logit_N + rng.logistic(size=n) > 0).astype(int)
    weight_N = None
    if kind == "separable":
        class_N = (logit_N > np.median(logit_N)).astype(int)
        acts_ND += 3 * np.outer(2 * class_N - 1, true_D / np.linalg.norm(true_D))
    elif kind == "collinear":
        acts_ND[:, d // 2 : 2 * (d // 2)] = acts_ND[:, : d // 2]
        acts_ND[:, 1] = acts_ND[:, 0] + 1e-5 * rng.normal(size=n)
    elif kind == "unbalanced":
        class_N = (logit_N > np.sort(logit_N)[-n // 10]).astype(int)
    elif kind == "constant":
        acts_ND[:, 3] = 0.3
    elif kind == "massive":
        acts_ND[:, 7] = 5000 + 800 * rng.normal(size=n)
    elif kind == "spike":
        acts_ND[n // 2, 7] = 1000
    elif kind == "weights":
        weight_N = np.exp(1.5 * rng.normal(size=n))
    return Problem(acts_ND.astype(np.float32), class_N, weight_N)


KINDS = (
    *("wide", "tall", "separable", "collinear", "unbalanced"),
    *("constant", "massive", "spike", "weights"),
)
PROBLEMS = [(kind, seed) for kind in KINDS for seed in range(4)]


def errors(solution: Solution, truth: Problem) -> tuple[np.ndarray, np.ndarray]:
    """Largest error of held-out decision values, relative to the largest of them, and of AUROC."""
    error_FP = np.zeros((len(solution.folds), len(solution.cs)))
    auroc_2FP = np.zeros((2, *error_FP.shape))
    for fold, (fitted, held_out) in enumerate(solution.folds):
        weight_N = None if truth.weight_N is None else truth.weight_N[fitted]
        for number, c in enumerate(solution.cs):
            exact = fit_exactly(truth.acts_ND[fitted], truth.class_N[fitted], c, weight_N)
            expected_N = exact.scores(truth.acts_ND[held_out])
            got_N = solution.held_out[fold][0, number]
            error_FP[fold, number] = np.abs(got_N - expected_N).max() / np.abs(expected_N).max()
            for of, scores_N in enumerate((got_N, expected_N)):
                auroc_2FP[of, fold, number] = auroc(scores_N, truth.class_N[held_out] == 1)
    return error_FP, auroc_2FP


@pytest.mark.parametrize(("kind", "seed"), PROBLEMS)
def test_decision_values_are_newtons(kind: str, seed: int) -> None:
    truth = problem(kind, seed)
    acts = {"cell": torch.tensor(truth.acts_ND)}
    solution = solve(acts, truth.class_N, truth.folds, CS, weights=truth.weight_N)
    error_FP, (got_FP, expected_FP) = errors(solution, truth)
    assert solution.certificates.certified.all()
    assert error_FP.max() < 1e-3
    got_P, expected_P = got_FP.mean(0), expected_FP.mean(0)
    selected = expected_P.argmax()
    # A swap of two neighbouring rows moves the mean AUROC of so few rows by more than 1e-3.
    swap = 1 / min(
        truth.class_N[held].sum() * (1 - truth.class_N[held]).sum() for _, held in truth.folds
    )
    assert abs(got_P[selected] - expected_P[selected]) <= max(1e-3, swap / 4)
    assert np.abs(got_P - expected_P).max() <= max(5e-3, swap / 4)


@pytest.mark.parametrize(("n", "d"), [(120, 30), (40, 60)])
def test_many_classes_are_newtons(n: int, d: int) -> None:
    rng = np.random.default_rng(n)
    class_N = rng.permutation(np.arange(n) % 4)
    acts_ND = rng.normal(size=(n, d)) + 0.6 * rng.normal(size=(4, d))[class_N]
    weight_N = rng.uniform(0.3, 3, n)
    folds = list(StratifiedKFold(3, shuffle=True, random_state=0).split(acts_ND, class_N))
    names = np.array(["answers", "asks", "doubts", "refuses"])
    cs = (1e-3, 0.1, 10.0)
    solution = solve({0: torch.tensor(acts_ND)}, names[class_N], folds, cs, weights=weight_N)
    assert solution.certificates.certified.all()
    assert list(solution.classes) == list(names)
    for fold, (fitted, held_out) in enumerate(folds):
        for number, c in enumerate(cs):
            exact = fit_exactly(acts_ND[fitted], class_N[fitted], c, weight_N[fitted])
            expected_NC = exact.scores(acts_ND[held_out])
            got_NC = solution.held_out[fold][0, number]
            assert np.abs(got_NC - expected_NC).max() < 1e-3 * np.abs(expected_NC).max()


def test_the_objective_is_scikit_learns() -> None:
    truth = problem("tall", 0)
    solution = solve({0: torch.tensor(truth.acts_ND)}, truth.class_N, truth.folds, [0.3])
    for fold, (fitted, held_out) in enumerate(truth.folds):
        model = make_pipeline(
            StandardScaler(), LogisticRegression(C=0.3, solver="newton-cholesky", tol=1e-10)
        ).fit(truth.acts_ND[fitted].astype(float), truth.class_N[fitted])
        expected_N = model.decision_function(truth.acts_ND[held_out].astype(float))
        np.testing.assert_allclose(solution.held_out[fold][0, 0], expected_N, atol=1e-3)


def test_coefficients_read_the_activations_as_given() -> None:
    truth = problem("massive", 0)
    solution = solve({0: torch.tensor(truth.acts_ND)}, truth.class_N, truth.folds, CS)
    for fold, (_, held_out) in enumerate(truth.folds):
        acts_MD = truth.acts_ND[held_out].astype(float)
        scores_PM = solution.coef[0, fold] @ acts_MD.T + solution.intercept[0, fold][:, None]
        np.testing.assert_allclose(scores_PM, solution.held_out[fold][0], rtol=1e-6, atol=1e-6)


def test_cells_do_not_know_of_each_other() -> None:
    """Nor does it matter whether they come at once or one by one, in which float type."""
    truth, other = problem("tall", 0), problem("tall", 1)
    cells = {"a": torch.tensor(truth.acts_ND), "b": torch.tensor(other.acts_ND).double()}
    together = solve(iter(cells.items()), truth.class_N, truth.folds, CS)
    for number, (cell, acts_ND) in enumerate(cells.items()):
        alone = solve({cell: acts_ND}, truth.class_N, truth.folds, CS)
        np.testing.assert_array_equal(together.out_of_fold[number], alone.out_of_fold[0])
    assert together.cells == ("a", "b")
    assert together.out_of_fold.shape == (2, len(CS), len(truth.class_N))


def test_folds_may_be_nested() -> None:
    """Inner folds go in the same call and come out as if they had been solved alone."""
    truth = problem("tall", 2)
    outer_fitted, outer_held = truth.folds[0]
    half = outer_fitted[::2], outer_fitted[1::2]
    folds = [(outer_fitted, outer_held), half]
    solution = solve({0: torch.tensor(truth.acts_ND)}, truth.class_N, folds, CS)
    inside = solve(
        {0: torch.tensor(truth.acts_ND[outer_fitted])},
        truth.class_N[outer_fitted],
        [(np.arange(len(outer_fitted))[::2], np.arange(len(outer_fitted))[1::2])],
        CS,
    )
    spread = np.abs(inside.held_out[0]).max()
    np.testing.assert_allclose(solution.held_out[1], inside.held_out[0], atol=1e-3 * spread)
    with pytest.raises(InputError, match="each once"):
        _ = solution.out_of_fold


def test_equal_activations_read_nothing() -> None:
    class_N = np.arange(40) % 2
    folds = list(StratifiedKFold(4).split(class_N, class_N))
    solution = solve({0: torch.full((40, 6), 0.3)}, class_N, folds, CS)
    assert solution.certificates.certified.all()
    assert not solution.coef.any()
    assert not solution.out_of_fold.any()


def test_a_column_constant_over_the_fitted_rows_is_not_read() -> None:
    truth = problem("tall", 0)
    acts_ND = truth.acts_ND.copy()
    fitted, _ = truth.folds[0]
    acts_ND[fitted, 5] = 7.0
    without = solve({0: torch.tensor(np.delete(acts_ND, 5, 1))}, truth.class_N, truth.folds, CS)
    solution = solve({0: torch.tensor(acts_ND)}, truth.class_N, truth.folds, CS)
    assert not solution.coef[0, 0, :, 5].any()
    spread = np.abs(without.held_out[0]).max()
    np.testing.assert_allclose(solution.held_out[0], without.held_out[0], atol=1e-3 * spread)


# --- properties


def small(seed: int, n: int = 40, d: int = 6) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    class_N = rng.permutation(np.arange(n) % 2)
    return rng.normal(size=(n, d)) + 0.5 * np.outer(class_N, rng.normal(size=d)), class_N


def scores(acts_ND: np.ndarray, class_N: np.ndarray, **more: object) -> np.ndarray:
    """Decision values [P, N] of all rows, from the fit on all rows."""
    every = np.arange(len(class_N))
    acts = torch.tensor(acts_ND)
    solution = solve({0: acts}, class_N, [(every, np.arange(0))], (0.01, 1.0), **more)
    return solution.coef[0, 0] @ acts_ND.T + solution.intercept[0, 0][:, None]


seeds = st.integers(0, 10_000)


def same(got_PN: np.ndarray, expected_PN: np.ndarray) -> None:
    """As far as both are certified: each within 2e-4 of the largest, measured up to thrice that."""
    assert np.abs(got_PN - expected_PN).max() < 1e-3 * np.abs(expected_PN).max()


@given(seeds)
@settings(max_examples=12)
def test_the_order_of_rows_means_nothing(seed: int) -> None:
    acts_ND, class_N = small(seed)
    order = np.random.default_rng(seed).permutation(len(class_N))
    same(scores(acts_ND[order], class_N[order]), scores(acts_ND, class_N)[:, order])


@given(seeds, st.floats(-4, 4), st.floats(-1e3, 1e3))
@settings(max_examples=12)
def test_units_and_zeros_of_columns_mean_nothing(seed: int, power: float, shift: float) -> None:
    acts_ND, class_N = small(seed)
    moved_ND = acts_ND.copy()
    moved_ND[:, ::2] = moved_ND[:, ::2] * 10**power + shift
    same(scores(moved_ND, class_N), scores(acts_ND, class_N))


@given(seeds)
@settings(max_examples=12)
def test_a_weight_is_a_number_of_copies(seed: int) -> None:
    acts_ND, class_N = small(seed)
    times_N = np.random.default_rng(seed).integers(1, 5, len(class_N))
    copies = np.repeat(np.arange(len(class_N)), times_N)
    weighted = scores(acts_ND, class_N, weights=times_N)
    same(scores(acts_ND[copies], class_N[copies]), weighted[:, copies])


@given(seeds)
@settings(max_examples=12)
def test_swapped_classes_swap_signs(seed: int) -> None:
    acts_ND, class_N = small(seed)
    same(scores(acts_ND, 1 - class_N), -scores(acts_ND, class_N))


# --- certificates


@pytest.mark.parametrize(("kind", "seed"), [("wide", 0), ("separable", 0), ("massive", 1)])
@pytest.mark.parametrize("max_iter", [1, 3])
def test_a_fit_stopped_early_is_not_certified(kind: str, seed: int, max_iter: int) -> None:
    """And whatever is certified nevertheless is right."""
    truth = problem(kind, seed)
    solution = solve(
        {0: torch.tensor(truth.acts_ND)}, truth.class_N, truth.folds, CS, max_iter=max_iter
    )
    error_FP, _ = errors(solution, truth)
    certified_FP = solution.certificates.certified[0]
    assert not certified_FP[error_FP > 1e-3].any()
    assert (~certified_FP).any()
    assert (solution.certificates.iterations <= 3 * max_iter).all()


def test_the_gap_bounds_the_objective() -> None:
    truth = problem("tall", 1)
    fitted, _ = truth.folds[0]
    z_ND = StandardScaler().fit_transform(truth.acts_ND[fitted].astype(float))
    sign_N = 2 * truth.class_N[fitted] - 1

    def objective(coef_D: np.ndarray, intercept: float, c: float) -> float:
        mean_D, scale_D = truth.acts_ND[fitted].mean(0, dtype=float), z_scale
        v_D = coef_D * scale_D
        score_N = z_ND @ v_D + intercept + coef_D @ mean_D
        return (np.logaddexp(0, -sign_N * score_N).sum() + v_D @ v_D / (2 * c)) / len(sign_N)

    z_scale = StandardScaler().fit(truth.acts_ND[fitted].astype(float)).scale_
    for max_iter in (1, 2, 4, 300):
        solution = solve(
            {0: torch.tensor(truth.acts_ND)}, truth.class_N, truth.folds, CS, max_iter=max_iter
        )
        for number, c in enumerate(CS):
            exact = fit_exactly(truth.acts_ND[fitted], truth.class_N[fitted], c)
            best = objective(exact.coef_CD[0], exact.intercept_C[0], c)
            got = objective(solution.coef[0, 0, number], solution.intercept[0, 0, number], c)
            assert got - best <= solution.certificates.gap[0, 0, number] + 1e-12
            assert got - best >= -1e-12


def test_the_gradient_is_scikit_learns() -> None:
    """Its `tol` and this certificate's gradient are the same quantity."""
    truth = problem("tall", 3)
    fitted, _ = truth.folds[0]
    solution = solve({0: torch.tensor(truth.acts_ND)}, truth.class_N, truth.folds, CS, max_iter=2)
    scaler = StandardScaler().fit(truth.acts_ND[fitted].astype(float))
    z_ND = scaler.transform(truth.acts_ND[fitted].astype(float))
    for number, c in enumerate(CS):
        v_D = solution.coef[0, 0, number] * scaler.scale_
        score_N = (
            z_ND @ v_D
            + solution.intercept[0, 0, number]
            + scaler.mean_ @ solution.coef[0, 0, number]
        )
        residual_N = 1 / (1 + np.exp(-score_N)) - truth.class_N[fitted]
        gradient_E = np.append(z_ND.T @ residual_N + v_D / c, residual_N.sum()) / len(fitted)
        got = solution.certificates.gradient[0, 0, number]
        assert got == pytest.approx(np.abs(gradient_E).max(), rel=1e-6, abs=1e-12)


def test_a_tighter_tolerance_is_met() -> None:
    truth = problem("wide", 1)
    solution = solve({0: torch.tensor(truth.acts_ND)}, truth.class_N, truth.folds, CS, tol=1e-8)
    assert solution.certificates.certified.all()
    assert solution.certificates.gradient.max() <= 1e-8
    assert errors(solution, truth)[0].max() < 1e-6


# --- what is refused


def refused(match: str, **changes: object) -> None:
    class_N = np.arange(12) % 2
    acts_ND = torch.tensor(np.random.default_rng(0).normal(size=(12, 3)))
    even = np.arange(12) % 4 < 2
    arguments: dict[str, object] = {
        "acts": {"layer 3": acts_ND},
        "labels": class_N,
        "folds": [(np.flatnonzero(even), np.flatnonzero(~even))],
        "cs": (0.1, 1.0),
    }
    arguments |= changes
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(InputError, match=match):
            solve(**arguments)  # type: ignore[arg-type]


def test_bad_labels_and_folds_are_refused() -> None:
    rows = np.arange(12)
    refused("all 12 rows have the label 1", labels=np.ones(12, int))
    refused("NaN or Inf in row 4", labels=np.where(rows == 4, np.nan, rows % 2))
    refused(r"shape \(12, 1\)", labels=(rows % 2)[:, None])
    refused(
        "fold 0 has no row of the class 1 to fit on .it is in rows 1, 3",
        folds=[(rows[::2], rows[1::2])],
    )
    refused(
        "fold 1 fits on rows 2, 3 and holds", folds=[(rows[:6], rows[6:]), (rows[:4], rows[2:8])]
    )
    refused("fitted row 12", folds=[(np.array([0, 1, 12]), rows[2:3])])
    refused("not a list of row indices", folds=[(rows < 6, rows >= 6)])
    refused("folds: none", folds=[])


def test_bad_activations_are_refused() -> None:
    good_ND = torch.ones(12, 3)
    broken_ND = torch.arange(36.0).reshape(12, 3)
    broken_ND[7, 2] = float("nan")
    broken_ND[9, 0] = float("inf")
    refused("NaN or Inf in rows 7, 9", acts={"layer 3": broken_ND})
    refused(r"layer 3: shape \(11, 3\) for 12 labels", acts={"layer 3": good_ND[:11]})
    refused("b: 2 columns where the cells before have 3", acts={"a": good_ND, "b": good_ND[:, :2]})
    refused("no cells", acts={})


def test_bad_weights_and_penalties_are_refused() -> None:
    weight_N = np.ones(12)
    weight_N[[3, 5]] = 0
    refused("0.0 in rows 3, 5", weights=weight_N)
    refused("-1.0 in row 3", weights=np.where(np.arange(12) == 3, -1.0, 1.0))
    refused(r"shape \(11,\) for 12 labels", weights=np.ones(11))
    refused("C is 0.0", cs=(1.0, 0.0))
    refused("C is nan", cs=(float("nan"),))
    refused("none given", cs=())
