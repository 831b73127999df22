from __future__ import annotations

import numpy as np
import pytest
import torch
from sklearn.linear_model import Ridge

from interp.errors import InputError
from interp.probes.ridge import ridge_path

PENALTIES = (0.1, 10.0, 1000.0)


def rows(n: int, d: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    acts_ND = rng.normal(size=(n, d)) * rng.uniform(0.1, 10, d) + rng.normal(size=d)
    return acts_ND, acts_ND @ rng.normal(size=(d, 2)) + rng.normal(size=(n, 2))


def standardised(acts_ND: np.ndarray) -> np.ndarray:
    deviation_D = acts_ND.std(0)
    return (acts_ND - acts_ND.mean(0)) / np.where(deviation_D > 1e-12, deviation_D, 1)


@pytest.mark.parametrize(("n", "d"), [(40, 8), (20, 35), (15, 15)])
@pytest.mark.parametrize("groups", [None, "pairs", "uneven"])
def test_left_out_rows_are_predicted_as_by_a_refit_without_them(
    n: int, d: int, groups: str | None
) -> None:
    acts_ND, target_NT = rows(n, d)
    z_ND = standardised(acts_ND)
    group_N = {None: None, "pairs": np.arange(n) // 2, "uneven": np.arange(n) % 7 % 4}[groups]
    path = ridge_path({"a": torch.tensor(acts_ND)}, target_NT, PENALTIES, groups=group_N)
    own_N = np.arange(n) if group_N is None else group_N
    for number, penalty in enumerate(PENALTIES):
        for group in np.unique(own_N):
            out_N = own_N == group
            refit = Ridge(penalty).fit(z_ND[~out_N], target_NT[~out_N])
            np.testing.assert_allclose(
                path.left_out[0, number, out_N], refit.predict(z_ND[out_N]), rtol=1e-6, atol=1e-7
            )


@pytest.mark.parametrize(("n", "d"), [(40, 8), (20, 35)])
def test_coefficients_are_scikit_learns(n: int, d: int) -> None:
    acts_ND, target_NT = rows(n, d)
    acts_ND[:, 2] = 0.3
    acts_ND[:, 3] = acts_ND[:, 4]
    path = ridge_path(iter([("a", torch.tensor(acts_ND))]), target_NT[:, 0], PENALTIES)
    for number, penalty in enumerate(PENALTIES):
        z_ND = standardised(acts_ND)
        expected_N = Ridge(penalty).fit(z_ND, target_NT[:, 0]).predict(z_ND)
        got_N = acts_ND @ path.coef[0, number] + path.intercept[0, number]
        np.testing.assert_allclose(got_N, expected_N, rtol=1e-6, atol=1e-7)


def test_targets_and_cells_do_not_know_of_each_other() -> None:
    acts_ND, target_NT = rows(30, 6)
    cells = {"a": torch.tensor(acts_ND), "b": torch.tensor(acts_ND[::-1].copy())}
    path = ridge_path(cells, target_NT, PENALTIES)
    for number, cell in enumerate(cells):
        alone = ridge_path({cell: cells[cell]}, target_NT[:, 1], PENALTIES)
        np.testing.assert_allclose(path.left_out[number, ..., 1], alone.left_out[0], rtol=1e-12)
    assert path.coef.shape == (2, 3, 6, 2)


def test_bad_input_is_refused() -> None:
    acts_ND, target_NT = rows(12, 3)
    acts = {"layer 3": torch.tensor(acts_ND)}
    broken_NT = target_NT.copy()
    broken_NT[5] = np.nan
    cases: list[tuple[tuple, dict, str]] = [
        ((acts, broken_NT, [1.0]), {}, "NaN or Inf in row 5"),
        ((acts, target_NT[:9], [1.0]), {}, r"layer 3: shape \(12, 3\) for 9 labels"),
        ((acts, target_NT, [0.0]), {}, "penalty is 0.0"),
        ((acts, target_NT, [1.0]), {"groups": np.arange(9)}, "for 12 targets"),
        ((acts, target_NT, [1.0]), {"groups": np.zeros(12)}, "leaving it out leaves none"),
        ((acts, target_NT[None], [1.0]), {}, "targets of shape"),
    ]
    for arguments, more, message in cases:
        with pytest.raises(InputError, match=message):
            ridge_path(*arguments, **more)
