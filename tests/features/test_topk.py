from __future__ import annotations

import copy
import itertools
from dataclasses import replace

import numpy as np
import pytest
import torch
from sae_lens import SAE, BatchTopKTrainingSAE, JumpReLUSAE, TopKSAE, TopKTrainingSAE
from sae_lens.config import SAETrainerConfig
from sae_lens.saes.sae import TrainStepInput
from sae_lens.training.sae_trainer import SAETrainer
from torch.utils._python_dispatch import TorchDispatchMode

from interp.errors import InputError
from interp.features.topk import SPARSE, fuse_optimizer

THEIRS = {"topk": TopKTrainingSAE, "batchtopk": BatchTopKTrainingSAE}
N, D, M, K = 128, 16, 96, 4
BATCHES = torch.randn(20, N, D, generator=torch.Generator().manual_seed(1)).unbind()


def pair(kind, **config):
    """SAELens' and ours with the same random weights, norms of decoder rows far from equal."""
    ours, config_class = SPARSE[kind]
    config = config_class(**{"d_in": D, "d_sae": M, "k": K, "dtype": "float64"} | config)
    theirs = THEIRS[kind](config)
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for name, scale in (("W_enc", 0.3), ("b_enc", 0.1), ("W_dec", 0.3), ("b_dec", 0.5)):
            weights = getattr(theirs, name)
            weights.copy_(scale * torch.randn(weights.shape, generator=generator).double())
        theirs.W_dec *= torch.linspace(0.3, 2, M)[:, None]
    ours = ours(copy.deepcopy(config))
    ours.load_state_dict(theirs.state_dict())
    return theirs, ours


def trainer(sae, *, fused=False, **config):
    config = {"lr": 1e-3, "lr_end": 1e-4, "train_batch_size_samples": N} | config
    config["total_training_samples"] = 20 * config["train_batch_size_samples"]
    made = SAETrainer(cfg=SAETrainerConfig(**config), sae=sae, data_provider=iter(BATCHES))
    if fused:
        fuse_optimizer(made)
    return made


def trained(sae, batches=BATCHES, **config):
    """A trainer after one step a batch."""
    made = trainer(sae, **config)
    for acts_ND in batches:
        made.step(acts_ND)
    return made


def furthest(theirs, ours):
    """Largest difference of any parameter."""
    ours = dict(ours.named_parameters())
    return max((ours[name] - value).abs().max().item() for name, value in theirs.named_parameters())


@pytest.mark.parametrize("fused", [False, True])
@pytest.mark.parametrize("rescaled", [False, True])
@pytest.mark.parametrize("centred", [False, True])
@pytest.mark.parametrize("kind", SPARSE)
def test_20_steps_end_where_saelens_ends(kind, centred, rescaled, fused):
    theirs, ours = pair(kind, apply_b_dec_to_input=centred, rescale_acts_by_decoder_norm=rescaled)
    start = copy.deepcopy(ours)
    theirs, ours = trained(theirs), trained(ours, fused=fused)
    assert furthest(theirs.sae, ours.sae) < 1e-12
    assert torch.equal(theirs.act_freq_scores, ours.act_freq_scores)
    assert torch.equal(theirs.n_forward_passes_since_fired, ours.n_forward_passes_since_fired)
    assert theirs.n_frac_active_samples == ours.n_frac_active_samples
    assert all(
        (value - dict(ours.sae.named_parameters())[name]).abs().max() > 5e-3
        for name, value in start.named_parameters()
    )
    if kind == "batchtopk":
        assert ours.sae.topk_threshold > 0
        torch.testing.assert_close(
            theirs.sae.topk_threshold, ours.sae.topk_threshold, rtol=1e-12, atol=0
        )


@pytest.mark.parametrize("lr", [3e-4, 1e-3])
def test_20_steps_in_float32_end_within_rounding_of_saelens(lr):
    theirs, ours = pair("topk", dtype="float32")
    theirs, ours = trained(theirs, lr=lr), trained(ours, lr=lr, fused=True)
    assert furthest(theirs.sae, ours.sae) < 1e-5


@pytest.mark.parametrize("kind", SPARSE)
def test_a_run_with_scaled_activations_ends_as_saelens_run_ends(kind):
    theirs, ours = pair(kind, normalize_activations="expected_average_only_in")
    runs = []
    for sae in (theirs, ours):
        made = trainer(sae, n_batches_for_norm_estimate=2)
        made.data_provider = itertools.cycle(BATCHES)
        runs.append(made.fit())
    assert furthest(*runs) < 1e-12
    assert theirs.cfg == ours.cfg


