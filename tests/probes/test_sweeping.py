"""A sweep chooses inside the folds, and shows every control beside every estimate."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from interp.errors import InputError
from interp.probes import grouped_folds
from interp.probes.nested import CS, nested_scores
from interp.probes.sweeping import Baseline, SweepSettings, sweep
from interp.stats import auroc, auroc_columns

N, D = 160, 12
QUICK = SweepSettings(seed=0, n_shuffles=60, n_boot=200, n_control_tasks=2, cs=(0.01, 0.1, 1.0))


@pytest.fixture
def planted():
    """Three cells over pairs of rows: nothing, a weak and a strong code of the label."""
    rng = np.random.default_rng(0)
    group_N = np.repeat(np.arange(N // 2), 2)
    label_N = (group_N % 2).astype(bool)
    direction_D = rng.normal(size=D)
    acts = {}
    for cell, strength in (("nothing", 0.0), ("weak", 0.25), ("strong", 0.8)):
        noise_ND = rng.normal(size=(N, D)) + 0.7 * rng.normal(size=(N // 2, D))[group_N]
        signal_ND = strength * np.outer(label_N - 0.5, direction_D)
        acts[cell] = torch.tensor(noise_ND + signal_ND, dtype=torch.float32)
    return acts, label_N, group_N


def test_held_out_scores_are_those_of_a_nested_search_with_scikit_learn(planted):
    acts, label_N, group_N = planted
    folds = grouped_folds(group_N, label_N, 5, seed=1)
    nested = nested_scores(acts, label_N, group_N, folds, seed=3)
    for cell, acts_ND in acts.items():
        x_ND = acts_ND.double().numpy()
        for number, (fitted, held_out) in enumerate(folds):
            inner = grouped_folds(group_N[fitted], label_N[fitted], 4, seed=3)
            mean_C = []
            for c in CS:
                model = make_pipeline(StandardScaler(), LogisticRegression(C=c, tol=1e-8))
                inner_scores = [
                    auroc(
                        model.fit(x_ND[fitted[fit]], label_N[fitted[fit]]).decision_function(
                            x_ND[fitted[out]]
                        ),
                        label_N[fitted[out]],
                    )
                    for fit, out in inner
                ]
                mean_C.append(np.mean(inner_scores))
            chosen = CS.index(nested.c_KF[nested.cells.index(cell), number])
            # The mean is a step function of the scores: two penalties may tie to a rank.
            assert mean_C[chosen] >= max(mean_C) - 2e-3
            model = make_pipeline(StandardScaler(), LogisticRegression(C=CS[chosen], tol=1e-8))
            expected_M = model.fit(x_ND[fitted], label_N[fitted]).decision_function(x_ND[held_out])
            found_M = nested.scores_KN[nested.cells.index(cell), held_out]
            assert (
                abs(auroc(found_M, label_N[held_out]) - auroc(expected_M, label_N[held_out])) < 1e-9
            )
    assert nested.certified_K.min() == 1


def test_what_is_held_out_has_no_say_in_what_is_chosen(planted):
    acts, label_N, group_N = planted
    folds = grouped_folds(group_N, label_N, 4, seed=1)
    nested = nested_scores(acts, label_N, group_N, folds, seed=3)
    held_out = folds[2][1]
    other_N = label_N.copy()
    other_N[held_out] = ~other_N[held_out]
    moved = {cell: acts_ND.clone() for cell, acts_ND in acts.items()}
    for acts_ND in moved.values():
        acts_ND[held_out] += 7.0
    again = nested_scores(moved, other_N, group_N, folds, seed=3)
    assert np.array_equal(again.c_KF[:, 2], nested.c_KF[:, 2])
    assert again.chosen_F[2] == nested.chosen_F[2]


def test_the_best_of_many_cells_of_noise_is_not_reported_as_a_finding():
    """The largest AUROC of 16 cells of noise is far above one half; the selected one is not."""
    best, selected = [], []
    for seed in range(8):
        rng = np.random.default_rng(seed)
        label_N = np.arange(80) % 2 == 0
        acts = {
            cell: torch.tensor(rng.normal(size=(80, 4)), dtype=torch.float32) for cell in range(16)
        }
        folds = grouped_folds(np.arange(80), label_N, 4, seed)
        nested = nested_scores(acts, label_N, np.arange(80), folds, cs=(0.1, 1.0), seed=seed)
        best.append(auroc_columns(nested.scores_KN.T, label_N).max())
        selected.append(auroc(nested.best_N, label_N))
    assert min(best) > 0.55
    # 8 AUROCs on 80 rows of noise: a mean with a standard error of about 0.065 / sqrt(8).
    assert abs(np.mean(selected) - 0.5) < 4 * 0.065 / np.sqrt(8)


def test_the_table_tells_a_planted_code_from_none(planted):
    acts, label_N, group_N = planted
    table = sweep(acts, label_N, {"pair": group_N}, QUICK).set_index("cell")
    assert list(table.index) == ["nothing", "weak", "strong", "selected"]
    strong, nothing = table.loc["strong"], table.loc["nothing"]
    assert strong["auroc"] > 0.8
    assert strong["lo"] > strong["null_hi"]
    assert strong["p_adjusted"] < 0.05 < nothing["p_adjusted"]
    assert nothing["lo"] < 0.5 < nothing["hi"]
    assert table.loc["selected", "auroc"] == pytest.approx(strong["auroc"])
    assert (table["n"] == N).all()
    assert (table["n_true"] == N // 2).all()
    assert (table["certified"] == 1).all()


def test_a_probe_that_only_remembers_types_has_no_selectivity():
    """The label is a property of the token; so is every control task's, and it is as easy."""
    rng = np.random.default_rng(1)
    type_N = np.arange(240) % 24
    acts = {"embedding": torch.tensor(np.eye(24)[type_N] + 0.01 * rng.normal(size=(240, 24)))}
    label_N = type_N % 2 == 0
    units = {"row": np.arange(240)}
    remembered = sweep(acts, label_N, units, QUICK, types={"embedding": type_N}).iloc[0]
    assert remembered["auroc"] > 0.99
    assert abs(remembered["selectivity"]) < 0.05
    # The same types, and a label that the activations hold beside them.
    label_N = rng.random(240) < 0.5
    coded = torch.cat([acts["embedding"], torch.tensor(label_N)[:, None] * 4.0], 1)
    read = sweep({"coded": coded}, label_N, units, QUICK, types={"coded": rng.integers(0, 60, 240)})
    assert read.iloc[0]["selectivity_lo"] > 0.2


