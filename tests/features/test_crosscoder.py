"""Crosscoders and latent scaling: against formulas written out, handmade cases, planted truth."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import save_file
from sklearn.metrics import r2_score
from torch import Tensor

from interp import progress
from interp.errors import InputError
from interp.features.crosscoder import Crosscoder
from interp.features.crosscoder_training import CrosscoderRecipe, _Learner, train_crosscoder
from interp.features.latent_classes import Cutoffs, classify
from interp.features.latent_scaling import LatentScaling, ScalingFitter, scale_latents

SHORT = CrosscoderRecipe(n_latents=24, k=3, steps=30, batch=64, lr=3e-3)
PLANTED = CrosscoderRecipe(n_latents=128, k=5, steps=700, batch=512, lr=1e-2, dead_after=20_000)
HELD_BACK = 8000


def unit(vectors: np.ndarray) -> np.ndarray:
    return vectors / np.linalg.norm(vectors, axis=-1, keepdims=True)


def planted(
    kinds: list[str], *, n: int = 28_000, d: int = 48, tilt: float = 0.95, seed: int = 0
) -> tuple[Tensor, np.ndarray]:
    """Rows of two models [n, 2, d] that are sums of sparse features, and the features' values.

    A shared feature is turned a little in the child (cosine `tilt`), a reused one by 90 degrees.
    The child's activations are three times as long, around another mean.
    """
    rng = np.random.default_rng(seed)
    kind_G = np.array(kinds)
    parent_GD, other_GD = unit(rng.normal(size=(2, len(kinds), d)))
    across_GD = unit(other_GD - (other_GD * parent_GD).sum(1, keepdims=True) * parent_GD)
    child_GD = tilt * parent_GD + np.sqrt(1 - tilt**2) * across_GD
    child_GD[kind_G == "reused"] = across_GD[kind_G == "reused"]
    parent_GD[kind_G == "new"], child_GD[kind_G == "lost"] = 0, 0
    rate_G = 0.05 * rng.uniform(0.6, 1.4, len(kinds))
    value_NG = (rng.random((n, len(kinds))) < rate_G) * rng.uniform(0.5, 1.5, (n, len(kinds)))
    rows_NCD = np.stack([value_NG @ parent_GD, value_NG @ child_GD], 1)
    rows_NCD += 0.03 * rng.normal(size=rows_NCD.shape)
    rows_NCD[:, 1] = 3 * rows_NCD[:, 1] + 1
    return torch.tensor(rows_NCD, dtype=torch.float32), value_NG


def noise(n: int = 200, models: int = 2, d: int = 8, seed: int = 0) -> Tensor:
    return torch.randn(n, models, d, generator=torch.Generator().manual_seed(seed))


def handmade(decoder_CMD: Tensor, **changes: object) -> Crosscoder:
    """Reads the latents off the first model, whose decoder vectors are orthonormal."""
    models, latents, d = decoder_CMD.shape
    encoder_CDM = torch.zeros(models, d, latents)
    encoder_CDM[0] = decoder_CMD[0].T
    parts: dict[str, object] = {
        "encoder_CDM": encoder_CDM,
        "encoder_bias_M": torch.zeros(latents),
        "decoder_CMD": decoder_CMD,
        "decoder_bias_CD": torch.zeros(models, d),
        "mean_CD": torch.zeros(models, d),
        "scale_C": torch.ones(models),
        "threshold": 0.0,
        "k": 1,
    }
    return Crosscoder(**(parts | changes))


def dense_loss(own: np.ndarray, parts: dict[str, np.ndarray], k: int) -> tuple[float, np.ndarray]:
    """The loss without dead latents, as in the paper, value by value; and the values kept."""
    value_NM = np.maximum(
        np.einsum("ncd,cdm->nm", own, parts["encoder_CDM"]) + parts["encoder_bias_M"], 0
    )
    weighed_NM = value_NM * np.linalg.norm(parts["decoder_CMD"], axis=2).sum(0)
    least = np.sort(weighed_NM, axis=None)[-k * len(own)]
    kept_NM = value_NM * (weighed_NM >= least)
    written_NCD = np.einsum("nm,cmd->ncd", kept_NM, parts["decoder_CMD"])
    return float(np.square(own - written_NCD - parts["decoder_bias_CD"]).mean()), kept_NM


def as_arrays(learner: _Learner) -> dict[str, np.ndarray]:
    return {name: part.detach().double().numpy() for name, part in learner.parameters.items()}


@pytest.fixture
def learner() -> _Learner:
    recipe = CrosscoderRecipe(n_latents=20, k=3, steps=10, dead_after=100, dead_k=4)
    learner = _Learner(2, 8, recipe, 0, "cpu")
    draw = torch.Generator().manual_seed(1)
    for part in learner.parameters.values():
        part.data += 0.3 * torch.randn(part.shape, generator=draw)
    return learner


def test_the_loss_is_the_published_one(learner):
    own = noise(50)
    expected, kept_NM = dense_loss(own.double().numpy(), as_arrays(learner), k=3)
    assert (kept_NM > 0).sum() == 3 * 50
    assert np.ptp((kept_NM > 0).sum(1)) > 0  # rows share the latents unevenly: not a plain top-k
    assert learner.loss(own).item() == pytest.approx(expected, rel=1e-5)


def test_gradients_are_those_of_the_dense_loss(learner):
    own = noise(50)
    learner.loss(own).backward()
    _, kept_NM = dense_loss(own.double().numpy(), as_arrays(learner), k=3)
    leaves = {name: part.detach().clone() for name, part in learner.parameters.items()}
    for part in leaves.values():
        part.requires_grad_()
    value_NM = torch.einsum("ncd,cdm->nm", own, leaves["encoder_CDM"]) + leaves["encoder_bias_M"]
    code_NM = value_NM.relu() * torch.from_numpy(kept_NM > 0)
    written = torch.einsum("nm,cmd->ncd", code_NM, leaves["decoder_CMD"])
    (own - written - leaves["decoder_bias_CD"]).square().mean().backward()
    for name, part in learner.parameters.items():
        assert part.grad is not None
        torch.testing.assert_close(part.grad, leaves[name].grad, rtol=1e-4, atol=1e-7)


def test_dead_latents_are_charged_with_the_error_they_leave(learner):
    dead = [1, 4, 5, 11, 17, 19]
    learner._silent_M[dead] = 100
    learner.parameters["decoder_CMD"].data[:, dead] *= 0.01  # too faint to be among the kept
    own, arrays = noise(50), as_arrays(learner)
    plain, kept_NM = dense_loss(own.double().numpy(), arrays, k=3)
    assert not kept_NM[:, dead].any()
    wide = own.double().numpy()
    value_NM = np.einsum("ncd,cdm->nm", wide, arrays["encoder_CDM"]) + arrays["encoder_bias_M"]
    value_NM = np.maximum(value_NM, 0)
    weighed_NM = value_NM * np.linalg.norm(arrays["decoder_CMD"], axis=2).sum(0)
    left_NCD = wide - np.einsum("nm,cmd->ncd", kept_NM, arrays["decoder_CMD"])
    left_NCD -= arrays["decoder_bias_CD"]
    written_NCD = np.zeros_like(left_NCD)
    for row in range(50):
        for latent in sorted(dead, key=lambda m: -weighed_NM[row, m])[:4]:
            written_NCD[row] += value_NM[row, latent] * arrays["decoder_CMD"][:, latent]
    share = np.square(left_NCD - written_NCD).sum() / (left_NCD.var(0).sum() * 50)
    assert abs(share - np.square(left_NCD).sum() / (left_NCD.var(0).sum() * 50)) > 1e-3
    loss = learner.loss(own)
    assert loss.item() == pytest.approx(plain + share / 32, rel=1e-5)
    # All but the kept and the dead have been silent for these 50 rows.
    assert (learner._silent_M[dead] == 150).all()
    silent = ~torch.from_numpy((kept_NM > 0).any(0))
    silent[dead] = False
    assert (learner._silent_M[silent] == 50).all()
    assert (learner._silent_M[torch.from_numpy((kept_NM > 0).any(0))] == 0).all()
    loss.backward()
    assert (learner.parameters["encoder_CDM"].grad[:, :, dead].abs().sum((0, 1)) > 0).all()


def test_nobody_dead_costs_nothing(learner):
    own = noise(50)
    plain, _ = dense_loss(own.double().numpy(), as_arrays(learner), k=3)
    learner._silent_M += 49  # 99 rows with this batch, short of the 100 that make a latent dead
    assert learner.loss(own).item() == pytest.approx(plain, rel=1e-5)


def test_units_and_means_of_the_models_make_no_difference():
    rows = noise(400)
    scale_C11, shift_CD = torch.tensor([[[4.0], [0.25]]]), torch.tensor([[3.0], [-2.0]])
    one = train_crosscoder(rows, SHORT, seed=0)
    other = train_crosscoder(rows * scale_C11 + shift_CD, SHORT, seed=0)
    torch.testing.assert_close(other.decoder_CMD, one.decoder_CMD, rtol=0, atol=1e-4)
    torch.testing.assert_close(other.scale_C, one.scale_C * scale_C11[0, :, 0])
    own = one.standardise(rows)
    torch.testing.assert_close(own.mean(0), torch.zeros(2, 8), rtol=0, atol=1e-6)
    assert own.square().sum(2).mean(0).tolist() == pytest.approx([8, 8], rel=1e-5)


def test_a_seed_gives_the_same_crosscoder_and_another_seed_another():
    rows = noise(400)
    one, two, other = (train_crosscoder(rows, SHORT, seed=seed) for seed in (0, 0, 1))
    assert torch.equal(one.decoder_CMD, two.decoder_CMD)
    assert one.threshold == two.threshold
    assert not torch.allclose(one.decoder_CMD, other.decoder_CMD, atol=0.1)


@pytest.mark.parametrize("models", [2, 3])
def test_the_threshold_keeps_k_latents_a_row_and_training_lowers_the_error(models):
    rows = noise(2000, models)
    recipe = replace(SHORT, steps=150, batch=200)
    trained = train_crosscoder(rows, recipe, seed=0)
    untrained = train_crosscoder(rows, replace(recipe, steps=1, lr=1e-9), seed=0)
    for crosscoder in (trained, untrained):
        assert crosscoder.quality(rows).l0 == pytest.approx(3, rel=0.05)
    assert len(trained.quality(rows).fvu_C) == models
    for model in range(models):
        assert trained.quality(rows).fvu_C[model] < 0.8 * untrained.quality(rows).fvu_C[model]
    code_NM = trained.encode(rows)
    weighed = code_NM * trained.decoder_CMD.norm(dim=2).sum(0)
    assert weighed[code_NM > 0].min() > trained.threshold


def test_quality_is_scikit_learns_variance_left_over():
    rows = noise(500)
    crosscoder = train_crosscoder(rows, SHORT, seed=0)
    found = crosscoder.quality(rows[:300] + 0.5, batch=70)
    code_NM = crosscoder.encode(rows[:300] + 0.5)
    own, written = crosscoder.standardise(rows[:300] + 0.5), crosscoder.decode(code_NM)
    for model in range(2):
        r2 = r2_score(own[:, model], written[:, model], multioutput="variance_weighted")
        assert found.fvu_C[model] == pytest.approx(1 - r2, rel=1e-5)
    assert found.l0 == pytest.approx((code_NM > 0).double().sum(1).mean().item())
    assert found.dead == pytest.approx((code_NM == 0).all(0).double().mean().item())


def test_a_saved_crosscoder_is_the_same_when_loaded(tmp_path):
    rows = noise()
    crosscoder = train_crosscoder(rows, SHORT, seed=0)
    crosscoder.save(tmp_path / "crosscoder.safetensors")
    loaded = Crosscoder.load(tmp_path / "crosscoder.safetensors")
    assert torch.equal(loaded.encode(rows), crosscoder.encode(rows))
    assert (loaded.threshold, loaded.k) == (crosscoder.threshold, 3)


def test_a_file_that_is_no_crosscoder_is_refused(tmp_path):
    with pytest.raises(InputError, match="cannot be read"):
        Crosscoder.load(tmp_path / "none.safetensors")
    (tmp_path / "torn.safetensors").write_bytes(b"torn")
    with pytest.raises(InputError, match="cannot be read"):
        Crosscoder.load(tmp_path / "torn.safetensors")
    save_file({"W_dec": torch.ones(2)}, tmp_path / "other.safetensors")
    with pytest.raises(InputError, match=r"holds \['W_dec'\]; expected \['decoder_CMD'"):
        Crosscoder.load(tmp_path / "other.safetensors")


def test_every_step_is_reported():
    seen: list[progress.Progress] = []
    before = list(progress._listeners)
    progress.listen(seen.append)
    try:
        train_crosscoder(noise(), SHORT, seed=0, task="parent and child")
    finally:
        progress._listeners[:] = before
    assert seen == [progress.Progress("parent and child", step, 30) for step in range(1, 31)]


@pytest.mark.parametrize(
    ("rows", "changes", "message"),
    [
        (noise(models=1), {}, "at least two models"),
        (noise(50), {}, "batches of 64 from 50 rows"),
        (noise(), {"k": 25}, "k=25 of 24 latents"),
        (noise(), {"k": 0}, "k=0 of 24 latents"),
        (noise(), {"steps": 0}, "0 steps"),
        (noise(), {"lr": 0.0}, "lr=0.0"),
        (noise() * torch.tensor([[[1.0], [0.0]]]), {}, "all rows of model 1 are equal"),
        (noise() * torch.tensor([[[0.0], [1.0]]]) + 1e6, {}, "all rows of model 0 are equal"),
    ],
)
def test_training_refuses(rows, changes, message):
    with pytest.raises(InputError, match=message):
        train_crosscoder(rows, replace(SHORT, **changes), seed=0)


def test_training_names_the_row_that_is_not_finite():
    for bad in (float("nan"), float("inf")):
        rows = noise(5000)
        rows[4321, 1, 3] = bad
        with pytest.raises(InputError, match="NaN or Inf in row 4321"):
            train_crosscoder(rows, SHORT, seed=0)


def test_a_crosscoder_refuses_rows_of_other_models():
    crosscoder = handmade(torch.eye(4).repeat(2, 1, 1))
    with pytest.raises(InputError, match=r"\(7, 2, 5\); it was trained on .* \(n, 2, 4\)"):
        crosscoder.encode(torch.zeros(7, 2, 5))
    rows = torch.zeros(7, 2, 4)
    rows[5] = float("nan")
    with pytest.raises(InputError, match="row 5"):
        crosscoder.encode(rows)


# Latent scaling ---------------------------------------------------------------------------------


@pytest.mark.parametrize("models", [2, 3])
def test_scaling_factors_are_least_squares(models):
    rows = noise(300, models, seed=4)
    crosscoder = train_crosscoder(rows, SHORT, seed=0)
    scaling = scale_latents(crosscoder, rows, n_folds=7, batch=19)
    code_NM, own = crosscoder.encode(rows).double(), crosscoder.standardise(rows).double()
    written = crosscoder.decode(code_NM.float()).double()
    decoder = crosscoder.decoder_CMD.double()
    for latent in range(0, 24, 5):
        alone = code_NM[:, latent, None, None] * decoder[:, latent]
        for target, beta in (
            (written, scaling.beta_reconstruction()),
            (own - (written - alone), scaling.beta_error()),
        ):
            for direction in range(models):
                design = torch.outer(code_NM[:, latent], decoder[direction, latent]).flatten()
                for model in range(models):
                    solved = np.linalg.lstsq(
                        design[:, None].numpy(), target[:, model].flatten().numpy(), rcond=None
                    )[0]
                    found = beta[direction, model, latent]
                    assert found == pytest.approx(float(solved[0]), rel=1e-4, abs=1e-6)


def test_batches_make_no_difference_and_folds_keep_groups_together():
    rows = noise(120)
    crosscoder = train_crosscoder(rows, SHORT, seed=0)
    groups = np.repeat(np.arange(30), 4)
    one = classify(scale_latents(crosscoder, rows, groups=groups, n_folds=5), min_active=1)
    two = classify(scale_latents(crosscoder, rows, groups=groups, n_folds=5, batch=7), min_active=1)
    for column in one.columns.drop("class"):
        np.testing.assert_allclose(one[column], two[column], rtol=1e-6, atol=1e-9)
    other = classify(scale_latents(crosscoder, rows, n_folds=5), min_active=1)
    np.testing.assert_allclose(one["nu_error"], other["nu_error"], rtol=1e-9)
    assert not np.allclose(one["nu_error_lo"], other["nu_error_lo"], rtol=1e-3)
    scaling = scale_latents(crosscoder, rows, groups=groups, n_folds=5)
    per_fold = [(crosscoder.encode(rows[groups % 5 == f]) > 0).sum(0) for f in range(5)]
    np.testing.assert_array_equal(scaling.active_FM, torch.stack(per_fold))


def sparse_rows(n: int, latents: int, seed: int = 0) -> Tensor:
    rng = np.random.default_rng(seed)
    values = (rng.random((n, latents)) < 0.2) * rng.uniform(0.5, 1.5, (n, latents))
    return torch.tensor(values, dtype=torch.float32)


def classes_of(crosscoder: Crosscoder, rows: Tensor, **kwargs: object) -> list[str]:
    return classify(scale_latents(crosscoder, rows), **kwargs)["class"].tolist()


def test_a_latent_written_elsewhere_or_left_in_the_error_is_not_lost():
    """The two artefacts that the ratios are for, and the real thing, one latent each."""
    value_NM = sparse_rows(2000, 4)
    decoder_CMD = torch.zeros(2, 5, 8)
    decoder_CMD[0, range(4), range(4)] = 1
    decoder_CMD[1, 0, 0] = 1  # 0 is shared
    decoder_CMD[1, 4, 1] = 1  # 1 is split: the child's part is another latent, 4
    # 2 is shrunk: the child has it, but the crosscoder does not write it there; 3 is truly lost.
    rows = torch.zeros(2000, 2, 8)
    rows[:, 0, :4] = value_NM
    rows[:, 1, :3] = value_NM[:, :3]
    crosscoder = handmade(decoder_CMD)
    crosscoder.encoder_CDM[0, 1, 4] = 1
    table = classify(scale_latents(crosscoder, rows))
    assert table["class"].tolist() == ["shared", "shared", "shared", "lost", "shared"]
    assert table["nu_reconstruction"].tolist() == pytest.approx([1, 1, 0, 0, 1], abs=0.25)
    # Of a split latent nothing is left in the error, of a shrunk one all: each is seen by one.
    assert table["nu_error"].tolist() == pytest.approx([1, 0, 1, 0, 0], abs=0.05)
    swapped = replace(
        crosscoder, decoder_CMD=decoder_CMD.flip(0), encoder_CDM=crosscoder.encoder_CDM.flip(0)
    )
    assert classes_of(swapped, rows.flip(1)) == ["shared", "shared", "shared", "new", "shared"]


@pytest.mark.parametrize(
    ("angle", "length", "expected"),
    [
        (0, 1.0, "shared"),
        (0, 2.5, "shared"),
        (45, 1.0, "shared"),
        (75, 1.0, "reused"),
        (90, 0.8, "reused"),
        (180, 1.0, "reused"),
        (90, 0.3, "lost"),
        (90, 3.4, "new"),
        (0, 0.1, "lost"),
        (0, 10.0, "new"),
    ],
)
def test_a_latent_turned_in_the_child_is_reused_and_a_faint_one_missing(angle, length, expected):
    decoder_CMD = torch.zeros(2, 1, 4)
    decoder_CMD[0, 0, 0] = 1
    radians = np.deg2rad(angle)
    decoder_CMD[1, 0, :2] = length * torch.tensor([np.cos(radians), np.sin(radians)]).float()
    value_NM = sparse_rows(500, 1)
    rows = torch.einsum("nm,cmd->ncd", value_NM, decoder_CMD)
    table = classify(scale_latents(handmade(decoder_CMD), rows))
    assert table["class"].tolist() == [expected]
    assert table["cosine"][0] == pytest.approx(np.cos(radians), abs=1e-6)
    larger = max(length, 1)
    assert table["relative_norm"][0] == pytest.approx(((length - 1) / larger + 1) / 2)
    assert table["nu_error"][0] == pytest.approx(
        np.cos(radians) / larger * min(length, 1), abs=1e-5
    )


def test_rarely_active_latents_are_silent():
    decoder_CMD = torch.eye(4).repeat(2, 1, 1)
    rows = torch.zeros(100, 2, 4)
    rows[:60, :, 0], rows[:5, :, 1], rows[:6, :, 2] = 1, 1, 1
    assert classes_of(handmade(decoder_CMD), rows, min_active=6) == [
        "shared",
        "silent",
        "shared",
        "silent",
    ]


def test_three_models_are_compared_two_at_a_time():
    decoder_CMD = torch.eye(3).repeat(3, 1, 1)
    decoder_CMD[2, 1] = 0  # the last has lost the second latent
    decoder_CMD[1:, 2] = 1e-3 * torch.eye(3)[:2]  # the first alone has the third
    rows = torch.einsum("nm,cmd->ncd", sparse_rows(500, 3), decoder_CMD)
    scaling = scale_latents(handmade(decoder_CMD), rows)
    assert classify(scaling, 0, 1)["class"].tolist() == ["shared", "shared", "lost"]
    assert classify(scaling, 0, 2)["class"].tolist() == ["shared", "lost", "lost"]
    assert classify(scaling, 2, 1)["class"].tolist() == ["shared", "new", "neither"]


def test_intervals_hold_the_true_ratio_as_often_as_they_say():
    decoder_CMD = torch.zeros(2, 1, 6)
    decoder_CMD[0, 0, 0], decoder_CMD[1, 0, 0] = 1, 0.4
    rng, held, width = np.random.default_rng(0), [], []
    for draw in range(300):
        code_NM = sparse_rows(200, 1, seed=draw)
        truth_NCD = torch.einsum("nm,cmd->ncd", code_NM, decoder_CMD)
        acts_NCD = truth_NCD + torch.tensor(rng.normal(size=(200, 2, 6))) * 0.3
        fitter = ScalingFitter(decoder_CMD)
        for fold in range(10):
            fitter.update(code_NM[fold::10], acts_NCD[fold::10], truth_NCD[fold::10], fold)
        row = classify(fitter.scaling(), level=0.9).iloc[0]
        held.append(row["nu_error_lo"] <= 0.4 <= row["nu_error_hi"])
        width.append(row["nu_error_hi"] - row["nu_error_lo"])
    assert 0.85 <= np.mean(held) <= 0.95
    assert 0.02 < np.mean(width) < 0.4


# Cut-offs ---------------------------------------------------------------------------------------


def scaling_with(ratios_M2: list[tuple[float, float]]) -> LatentScaling:
    """Of latents with these nu_reconstruction and nu_error, the parent's, absent in the child."""
    nu_M2 = np.array(ratios_M2, dtype=float)
    latents = len(nu_M2)
    written, error = np.zeros((2, 1, 2, 2, latents))
    written[0, 0, 0], written[0, 0, 1], error[0, 0, 1] = 1, nu_M2[:, 0], nu_M2[:, 1]
    gram = np.zeros((2, 2, latents))
    gram[0, 0] = 1
    return LatentScaling(np.full((1, latents), 100), np.ones((1, latents)), written, error, gram)