def test_a_step_is_a_step_under_autocast_too():
    _, ours = pair("topk", dtype="float32")
    again = copy.deepcopy(ours)
    plain, under = trained(ours), trained(again, autocast=True)
    assert furthest(plain.sae, under.sae) == 0


class Calls(TorchDispatchMode):
    """Names of the operations that run."""

    def __init__(self):
        super().__init__()
        self.names = []

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        self.names.append(func.overloadpacket.__name__)
        return func(*args, **(kwargs or {}))


def test_a_fused_optimizer_is_one_operation_a_step():
    made = trainer(pair("topk")[1], fused=True)
    with Calls() as calls:
        made.step(BATCHES[0])
    assert calls.names.count("_fused_adam_") == 1


def step_of(sae, dead_M, acts_ND=BATCHES[0]):
    return sae.training_forward_pass(
        TrainStepInput(
            sae_in=acts_ND.double(),
            coefficients={},
            dead_neuron_mask=dead_M,
            n_training_steps=0,
            is_logging_step=False,
        )
    )


def gao_auxiliary_loss(weights, acts_ND, dead_M, k, *, centred, rescaled):
    """Appendix A.2 of arXiv 2406.04093, row by row: dead latents reconstruct what is left.

    Unlike there, and as in SAELens: k_aux is d / 2, the loss is not divided by the variance, few
    dead latents count for less, and what they write is not cut at 0.
    """
    norm_M = np.linalg.norm(weights["W_dec"], axis=1) if rescaled else np.ones(M)
    dead, k_aux, total = np.flatnonzero(dead_M), D // 2, 0.0
    for acts_D in acts_ND:
        pre_M = (acts_D - centred * weights["b_dec"]) @ weights["W_enc"] + weights["b_enc"]
        best = np.argsort(-pre_M * norm_M)[:k]
        out_D = np.maximum(pre_M[best], 0) @ weights["W_dec"][best] + weights["b_dec"]
        revived = dead[np.argsort(-(pre_M * norm_M)[dead])][:k_aux]
        written_D = pre_M[revived] @ weights["W_dec"][revived]
        total += np.sum((acts_D - out_D - written_D) ** 2)
    return min(len(dead) / k_aux, 1) * total / len(acts_ND)


@pytest.mark.parametrize("n_dead", [3, 8, 40, M])
@pytest.mark.parametrize(("centred", "rescaled"), [(True, True), (False, False), (True, False)])
def test_the_auxiliary_loss_is_the_papers(n_dead, centred, rescaled):
    _, sae = pair(
        "topk",
        aux_loss_coefficient=1 / 32,
        apply_b_dec_to_input=centred,
        rescale_acts_by_decoder_norm=rescaled,
    )
    dead_M = torch.rand(M, generator=torch.Generator().manual_seed(n_dead)).argsort() < n_dead
    weights = {name: value.detach().numpy() for name, value in sae.named_parameters()}
    expected = gao_auxiliary_loss(
        weights, BATCHES[0].double().numpy(), dead_M.numpy(), K, centred=centred, rescaled=rescaled
    )
    output = step_of(sae, dead_M)
    found = output.losses["auxiliary_reconstruction_loss"].item()
    assert found == pytest.approx(expected / 32, rel=1e-12)
    assert output.loss.item() == pytest.approx(output.losses["mse_loss"].item() + found, rel=1e-12)


def test_where_none_is_dead_or_the_coefficient_is_0_there_is_no_auxiliary_loss():
    none_M, all_M = torch.zeros(M, dtype=torch.bool), torch.ones(M, dtype=torch.bool)
    _, sae = pair("topk")
    _, without = pair("topk", aux_loss_coefficient=0.0)
    for output in (step_of(sae, None), step_of(sae, none_M), step_of(without, all_M)):
        assert set(output.losses) == {"mse_loss"}
        assert output.loss == output.losses["mse_loss"]


