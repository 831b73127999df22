from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from scipy.optimize import minimize
from scipy.special import expit, logit
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import StandardScaler

from interp.activations import Activations, Site
from interp.behavior.calibration.reliability import (
    bin_edges,
    calibrated_ece,
    expected_calibration_error,
)
from interp.errors import InputError
from interp.probes import grouped_folds
from interp.probes.knowing import layers_at, p_ik, p_ik_transfer
from interp.probes.platt import platt
from interp.stats import auroc
from tests.probes.planted import tensor

N, D = 1200, 8
SLOPE = 2.0


def planted(seed: int, n: int = N, slope: float = SLOPE) -> tuple[np.ndarray, np.ndarray]:
    """Unit normal activations; P(correct) is a logistic function of one direction of them."""
    rng = np.random.default_rng(seed)
    direction_D = rng.normal(size=D)
    acts_ND = rng.normal(size=(n, D))
    p_N = expit(slope * acts_ND @ (direction_D / np.linalg.norm(direction_D)) + 0.3)
    return acts_ND, p_N


def noise(seed: int, n: int = N) -> torch.Tensor:
    return tensor(np.random.default_rng(seed).normal(size=(n, D)))


def entities(n: int = N) -> np.ndarray:
    """Two rows each."""
    return np.arange(n) // 2


@pytest.fixture(scope="module")
def known() -> dict[str, Any]:
    acts_ND, p_N = planted(0)
    correct_N = np.random.default_rng(1).random(N) < p_N
    acts = {"noise": noise(2), "knows": tensor(acts_ND), "more noise": noise(3)}
    folds = grouped_folds(entities(), correct_N, 5, seed=0)
    given = {"acts": acts, "correct": correct_N, "folds": folds, "p": p_N}
    return given | {"read": p_ik(acts, correct_N, entities(), folds, seed=0)}


def test_the_layer_that_knows_is_chosen_in_every_fold(known) -> None:
    assert known["read"].cell_F == ("knows",) * 5
    assert known["read"].certified == 1


@pytest.mark.parametrize("which", ["probability_N", "logistic_N"])
def test_planted_knowledge_is_read_and_calibrated(known, which: str) -> None:
    read_N, correct_N = getattr(known["read"], which), known["correct"]
    ideal = calibrated_ece(read_N, bin_edges(read_N), seed=0)
    assert ideal.lo <= expected_calibration_error(read_N, correct_N) <= ideal.hi
    assert auroc(read_N, correct_N) > auroc(known["p"], correct_N) - 0.01
    assert np.abs(read_N - known["p"]).mean() < 0.04


def test_known_probabilities_would_be_told_from_others(known) -> None:
    """What the band of the test above refuses: confidences twice as extreme."""
    over_N = expit(2 * logit(known["read"].probability_N))
    ideal = calibrated_ece(over_N, bin_edges(over_N), seed=0)
    assert expected_calibration_error(over_N, known["correct"]) > 1.5 * ideal.hi


def test_without_knowledge_it_is_the_base_rate() -> None:
    correct_N = np.random.default_rng(5).random(N) < 0.7
    acts = {layer: noise(10 + layer) for layer in range(3)}
    folds = grouped_folds(entities(), correct_N, 5, seed=0)
    read = p_ik(acts, correct_N, entities(), folds, seed=0)
    assert np.abs(read.probability_N - correct_N.mean()).mean() < 0.03
    # Two standard errors of a chance AUROC.
    n_right = correct_N.sum()
    error = np.sqrt((N + 1) / (12 * n_right * (N - n_right)))
    assert abs(auroc(read.probability_N, correct_N) - 0.5) < 2.5 * error


def test_wide_activations_are_overconfident_until_calibrated() -> None:
    """More columns than rows and next to no penalty: Platt's sigmoid takes the excess back."""
    rng = np.random.default_rng(0)
    n, width = 300, 600
    acts_ND = rng.normal(size=(n, width))
    correct_N = rng.random(n) < expit(acts_ND[:, :40].sum(1) / 4)
    folds = grouped_folds(np.arange(n), correct_N, 5, seed=0)
    read = p_ik({"wide": tensor(acts_ND)}, correct_N, np.arange(n), folds, cs=(10.0,), seed=0)
    plain, calibrated = (
        expected_calibration_error(p_N, correct_N) for p_N in (read.logistic_N, read.probability_N)
    )
    assert plain > 0.2
    assert calibrated < plain / 2
    assert (read.platt_F2[:, 0] < 0.6).all()


