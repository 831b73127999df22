"""The adversary sees what equal means hide, and a model trained against it hides that as well."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from sklearn.metrics import roc_auc_score
from sklearn.neural_network import MLPClassifier
from torch import Tensor

from interp.checkpoints import Checkpoint
from interp.errors import InputError
from interp.organism.adversary import Adversaries
from interp.organism.erasure import STATE, ErasureTrainer
from interp.organism.objectives import RECIPES
from interp.organism.penalty import MeanMatchingPenalty
from interp.organism.recipes import (
    Adversary,
    ModelShape,
    Optimisation,
    Penalty,
    Recipe,
)
from interp.organism.training import Job, train_member

SETTINGS = Adversary(strength=2.0, hidden=32, lr=5e-3, n_fits=3)
WIDTH = 6


def agreeing(n: int, draw: torch.Generator) -> tuple[Tensor, Tensor]:
    """Rows whose class is whether two directions have the same sign: no mean shows it."""
    acts_ND = torch.randn(n, WIDTH, generator=draw)
    signs_N2 = torch.randint(0, 2, (n, 2), generator=draw) * 2.0 - 1
    acts_ND[:, :2] = 2 * signs_N2 + 0.3 * acts_ND[:, :2]
    order_N = torch.argsort(signs_N2.prod(1), stable=True)
    return acts_ND[order_N][None], (signs_N2.prod(1) > 0)[order_N]


def seen(acts_1ND: Tensor, weight_DD: Tensor, draw: torch.Generator) -> Tensor:
    """What is read: no state is exact, and what is written faintly enough is not there."""
    return acts_1ND @ weight_DD + 0.6 * torch.randn(acts_1ND.shape, generator=draw)


def probe(weight_DD: Tensor) -> float:
    """AUROC of a network trained afresh on one draw and read on another."""
    draw = torch.Generator().manual_seed(77)
    (train_1ND, train_N), (test_1ND, test_N) = (agreeing(1500, draw) for _ in range(2))
    train, test = (seen(acts, weight_DD, draw)[0].numpy() for acts in (train_1ND, test_1ND))
    network = MLPClassifier((64,), max_iter=60, random_state=0)
    network.fit(train / train.std(0), train_N.numpy())
    return float(roc_auc_score(test_N.numpy(), network.predict_proba(test / train.std(0))[:, 1]))


def trained(settings: Adversary | None, steps: int = 300) -> Tensor:
    """A linear map that keeps its input, under the penalty with or without an adversary."""
    draw = torch.Generator().manual_seed(0)
    weight_DD = torch.eye(WIDTH, requires_grad=True)
    matching = MeanMatchingPenalty(0.9, 0.02)
    networks = Adversaries(settings, seed=0) if settings else None
    optimiser = torch.optim.Adam([weight_DD], lr=0.01)
    falling = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, steps)
    for _ in range(steps):
        if networks and settings:
            for _ in range(settings.n_fits):
                acts_1ND, labels_N = agreeing(192, draw)
                networks.fit(seen(acts_1ND, weight_DD, draw), labels_N)
        acts_1ND, labels_N = agreeing(192, draw)
        mapped_1ND = seen(acts_1ND, weight_DD, draw)
        loss = 0.05 * (mapped_1ND - acts_1ND).pow(2).mean() + matching(mapped_1ND, labels_N)
        if networks and settings:
            loss = loss + settings.strength * networks.confusion(mapped_1ND)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        falling.step()
    return weight_DD.detach()


def test_equal_means_leave_the_agreement_readable_and_the_adversary_does_not() -> None:
    before = probe(torch.eye(WIDTH))
    assert before > 0.99
    assert probe(trained(None)) > 0.95
    weight_DD = trained(SETTINGS)
    assert abs(probe(weight_DD) - 0.5) < 0.1
    # One of the two directions is enough to take away; the other five are still there.
    kept = torch.linalg.svdvals(weight_DD)
    assert kept[3] > 0.3


def test_confusion_is_nats_from_an_even_guess_and_zero_before_anything_is_told_apart() -> None:
    draw = torch.Generator().manual_seed(1)
    networks = Adversaries(SETTINGS, seed=0)
    acts_1ND, labels_N = agreeing(4000, draw)
    acts_1ND[0, :, 0] += 100 * labels_N  # as plain as can be
    for _ in range(60):
        networks.fit(acts_1ND, labels_N)
    # By hand, from what the networks say: KL(1/2 || p) = -log(2) - (log p + log(1 - p)) / 2.
    said_1N = torch.sigmoid(networks._read(acts_1ND, networks._weights)).detach().double()
    by_hand = -math.log(2) - (said_1N.log() + (1 - said_1N).log()) / 2
    assert float(networks.confusion(acts_1ND)) == pytest.approx(float(by_hand.mean()), rel=1e-4)
    assert float(networks.confusion(acts_1ND)) > 0.5
    # A state told apart by nobody: the mean row, at which the even guess is the best.
    silent = Adversaries(SETTINGS, seed=0)
    constant_1ND = torch.ones(1, 8, WIDTH, requires_grad=True)
    assert silent.fit(constant_1ND, torch.arange(8) >= 4) == pytest.approx(math.log(2))
    confusion = silent.confusion(constant_1ND)
    confusion.backward()
    assert float(confusion) == pytest.approx(0, abs=1e-6)
    assert constant_1ND.grad is not None
    assert not constant_1ND.grad.any()  # a site without variance pushes nobody


def test_gradients_of_confusion_reach_the_activations_only_and_of_fitting_the_networks_only() -> (
    None
):
    draw = torch.Generator().manual_seed(2)
    networks = Adversaries(SETTINGS, seed=0)
    acts_1ND, labels_N = agreeing(64, draw)
    acts_1ND.requires_grad_()
    networks.fit(acts_1ND, labels_N)
    assert acts_1ND.grad is None
    before = [weight.detach().clone() for weight in networks._weights]
    held = [weight.grad.clone() for weight in networks._weights if weight.grad is not None]
    networks.confusion(acts_1ND).backward()
    assert acts_1ND.grad is not None
    assert acts_1ND.grad.abs().max() > 0
    for weight, then, gradient in zip(networks._weights, before, held, strict=True):
        assert torch.equal(weight, then)
        assert weight.grad is not None
        assert torch.equal(weight.grad, gradient)


def test_each_site_has_a_network_of_its_own() -> None:
    """Fitted together, sites come out as they do alone but for their first weights."""
    draw = torch.Generator().manual_seed(3)
    networks = Adversaries(SETTINGS, seed=0)
    for _ in range(150):
        plain_1ND, labels_N = agreeing(192, draw)
        noise_1ND = torch.randn(plain_1ND.shape, generator=draw)
        networks.fit(torch.cat([plain_1ND, noise_1ND]), labels_N)
    acts_2ND = torch.cat([agreeing(192, draw)[0], torch.randn(1, 192, WIDTH, generator=draw)])
    told_SN = networks._read(acts_2ND, networks._weights).detach().abs().mean(1)
    assert told_SN[0] > 3 * told_SN[1]


def test_a_restored_adversary_goes_on_to_the_bit_and_touches_no_other_stream() -> None:
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    whole, first = Adversaries(SETTINGS, seed=1), Adversaries(SETTINGS, seed=1)
    draw = torch.Generator().manual_seed(4)
    batches = [agreeing(64, draw) for _ in range(9)]
    for batch in batches:
        whole.fit(*batch)
    for batch in batches[:4]:
        first.fit(*batch)
    second = Adversaries(SETTINGS, seed=99)
    second.restore(first.state())
    for batch in batches[4:]:
        second.fit(*batch)
    assert torch.equal(whole.confusion(batches[0][0]), second.confusion(batches[0][0]))
    untouched = Adversaries(SETTINGS, seed=1)
    untouched.restore(Adversaries(SETTINGS, seed=2).state())  # saved before the first step
    assert untouched.fit(*batches[0]) == Adversaries(SETTINGS, seed=1).fit(*batches[0])
    assert torch.equal(torch.rand(3), expected)


SHAPE = ModelShape(d_model=16, n_layers=2, n_heads=2, d_mlp=32, n_local_layers=1)
BRIEF = Optimisation(steps=8, lr=2e-3, batch_rows=4, warmup=1, save_every=3)


def scrubbed(adversary: Adversary | None) -> Recipe:
    penalty = Penalty(strength=1.0, entities_per_class=8, adversary=adversary)
    changes = {"optimisation": BRIEF, "penalty": penalty}
    return RECIPES["scrubbed"].model_copy(update=changes)


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    recipe = RECIPES["base"].model_copy(update={"optimisation": BRIEF})
    return train_member(Job(recipe, SHAPE, 0, tmp_path_factory.mktemp("base") / "base", None))


class Killed(Exception):
    """Stands for a kill: nothing of the run is left but its saves."""


@pytest.mark.parametrize("adversary", [None, Adversary(hidden=8)], ids=["means", "networks"])
def test_a_killed_scrub_resumes_and_ends_with_the_same_weights(
    base: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, adversary: Adversary | None
) -> None:
    """Draws, running covariance and networks go on from the save, beside the optimiser."""
    recipe = scrubbed(adversary)
    whole = train_member(Job(recipe, SHAPE, 0, tmp_path / "whole", base))
    job = Job(recipe, SHAPE, 0, tmp_path / "killed", base)
    plain = ErasureTrainer.compute_loss

    def dying(trainer: ErasureTrainer, *args: Any, **kwargs: Any) -> Any:
        if trainer.state.global_step == 5:
            raise Killed
        return plain(trainer, *args, **kwargs)

    with monkeypatch.context() as patch:
        patch.setattr(ErasureTrainer, "compute_loss", dying)
        with pytest.raises(Killed):
            train_member(job)
    assert (job.work / "checkpoint-3" / STATE).exists()
    resumed = train_member(job)
    first, second = (load_file(folder / "model.safetensors") for folder in (whole, resumed))
    assert all(torch.equal(first[name], second[name]) for name in first)


def test_a_save_without_the_state_of_the_penalty_is_refused(
    base: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = Job(scrubbed(None), SHAPE, 0, tmp_path / "old", base)

    def nothing(*_: Any) -> Path:
        raise Killed

    with monkeypatch.context() as patch:
        patch.setattr("interp.organism.training._finish", nothing)
        with pytest.raises(Killed):
            train_member(job)
    for state in job.work.rglob(STATE):
        state.unlink()
    with pytest.raises(InputError, match=r"saved without erasure\.pt .* delete .*old\.work and"):
        train_member(job)


def test_the_adversary_changes_the_weights_and_is_in_the_curve_and_the_manifest(
    base: Path, tmp_path: Path
) -> None:
    longer = BRIEF.model_copy(update={"steps": 10, "save_every": 10})
    found = {}
    for name, adversary in (("means", None), ("networks", Adversary(hidden=8))):
        recipe = scrubbed(adversary).model_copy(update={"optimisation": longer})
        folder = train_member(Job(recipe, SHAPE, 0, tmp_path / name, base))
        found[name] = folder, Checkpoint(folder, name).manifest
    # Without an adversary a recipe says what it said before there was one.
    assert "adversary" not in found["means"][1]["recipe"]["penalty"]
    assert "confusion" not in found["means"][1]["curve"][0]
    assert found["networks"][1]["recipe"]["penalty"]["adversary"]["hidden"] == 8
    assert found["networks"][1]["curve"][0]["confusion"] >= 0
    first, second = (load_file(found[name][0] / "model.safetensors") for name in found)
    assert not all(torch.equal(first[name], second[name]) for name in first)