def test_cutoffs_stay_as_published_where_the_null_passes_them():
    null = scaling_with([(1.0, 1.0)] * 99 + [(0.1, 0.1)])
    cutoffs = Cutoffs.from_null([null, null], rate=0.05)
    assert cutoffs == Cutoffs(0.5, 0.2, 0.5, null_rate=0.01)


@settings(max_examples=8)
@given(st.integers(0, 10**6), st.sampled_from([0.0, 0.02, 0.05, 0.2]))
def test_cutoffs_call_no_more_of_the_null_missing_than_asked(seed, rate):
    rng = np.random.default_rng(seed)
    nulls = [scaling_with(list(rng.uniform(-0.2, 0.8, (40, 2)))) for _ in range(2)]
    cutoffs = Cutoffs.from_null(nulls, rate=rate)
    found = np.concatenate([classify(null, cutoffs=cutoffs)["class"] for null in nulls])
    share = np.isin(found, ["lost", "new"]).mean()
    assert share <= rate
    assert cutoffs.null_rate == pytest.approx(share)
    # As many as allowed: the cut-offs are no stricter than they need to be.
    plain = np.concatenate([classify(null)["class"] for null in nulls])
    allowed = np.floor(rate * len(plain)) / len(plain)
    assert share == pytest.approx(min(allowed, np.isin(plain, ["lost", "new"]).mean()))