def test_no_row_has_a_part_in_its_own_probability(known) -> None:
    """Labels of one fold's held-out rows are flipped: they keep theirs, other rows do not."""
    folds, correct_N = known["folds"], known["correct"]
    held_out = folds[2][1]
    flipped_N = correct_N.copy()
    flipped_N[held_out] ^= True
    again = p_ik(known["acts"], flipped_N, entities(), folds, seed=0)
    rest = np.setdiff1d(np.arange(N), held_out)
    for which in ("probability_N", "logistic_N"):
        before_N, after_N = getattr(known["read"], which), getattr(again, which)
        np.testing.assert_allclose(after_N[held_out], before_N[held_out], atol=1e-4)
        assert np.abs(after_N[rest] - before_N[rest]).min() > 0
        assert np.abs(after_N[rest] - before_N[rest]).mean() > 0.05
    assert again.cell_F[2] == known["read"].cell_F[2]
    np.testing.assert_allclose(again.platt_F2[2], known["read"].platt_F2[2], atol=1e-3)


def test_held_out_activations_do_not_move_what_reads_the_others(known) -> None:
    folds = known["folds"]
    held_out = folds[2][1]
    moved = {cell: acts_ND.clone() for cell, acts_ND in known["acts"].items()}
    for acts_ND in moved.values():
        acts_ND[held_out[0]] += 50
    again = p_ik(moved, known["correct"], entities(), folds, seed=0)
    fold = np.setdiff1d(held_out, held_out[:1])
    np.testing.assert_allclose(
        again.probability_N[fold], known["read"].probability_N[fold], atol=1e-4
    )
    moved_by = again.probability_N[held_out[0]] - known["read"].probability_N[held_out[0]]
    assert abs(moved_by) > 0.05


def test_each_row_is_read_as_scikit_learn_reads_it(known) -> None:
    """One cell, one penalty: probes of the outer folds, and a sigmoid of their own log odds."""
    acts_ND, correct_N = known["acts"]["knows"].numpy().astype(float), known["correct"]
    read = p_ik(
        {"knows": known["acts"]["knows"]}, correct_N, entities(), known["folds"], cs=(0.1,), seed=0
    )
    for number, (fitted, held_out) in enumerate(known["folds"]):
        scaler = StandardScaler().fit(acts_ND[fitted])
        probe = LogisticRegression(C=0.1, tol=1e-10).fit(
            scaler.transform(acts_ND[fitted]), correct_N[fitted]
        )
        log_odds_M = probe.decision_function(scaler.transform(acts_ND[held_out]))
        np.testing.assert_allclose(read.logistic_N[held_out], expit(log_odds_M), atol=1e-4)
        slope, offset = read.platt_F2[number]
        np.testing.assert_allclose(
            read.probability_N[held_out], expit(slope * log_odds_M + offset), atol=1e-4
        )
    assert (read.c_F == 0.1).all()


def test_shares_of_right_samples_say_what_the_samples_say() -> None:
    """Four samples a prompt, as a share and as four rows of one prompt."""
    rng = np.random.default_rng(4)
    acts_ND, p_N = planted(4, n=200)
    right_NS = rng.random((200, 4)) < p_N[:, None]
    share_N = right_NS.mean(1)
    folds = grouped_folds(np.arange(200), share_N >= share_N.mean(), 4, seed=0)
    shares = p_ik({0: tensor(acts_ND)}, share_N, np.arange(200), folds, cs=(0.1,), seed=0)
    row_S = np.repeat(np.arange(200), 4)
    rows = [np.flatnonzero(np.isin(row_S, side)) for fold in folds for side in fold]
    each = p_ik(
        {0: tensor(acts_ND[row_S])},
        right_NS.ravel(),
        row_S,
        list(zip(rows[::2], rows[1::2], strict=True)),
        cs=(0.1 / 4,),  # four times the rows
        seed=0,
    )
    np.testing.assert_allclose(each.logistic_N[::4], shares.logistic_N, atol=1e-4)
    assert len(np.unique(shares.logistic_N.round(6))) > 100
    assert np.abs(shares.probability_N - p_N).mean() < 0.06


