"""SAELens' trainer, made from a recipe."""

from __future__ import annotations

import contextlib
import copy
import hashlib
import logging
import warnings
from collections.abc import Iterator
from typing import Any

import torch
from sae_lens.config import SAETrainerConfig
from sae_lens.registry import SAE_TRAINING_CLASS_REGISTRY
from sae_lens.saes.sae import TrainingSAE
from sae_lens.training.sae_trainer import SAETrainer
from torch import Tensor

from interp.activations import Site
from interp.configs import nearest
from interp.errors import InputError
from interp.features.recipe import DictionaryRecipe
from interp.features.topk import SPARSE, fuse_optimizer


def new_trainer(
    recipe: DictionaryRecipe, site: Site, first_ND: Tensor, seed: int, device: str
) -> SAETrainer[Any, Any]:
    """A trainer of SAELens with a new dictionary for one site.

    Args:
        recipe: sizes and steps.
        site: the initial weights depend on it and the seed, not on other sites.
        first_ND: rows that scale and mean are taken from.
        seed: of the weights.
        device: trained on.

    Raises:
        InputError: an architecture or option that SAELens does not have.
    """
    sae = _new(recipe, first_ND.shape[1], site, seed, device)
    trainer = SAETrainer(
        cfg=SAETrainerConfig(
            total_training_samples=recipe.steps * recipe.batch,
            train_batch_size_samples=recipe.batch,
            lr=recipe.lr,
            lr_end=recipe.lr / 10,
            lr_warm_up_steps=recipe.steps // 20,
            lr_decay_steps=recipe.steps // 5,
            device=device,
            dead_feature_window=max(recipe.dead_after // recipe.batch, 1),
        ),
        sae=sae,
        data_provider=iter(()),
    )
    if isinstance(sae, tuple(cls for cls, _ in SPARSE.values())):
        fuse_optimizer(trainer)
    factor = 1.0
    if recipe.scale:
        factor = first_ND.shape[1] ** 0.5 / float(first_ND.norm(dim=1).double().mean())
        trainer.activation_scaler.scaling_factor = factor
    if recipe.center:
        with torch.no_grad():
            sae.b_dec.copy_(first_ND.double().mean(0) * factor)
    return trainer


def _new(
    recipe: DictionaryRecipe, d_in: int, site: Site, seed: int, device: str
) -> TrainingSAE[Any]:
    name = recipe.architecture
    if name not in SAE_TRAINING_CLASS_REGISTRY:
        raise InputError(
            f"dictionary: unknown architecture '{name}'{nearest(name, SAE_TRAINING_CLASS_REGISTRY)}"
            f"; SAELens trains {', '.join(SAE_TRAINING_CLASS_REGISTRY)}"
        )
    cls, config_cls = SAE_TRAINING_CLASS_REGISTRY[name]
    if recipe.sparse_step and name in SPARSE:
        cls, config_cls = SPARSE[name]
    fields = set(config_cls.__dataclass_fields__) - {"d_in", "d_sae", "device", "metadata"}
    wrong = sorted(set(recipe.options) - fields)
    if wrong:
        raise InputError(
            f"dictionary: '{name}' has no option '{wrong[0]}'{nearest(wrong[0], fields)}; there "
            f"are {', '.join(sorted(fields))}"
        )
    options = copy.deepcopy(recipe.options)  # SAELens adds to the list of Matryoshka's widths
    k = options.get("k")
    if isinstance(k, float) and k.is_integer():
        options["k"] = int(k)  # YAML's 32.0, where torch wants 32
    if recipe.scale:
        options["normalize_activations"] = "expected_average_only_in"
    own_seed = hashlib.sha256(f"{seed} {site}".encode()).digest()[:4]
    with torch.random.fork_rng(), quiet():
        torch.manual_seed(int.from_bytes(own_seed, "big"))
        try:
            config = config_cls(d_in=d_in, d_sae=recipe.n_latents, device="cpu", **options)
            sae = cls(config)
        except (TypeError, ValueError, AssertionError) as error:
            raise InputError(f"dictionary: '{name}' with {recipe.options}: {error}") from error
    k = getattr(config, "k", 1)  # asked for or not: the default may be too many
    if not isinstance(k, int | float) or not 0 < k <= recipe.n_latents:
        raise InputError(
            f"dictionary: '{name}' with k={k} of {recipe.n_latents} latents; expected a number "
            f"above 0, at most {recipe.n_latents}"
        )
    return sae.to(device)


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Without SAELens' warnings and log lines."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        level = logging.root.manager.disable
        logging.disable(logging.WARNING)
        try:
            yield
        finally:
            logging.disable(level)
