"""Training of dictionaries on captured activations: several sites from one pass, resumable."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from itertools import islice
from pathlib import Path
from typing import Any

import sae_lens
import torch
from sae_lens.saes.batchtopk_sae import BatchTopKTrainingSAE
from sae_lens.saes.sae import SAEMetadata
from sae_lens.training.sae_trainer import SAETrainer
from torch import Tensor

from interp.activations import Activations, Site
from interp.errors import InputError
from interp.features.batches import ALL, Batches
from interp.features.card import Quality, quality, read_card, refuse_other, write_card
from interp.features.dictionary import Dictionary, hook_of, load_dictionary
from interp.features.recipe import DictionaryRecipe
from interp.features.trainers import new_trainer, quiet
from interp.progress import Progress, report

_THRESHOLD_BATCHES = 32
_L0_APART, _FVU_APART = 0.1, 0.02
_STATE = ".partial"


def train_dictionaries(
    acts: Activations,
    recipe: DictionaryRecipe,
    folder: Path,
    *,
    seed: int,
    sites: Sequence[Site] | None = None,
    position: str = ALL,
    about: Mapping[str, Any] | None = None,
    device: str = "cpu",
    save_every: int = 1000,
    task: str = "train dictionaries",
) -> dict[Site, Dictionary]:
    """Trains a dictionary for each site, or loads those that the same call has trained before.

    Each is saved as `folder/SITE` in SAELens' inference format with `model_card.json` (what it was
    trained on and how well it holds rows that were held back) and a few rows that `load_dictionary`
    checks it by. BatchTopK and its kin are saved as JumpReLU; the threshold is set at the end to
    the mean, over batches, of the smallest value kept (the running mean that SAELens keeps starts
    at 0), and saving refuses where L0 or FVU come out otherwise than in training.

    A run that was stopped goes on from its last state to the same weights.

    Args:
        acts: captured at `position`.
        recipe: sizes and steps.
        folder: of the dictionaries.
        seed: of weights and order; a site's dictionary does not depend on which others are trained.
        sites: None is all that were captured.
        position: "all" trains on every token.
        about: kept with each: `model_name`, `checkpoint` (fingerprint) and whatever else is known.
        device: trained on.
        save_every: steps between states to resume from.
        task: as the progress display names it.

    Raises:
        InputError: an architecture or option that SAELens does not have, activations that are not
            finite, too few rows, a folder of another training, a dictionary none of whose latents
            fires, or one that is not the same after saving.
    """
    wanted = tuple(acts.sites if sites is None else sites)
    batches = batches_of(acts, recipe, seed=seed, sites=wanted, position=position)
    request = {
        **recipe.model_dump(),
        "seed": seed,
        "position": position,
        "sites": [str(site) for site in wanted],
        "data": {str(site): batches.digest(site) for site in wanted},
    }
    cards = {site: read_card(folder / str(site)) for site in wanted}
    for site, card in cards.items():
        if card:
            refuse_other(folder / str(site), card, _of_site(request, site))
    if all(cards.values()):
        return {site: load_dictionary(folder / str(site), device=device) for site in wanted}
    run = _Run(batches, recipe, folder, request, seed, device)
    for rows in islice(batches.from_step(run.step), recipe.steps - run.step):
        run.learn(rows)
        done = run.step
        report(Progress(task, done, recipe.steps))
        if done % save_every == 0 and done < recipe.steps:
            run.save()
    known = {**(about or {}), "prompts": acts.manifest.get("prompts"), "n_rows": batches.n_rows}
    for site, rows_ND in batches.held().items():
        run.publish(site, rows_ND.to(device), known)
    shutil.rmtree(folder / _STATE, ignore_errors=True)
    return {site: load_dictionary(folder / str(site), device=device) for site in wanted}


def batches_of(
    acts: Activations,
    recipe: DictionaryRecipe,
    *,
    seed: int,
    sites: Sequence[Site] | None = None,
    position: str = ALL,
) -> Batches:
    """The batches that a recipe trains on, and which prompts it holds back.

    Raises:
        InputError: as `Batches`.
    """
    return Batches(
        acts,
        acts.sites if sites is None else sites,
        position,
        batch=recipe.batch,
        seed=seed,
        skip_first=recipe.skip_first,
        held_back=recipe.held_back,
    )


class _Run:
    """A trainer for each site, in step."""

    def __init__(
        self,
        batches: Batches,
        recipe: DictionaryRecipe,
        folder: Path,
        request: Mapping[str, Any],
        seed: int,
        device: str,
    ) -> None:
        self.batches, self.recipe, self.folder, self.request = batches, recipe, folder, request
        first = batches.first()
        self.trainers = {
            site: new_trainer(recipe, site, acts_ND, seed, device)
            for site, acts_ND in first.items()
        }
        self.step = 0
        self._resume()

    def learn(self, rows: Mapping[Site, Tensor]) -> None:
        """One step at each site."""
        for site, trainer in self.trainers.items():
            trainer.step(rows[site])
            trainer.n_training_steps += 1
        self.step += 1

    def save(self) -> None:
        """Keeps all there is to go on from here; a state is there whole or not at all."""
        place = self.folder / _STATE / f"step-{self.step}"
        fresh = place.with_suffix(".writing")
        shutil.rmtree(fresh, ignore_errors=True)
        for site, trainer in self.trainers.items():
            trainer.save_checkpoint(str(site), base_path=fresh)
        (fresh / "request.json").write_text(json.dumps(self.request), encoding="utf-8")
        fresh.rename(place)
        for other in place.parent.iterdir():
            if other != place:
                shutil.rmtree(other)

    def publish(self, site: Site, held_ND: Tensor, known: Mapping[str, Any]) -> None:
        """Saves one site's dictionary with its card, if it is the same after loading.

        Raises:
            InputError: no latent fires, or L0 or FVU differ from those of training.
        """
        trainer = self.trainers[site]
        sae = trainer.sae
        if isinstance(sae, BatchTopKTrainingSAE):
            _set_threshold(trainer, self.batches, site)
        scaler = trainer.activation_scaler
        if scaler.scaling_factor is not None:
            sae.fold_activation_norm_scaling_factor(scaler.scaling_factor)
            scaler.scaling_factor = None
        # Those held back alone are too few: L0 of them differs by chance from that of the rest.
        everything = torch.cat([held_ND, self.batches.first()[site].to(held_ND)])
        trained = quality(sae, everything)
        place = self.folder / str(site)
        shutil.rmtree(place, ignore_errors=True)
        known_here = {name: value for name, value in known.items() if value is not None}
        sae.cfg.metadata = SAEMetadata(hook_name=hook_of(site), **known_here)
        with quiet():
            sae.save_inference_model(place)
        saved = load_dictionary(place, device=sae.cfg.device).sae
        found, seen = quality(saved, held_ND), quality(saved, everything)
        _require_same(place, trained, seen)
        card = {
            **self.request,
            **known_here,
            **_of_site(self.request, site),
            "site": str(site),
            "sae_lens": sae_lens.__version__,
            **{name: value for name, value in asdict(found).items() if name != "dead"},
            "dead": seen.dead,
            "dead_rows": seen.rows,
        }
        write_card(place, card, saved, held_ND)

    def _resume(self) -> None:
        places = (self.folder / _STATE).glob("step-*[0-9]")
        steps = {int(place.name.removeprefix("step-")): place for place in places}
        if not steps:
            return
        # There may be two: the one before is deleted after the last is in place.
        self.step, place = max(steps.items())
        found = json.loads((place / "request.json").read_text(encoding="utf-8"))
        refuse_other(place, found, self.request)
        for site, trainer in self.trainers.items():
            trainer.sae.load_weights_from_checkpoint(place / str(site))
            trainer.load_trainer_state(place / str(site))


@torch.no_grad()
def _set_threshold(trainer: SAETrainer[Any, Any], batches: Batches, site: Site) -> None:
    smallest = []
    for rows in islice(batches.from_step(0), _THRESHOLD_BATCHES):
        codes = trainer.sae.encode(trainer.activation_scaler(rows[site].to(trainer.sae.device)))
        smallest += [codes[codes > 0].min().double()] if (codes > 0).any() else []
    if smallest:
        trainer.sae.topk_threshold.copy_(torch.stack(smallest).mean())


def _require_same(place: Path, trained: Quality, found: Quality) -> None:
    if not (found.l0 and trained.l0):
        shutil.rmtree(place)
        raise InputError(
            f"{place}: all latents are dead: none fires on {found.rows} rows; lower the learning "
            "rate or the sparsity penalty, or look at the activations"
        )
    l0_apart = abs(found.l0 - trained.l0) / trained.l0
    if l0_apart > _L0_APART or abs(found.fvu - trained.fvu) > _FVU_APART:
        shutil.rmtree(place)
        raise InputError(
            f"{place}: saved and loaded again, L0 is {found.l0:.1f} and FVU {found.fvu:.3f}; in "
            f"training they were {trained.l0:.1f} and {trained.fvu:.3f}. Its threshold does not "
            "stand for what it was trained with: train longer"
        )


def _of_site(request: Mapping[str, Any], site: Site) -> dict[str, Any]:
    """What one site's dictionary depends on: the other sites of a call do not matter to it."""
    own = {name: value for name, value in request.items() if name != "sites"}
    return {**own, "data": request["data"][str(site)]}