def test_the_parents_probe_reads_the_child_unchanged(known) -> None:
    acts, correct_N, folds = known["acts"], known["correct"], known["folds"]
    parent, same = p_ik_transfer(acts, acts, correct_N, entities(), folds, seed=0)
    for which in ("probability_N", "logistic_N"):
        np.testing.assert_array_equal(getattr(parent, which), getattr(known["read"], which))
        np.testing.assert_array_equal(getattr(same, which), getattr(parent, which))
    child = {cell: -acts_ND for cell, acts_ND in acts.items()}
    parent, turned = p_ik_transfer(acts, child, correct_N, entities(), folds, seed=0)
    assert auroc(turned.probability_N, correct_N) < 0.25
    np.testing.assert_array_equal(parent.probability_N, known["read"].probability_N)
    # Each fold's probe is affine: reading x and -x gives log odds about its intercept.
    about = {
        number: (logit(parent.logistic_N) + logit(turned.logistic_N))[held_out]
        for number, (_, held_out) in enumerate(folds)
    }
    assert all(np.ptp(sums) < 1e-6 for sums in about.values())


def test_a_table_of_sources(known) -> None:
    frame = known["read"].frame([f"p{row}" for row in range(N)])
    assert list(frame) == ["prompt_id", "p_ik", "p_ik_logistic"]
    assert frame["p_ik"].between(0, 1).all()
    with pytest.raises(InputError, match="P\\(IK\\): 1 prompt ids for 1200 rows"):
        known["read"].frame(["p0"])


def test_layers_of_a_capture() -> None:
    sites = [Site("resid_post", 0), Site("resid_post", 1)]
    shard = {str(site): np.full((2, 3, D), site.layer, dtype=np.float32) for site in sites}
    shard["resid_post.1"][1] = 7
    shard["lengths"] = np.array([1, 1, 1])
    acts = Activations(sites, ("last_prompt", "entity_last"), [shard], "float32", {})
    layers = layers_at(acts)
    assert list(layers) == sites
    assert (layers[sites[1]] == 1).all()
    assert (layers_at(acts, "entity_last")[sites[1]] == 7).all()
    with pytest.raises(InputError, match="nothing captured at 'question_last'"):
        layers_at(acts, "question_last")


def test_platts_sigmoid_is_scikit_learns_fit_of_his_targets() -> None:
    rng = np.random.default_rng(0)
    logit_N = rng.normal(size=200) * 3
    right_N = rng.random(200) < expit(0.5 * logit_N - 1)
    n_right = right_N.sum()
    target_N = np.where(right_N, (n_right + 1) / (n_right + 2), 1 / (200 - n_right + 2))
    oracle = LogisticRegression(C=1e9, tol=1e-12, max_iter=10_000).fit(
        np.tile(logit_N, 2)[:, None],
        np.repeat([1, 0], 200),
        sample_weight=np.concatenate([target_N, 1 - target_N]),
    )
    expected = (oracle.coef_[0, 0], oracle.intercept_[0])
    np.testing.assert_allclose(platt(logit_N, right_N), expected, atol=1e-3)


def test_platts_sigmoid_of_told_apart_log_odds_is_finite() -> None:
    slope, offset = platt(np.array([-1.0, -1, 1, 1]), np.array([0, 0, 1, 1]))
    np.testing.assert_allclose(expit(slope * np.array([-1, 1]) + offset), [1 / 4, 3 / 4], atol=1e-3)