def test_baselines_stand_beside_the_cells_they_belong_to(planted):
    acts, label_N, group_N = planted
    told = torch.tensor(label_N, dtype=torch.float32)[:, None] + torch.zeros(N, 2)
    noise = torch.randn(N, 3, generator=torch.Generator().manual_seed(0))
    baselines = {
        "words": Baseline({"all": noise}, lambda _: "all"),
        "other": Baseline({"weak": told}, lambda cell: cell),
    }
    table = sweep(acts, label_N, {"pair": group_N}, replace(QUICK, mlp=True), baselines=baselines)
    table = table.set_index("cell")
    assert table.loc["weak", "other"] == 1
    assert table.loc[["nothing", "strong"], "other"].isna().all()
    words = table.loc[["nothing", "weak", "strong"], "words"]
    assert words.nunique() == 1
    folds = grouped_folds(group_N, label_N, QUICK.n_splits, QUICK.seed)
    alone = nested_scores({"it": noise}, label_N, group_N, folds, cs=QUICK.cs, seed=QUICK.seed)
    assert words.iloc[0] == pytest.approx(auroc(alone.scores_KN[0], label_N))
    assert table.loc["strong", "mlp"] > 0.75
    assert table["control"].isna().all()


def test_a_topic_passes_for_the_label_until_a_scenario_is_left_out():
    """The label is the topic of each scenario: it is read within them, and not across them."""
    rng = np.random.default_rng(0)
    scenario_N = np.repeat(np.arange(4), 60)
    label_N = rng.random(240) < 0.5
    sign_N = np.where(scenario_N % 2 == 0, 1, -1)
    acts_ND = rng.normal(size=(240, 6))
    acts_ND[:, 0] += 3 * sign_N * (label_N - 0.5) * 2
    acts_ND[:, 1:5] += 4 * np.eye(4)[scenario_N]
    # Products of topic and code, so that a linear probe can use both together.
    crossed_ND = np.hstack([acts_ND, acts_ND[:, :1] * np.eye(4)[scenario_N]])
    acts = {"layer": torch.tensor(crossed_ND, dtype=torch.float32)}
    levels = {"scenario": scenario_N, "pair": np.arange(240)}
    within = sweep(acts, label_N, levels, QUICK).iloc[0]["auroc"]
    across = sweep(acts, label_N, levels, replace(QUICK, hold_out="scenario")).iloc[0]["auroc"]
    assert within > 0.95
    assert across < 0.6
    with pytest.raises(InputError, match="no level 'dataset' to hold out; the levels are scenario"):
        sweep(acts, label_N, levels, replace(QUICK, hold_out="dataset"))


def test_requests_that_cannot_be_met_are_refused(planted):
    acts, label_N, group_N = planted
    with pytest.raises(InputError, match="no levels"):
        sweep(acts, label_N, {}, QUICK)
    with pytest.raises(InputError, match="groups have the label True"):
        sweep(acts, np.arange(N) < 4, {"pair": group_N}, QUICK)
    torn = grouped_folds(np.arange(N), label_N, 4, 0)
    with pytest.raises(
        InputError, match=r"fold 0 holds out row \d+ and fits on row \d+, which are"
    ):
        nested_scores(acts, label_N, group_N, torn, seed=0)
    broken = acts | {"weak": acts["weak"].clone()}
    broken["weak"][7, 3] = float("nan")
    with pytest.raises(InputError, match="row"):
        sweep(broken, label_N, {"pair": group_N}, QUICK)
