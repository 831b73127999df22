from __future__ import annotations

import numpy as np
import pytest

from interp.probes import grouped_folds, out_of_fold_scores, probe_cell, shuffled_null
from interp.stats import auroc
from tests.probes.planted import linear

SIZES = {"n_splits": 4, "n_shuffles": 15, "seed": 3}


@pytest.mark.parametrize("mlp", [True, False])
def test_a_cell_holds_each_probe_and_its_null(mlp: bool) -> None:
    acts_ND, labels = linear(120, 8, 1.5)
    groups = np.arange(120)
    rows = {row["probe"]: row for row in probe_cell(acts_ND, labels, groups, **SIZES, mlp=mlp)}
    folds = grouped_folds(groups, labels, 4, 3)
    kinds = ("linear", "mlp") if mlp else ("linear",)
    assert list(rows) == [*kinds, "shuffled"]
    for kind in kinds:
        scores_N = out_of_fold_scores(acts_ND, labels, folds, kind=kind)
        assert rows[kind]["estimate"] == auroc(scores_N, labels)
        assert rows[kind]["lo"] < rows[kind]["estimate"] < rows[kind]["hi"]
    null_P = shuffled_null(acts_ND, labels, groups, folds, 15, 3)
    expected = {
        "probe": "shuffled",
        "estimate": null_P.mean(),
        "lo": np.quantile(null_P, 0.025),
        "hi": np.quantile(null_P, 0.975),
    }
    assert rows["shuffled"] == pytest.approx(expected)


def test_the_interval_is_over_entities_not_rows() -> None:
    """Rows that repeat an entity do not make the estimate surer."""
    acts_ND, labels = linear(60, 4, 1.0)
    once = probe_cell(acts_ND, labels, np.arange(60), **SIZES, mlp=False)[0]
    copies = np.repeat(np.arange(60), 6)
    often = probe_cell(acts_ND[copies], labels[copies], copies, **SIZES, mlp=False)[0]
    assert often["hi"] - often["lo"] > 0.8 * (once["hi"] - once["lo"])