@pytest.mark.parametrize("turned", [1.0, -1.0])
def test_platts_slope_is_the_best_that_turns_nothing_round(turned: float) -> None:
    """Against a bounded minimum of the same loss, by another optimiser."""
    rng = np.random.default_rng(1)
    logit_N = rng.normal(size=300)
    right_N = rng.random(300) < expit(turned * logit_N - 0.5)
    n_right = right_N.sum()
    target_N = np.where(right_N, (n_right + 1) / (n_right + 2), 1 / (300 - n_right + 2))

    def loss(both: np.ndarray) -> float:
        read_N = both[0] * logit_N + both[1]
        return float((np.logaddexp(0, read_N) - target_N * read_N).sum())

    best = minimize(loss, [0.5, 0.0], bounds=[(0, None), (None, None)], tol=1e-12).x
    slope, offset = platt(logit_N, right_N)
    np.testing.assert_allclose((slope, offset), best, atol=1e-3)
    if turned < 0:
        assert slope == 0
        assert expit(offset) == pytest.approx(target_N.mean())
    else:
        assert slope > 0.5


def test_noise_turns_no_probe_round() -> None:
    """Without the bound some of these folds have a slope below 0."""
    slopes = []
    for seed in range(2):
        correct_N = np.random.default_rng(50 + seed).random(200) < 0.5
        folds = grouped_folds(np.arange(200), correct_N, 5, seed=seed)
        read = p_ik(
            {0: noise(60 + seed, 200)}, correct_N, np.arange(200), folds, cs=(0.1,), seed=seed
        )
        slopes.extend(read.platt_F2[:, 0].tolist())
        for number, (_, held_out) in enumerate(folds):
            order = np.argsort(read.logistic_N[held_out], kind="stable")
            assert (np.diff(read.probability_N[held_out][order]) >= -1e-12).all()
            if read.platt_F2[number, 0] == 0:
                assert np.ptp(read.probability_N[held_out]) == 0
    assert min(slopes) == 0


def test_log_odds_that_say_nothing_give_the_base_rate() -> None:
    slope, offset = platt(np.zeros(100), np.arange(100) < 30)
    assert expit(offset) == pytest.approx((30 * 31 / 32 + 70 / 72) / 100, abs=1e-3)
    assert np.isfinite(slope)


@pytest.mark.parametrize(
    ("logit_N", "share_N", "message"),
    [
        ([0.0, 1.0], [1.0], "one of each a row"),
        ([], [], "one of each a row"),
        ([0.0, np.nan], [1.0, 0.0], "not finite"),
        ([0.0, 1.0], [1.0, 2.0], "outside"),
    ],
)
def test_bad_log_odds_are_refused(logit_N, share_N, message: str) -> None:
    with pytest.raises(InputError, match=message):
        platt(np.array(logit_N), np.array(share_N))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"correct": np.linspace(-0.1, 1, N)}, "row 0 has -0.1"),
        ({"correct": np.full(N, np.nan)}, "row 0 has nan"),
        ({"correct": np.zeros((N, 2))}, r"shape \(1200, 2\)"),
        ({"correct": np.ones(N)}, "one class only"),
        ({"groups": np.arange(N) % 7}, "which are both of"),
        ({"folds": [(np.arange(600), np.arange(600, N))]}, "hold out 600 rows of 1200"),
        ({"acts": {"short": noise(0, 10)}}, "activations of short"),
    ],
)
def test_bad_input_is_refused(known, change, message: str) -> None:
    given = {"acts": known["acts"], "correct": known["correct"], "groups": entities()}
    with pytest.raises(InputError, match=message):
        p_ik(**{**given, "folds": known["folds"], "seed": 0, **change})


@pytest.mark.parametrize(
    ("child", "message"),
    [
        ({"noise": noise(0)}, "the child has no activations of knows"),
        (dict.fromkeys(("noise", "knows", "more noise"), noise(0)[:, :3]), "in the child have"),
        (dict.fromkeys(("noise", "knows", "more noise"), noise(0)[:9]), "in the child have"),
    ],
)
def test_a_child_of_another_shape_is_refused(known, child, message: str) -> None:
    with pytest.raises(InputError, match=message):
        p_ik_transfer(known["acts"], child, known["correct"], entities(), known["folds"], seed=0)
