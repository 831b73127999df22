"""What a prompt and an untrained network give away: surface features, and random weights."""

from __future__ import annotations

import copy
import hashlib
from dataclasses import dataclass, fields
from typing import Any

import torch
import transformers
from jaxtyping import Float
from torch import Tensor
from transformers import PreTrainedModel

from interp.checkpoints import Checkpoint, LoadedModel
from interp.errors import InputError
from interp.probes.controls import bag_of_tokens
from interp.prompts import Encoded
from interp.settings import resolve_device


def surface_features(encoded: Encoded) -> dict[str, Float[Tensor, "n _"]]:
    """What can be read from the prompts without a model, to be probed like activations.

    Which token stands at a position, and where, is the embedding's to give away: its baseline is a
    probe at `Site("resid_pre", 0)`.

    Returns:
        "length": tokens of each prompt, and its logarithm, shape (n, 2). "bag_of_tokens": how often
        each token stands in each, shape (n, v).
    """
    length_N = encoded.lengths_B.float()
    length_N2 = torch.stack([length_N, length_N.clamp(min=1).log()], dim=1)
    return {"length": length_N2, "bag_of_tokens": bag_of_tokens(encoded)}


def random_init(trained: Checkpoint, seed: int) -> RandomInit:
    """The untrained counterpart of a checkpoint; load it and capture it like any other.

    Args:
        trained: the checkpoint.
        seed: of the random weights.
    """
    same = {field.name: getattr(trained, field.name) for field in fields(Checkpoint)}
    own = {"name": f"{trained.name}-random{seed}", "adapter": None}
    return RandomInit(**{**same, **own}, trained=trained, seed=seed)


@dataclass(frozen=True, kw_only=True)
class RandomInit(Checkpoint):
    """A checkpoint's architecture and tokenizer with the weights that training would start from.

    Weights come from the config's own initialisation, embeddings too: it is the model at step 0,
    defined without a look at the trained weights. Nothing is matched to them, as a probe
    standardises its input and so doesn't see their scale, and trained embeddings have a baseline of
    their own (`surface_features`). Random blocks still mix tokens by attention, so that a probe on
    them reads more of the prompt than one on the embedding does.

    Attributes:
        trained: the checkpoint whose counterpart it is.
        seed: of the weights; a seed gives the same ones on every device.
    """

    trained: Checkpoint
    seed: int

    @property
    def fingerprint(self) -> str:
        """SHA-256 (hex), another one than the trained checkpoint's: stores never mix the two.

        Raises:
            InputError: the folder is no checkpoint.
        """
        made_by = f"torch {torch.__version__} transformers {transformers.__version__}"
        parts = f"random weights, seed {self.seed}, {made_by}, {self.trained.fingerprint}"
        return hashlib.sha256(parts.encode()).hexdigest()

    @property
    def tokenizer_fingerprint(self) -> str:
        """The trained checkpoint's: the tokenizer is the same."""
        return self.trained.tokenizer_fingerprint

    def load(
        self,
        device: str = "cpu",
        dtype: str = "float32",
        *,
        device_map: Any = None,
        attention: str | None = None,
    ) -> LoadedModel:
        """The random model. The trained one is loaded before it, and passes all its checks.

        Args:
            device: where to.
            dtype: of the weights.
            device_map: not possible here.
            attention: kernel, as `Checkpoint.load`.

        Raises:
            InputError: as `Checkpoint.load`; or a `device_map`.
        """
        if device_map is not None:
            raise InputError(
                f"{self.name}: random weights are drawn for one device; give `device`, not "
                "`device_map`"
            )
        loaded = self.trained.load("cpu", dtype, attention=attention)
        model = _at_step_0(loaded.model, self.seed, resolve_device(device))
        return LoadedModel(model, loaded.tokenizer, self)


def _at_step_0(trained: PreTrainedModel, seed: int, device: str) -> PreTrainedModel:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        # Drawn in float32, so that a seed's weights differ between dtypes by rounding alone.
        model: Any = type(trained)(copy.deepcopy(trained.config))
    return model.to(device=device, dtype=trained.dtype).eval()