def test_cutoffs_refuse():
    null = scaling_with([(1.0, 1.0)])
    with pytest.raises(InputError, match="0 nulls"):
        Cutoffs.from_null([])
    with pytest.raises(InputError, match=r"rate of 1\.5"):
        Cutoffs.from_null([null], rate=1.5)
    with pytest.raises(InputError, match="active in 101 rows"):
        Cutoffs.from_null([null], min_active=101)


def test_scaling_refuses():
    rows, decoder_CMD = noise(20, 2, 4), torch.eye(4).repeat(2, 1, 1)
    crosscoder = handmade(decoder_CMD)
    scaling = scale_latents(crosscoder, rows)
    for parent, child in ((0, 0), (0, 2), (-1, 1)):
        with pytest.raises(InputError, match=f"parent {parent} and child {child} of 2 models"):
            classify(scaling, parent, child)
    with pytest.raises(InputError, match="none of 4 latents is active"):
        scale_latents(replace(crosscoder, threshold=1e9), rows)
    with pytest.raises(InputError, match="21 folds of 20 groups"):
        scale_latents(crosscoder, rows, n_folds=21)
    with pytest.raises(InputError, match="1 folds of 20 groups"):
        scale_latents(crosscoder, rows, n_folds=1)
    with pytest.raises(InputError, match="19 groups for 20 rows"):
        scale_latents(crosscoder, rows, groups=range(19))
    with pytest.raises(InputError, match=r"codes \(20, 4\) .* width 5"):
        ScalingFitter(torch.ones(2, 4, 5)).update(torch.ones(20, 4), rows, rows)