@pytest.mark.parametrize("many", [True, False])
@pytest.mark.parametrize("rescaled", [False, True])
@pytest.mark.parametrize("centred", [False, True])
@pytest.mark.parametrize("kind", SPARSE)
def test_20_steps_with_dead_latents_end_where_saelens_ends(kind, centred, rescaled, many):
    # 48 entries of a step leave half of 96 latents dead; below d / 2 the loss is scaled down.
    rows, k = (12, K) if many else (N, 16 if rescaled else K)
    batches = [acts_ND[:rows] for acts_ND in BATCHES]
    config = {"k": k, "apply_b_dec_to_input": centred, "rescale_acts_by_decoder_norm": rescaled}
    theirs, ours = pair(kind, **config)
    _, without = pair(kind, **config, aux_loss_coefficient=0.0)
    runs = [
        trainer(sae, dead_feature_window=1, train_batch_size_samples=rows)
        for sae in (theirs, ours, without)
    ]
    n_dead = []
    for acts_ND in batches:
        n_dead.append(int(runs[0].dead_neurons.sum()))
        for run in runs:
            run.step(acts_ND)
    assert min(n_dead[2:]) > D if many else any(0 < n < D // 2 for n in n_dead)
    assert furthest(theirs, ours) < 1e-12
    assert torch.equal(runs[0].n_forward_passes_since_fired, runs[1].n_forward_passes_since_fired)
    assert furthest(theirs, without) > 1e-4


@pytest.mark.parametrize("kind", SPARSE)
def test_what_a_step_gives_back_is_what_saelens_gives_back(kind):
    theirs, ours = pair(kind)
    theirs, ours = step_of(theirs, None), step_of(ours, None)
    assert ours.feature_acts.is_sparse
    close = {"rtol": 0, "atol": 1e-12}
    torch.testing.assert_close(ours.feature_acts.to_dense(), theirs.feature_acts, **close)
    for name in ("sae_out", "hidden_pre", "loss"):
        torch.testing.assert_close(getattr(ours, name), getattr(theirs, name), **close)


@pytest.mark.parametrize("rescaled", [False, True])
def test_a_saved_topk_loads_as_one_with_the_same_codes(tmp_path, rescaled):
    _, ours = pair("topk", rescale_acts_by_decoder_norm=rescaled)
    trained(ours)
    ours.save_inference_model(tmp_path)
    loaded, acts_ND = SAE.load_from_disk(tmp_path), BATCHES[3].double()
    assert type(loaded) is TopKSAE
    code_NM = loaded.encode(acts_ND)
    torch.testing.assert_close(code_NM, ours.encode(acts_ND), rtol=0, atol=1e-12)
    stepped_NM = step_of(ours, None, acts_ND).feature_acts.to_dense()
    torch.testing.assert_close(code_NM, stepped_NM, rtol=0, atol=1e-12)
    torch.testing.assert_close(loaded(acts_ND), ours(acts_ND), rtol=0, atol=1e-12)


@pytest.mark.parametrize("rescaled", [False, True])
def test_a_saved_batchtopk_loads_as_a_jumprelu_at_its_threshold(tmp_path, rescaled):
    theirs, ours = pair("batchtopk", rescale_acts_by_decoder_norm=rescaled)
    loaded = []
    for name, sae in (("theirs", theirs), ("ours", ours)):
        trained(sae, batches=BATCHES * 5)
        sae.save_inference_model(tmp_path / name)
        loaded.append(SAE.load_from_disk(tmp_path / name))
    assert all(type(sae) is JumpReLUSAE for sae in loaded)
    acts_ND = BATCHES[3].double()
    with torch.no_grad():
        code_NM = loaded[1].encode(acts_ND)
        torch.testing.assert_close(code_NM, loaded[0].encode(acts_ND), rtol=0, atol=1e-11)
        threshold = ours.topk_threshold.item()  # which a step moves
        score_NM = step_of(ours, None, acts_ND).hidden_pre
    expected_NM = score_NM * (score_NM > threshold)
    torch.testing.assert_close(code_NM, expected_NM, rtol=0, atol=1e-12)
    assert 0 < (code_NM > 0).double().mean() < 0.5


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"dtype": "float16"}, "sparse step: dtype float16; expected float32 or float64"),
        ({"dtype": "bfloat16"}, "sparse step: dtype bfloat16; expected float32 or float64"),
        ({"normalize_activations": "layer_norm"}, "normalize_activations=layer_norm; expected"),
        (
            {"normalize_activations": "constant_norm_rescale"},
            "normalize_activations=constant_norm_rescale; expected",
        ),
    ],
)
@pytest.mark.parametrize("kind", SPARSE)
def test_what_a_sparse_step_cannot_do_is_refused_at_the_start(kind, change, message):
    sae_class, config_class = SPARSE[kind]
    config = replace(config_class(d_in=D, d_sae=M, k=K), **change)
    with pytest.raises(InputError, match=message):
        sae_class(config)