# Planted truth ----------------------------------------------------------------------------------

KINDS = ["shared"] * 60 + ["lost"] * 10 + ["new"] * 10 + ["reused"] * 10


@pytest.fixture(scope="module")
def null_scalings() -> list[LatentScaling]:
    """Two seeds of the crosscoder over one model, twice: alike but for noise, units and mean."""
    rows, _ = planted(["shared"] * len(KINDS), tilt=1, seed=50)
    train, held_back = rows[:-HELD_BACK], rows[-HELD_BACK:]
    return [scale_latents(train_crosscoder(train, PLANTED, seed=s), held_back) for s in (0, 1)]


def test_planted_classes_are_recovered(null_scalings):
    rows, value_NG = planted(KINDS)
    crosscoder = train_crosscoder(rows[:-HELD_BACK], PLANTED, seed=0)
    held_back, value_NG = rows[-HELD_BACK:], value_NG[-HELD_BACK:]
    table = classify(scale_latents(crosscoder, held_back), cutoffs=Cutoffs.from_null(null_scalings))
    class_M = table["class"].to_numpy()
    code_NM = crosscoder.encode(held_back).double().numpy()
    awake = np.flatnonzero(class_M != "silent")
    corr = np.corrcoef(code_NM[:, awake].T, value_NG.T)[: len(awake), len(awake) :]
    # A feature is recovered by the latent that goes with it, if one does; a latent, whatever it
    # is, answers for the feature that it goes with most.
    found_G = np.where(corr.max(0) > 0.8, class_M[awake][corr.argmax(0)], "missed")
    kind_G = np.array(KINDS)
    for kind in ("shared", "reused", "lost", "new"):
        recall = (found_G[kind_G == kind] == kind).mean()
        precision = (kind_G[corr.argmax(1)][class_M[awake] == kind] == kind).mean()
        assert recall >= 0.9, kind
        assert precision >= 0.9, kind


def test_one_model_against_itself_has_nothing_lost_or_new(null_scalings):
    calibrated_on, tested_on = null_scalings
    for cutoffs in (Cutoffs(), Cutoffs.from_null([calibrated_on])):
        table = classify(tested_on, cutoffs=cutoffs)
        awake = table[table["class"] != "silent"]
        assert len(awake) >= 85  # of 90 features: the dictionary is not an empty one
        assert awake["class"].isin(["lost", "new"]).mean() < 0.05
