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
from transformers import AutoModelForCausalLM, PreTrainedModel

from interp.checkpoints import Checkpoint, LoadedModel
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


@dataclass(frozen=True, kw_only=True)
class RandomInit(Checkpoint):
    """A checkpoint's architecture and tokenizer with the weights it would start training from.

    Weights come from the config's own initialisation, embeddings too: it is the model at step 0,
    defined without a look at the trained weights. Nothing is matched to them, as a probe
    standardises its input and so doesn't see their scale, and trained embeddings have a baseline of
    their own (`surface_features`). Random blocks still mix tokens by attention, so that a probe on
    them reads more of the prompt than one on the embedding does.

    Attributes:
        seed: of the weights; a seed gives the same ones on every device. The other attributes are
            the trained checkpoint's.
    """

    seed: int

    @classmethod
    def of(cls, checkpoint: Checkpoint, seed: int) -> RandomInit:
        """The untrained counterpart of a checkpoint."""
        same = {field.name: getattr(checkpoint, field.name) for field in fields(checkpoint)}
        return cls(**{**same, "name": f"{checkpoint.name}-random{seed}", "seed": seed})

    @property
    def fingerprint(self) -> str:
        """SHA-256 (hex), another one than the trained checkpoint's: stores never mix the two.

        Raises:
            InputError: the folder is no checkpoint.
        """
        made_by = f"torch {torch.__version__} transformers {transformers.__version__}"
        parts = f"random weights, seed {self.seed}, {made_by}, {super().fingerprint}"
        return hashlib.sha256(parts.encode()).hexdigest()

    def load(self, device: str = "cpu", dtype: str = "float32") -> LoadedModel:
        """The random model. The trained one is loaded before it, and passes all its checks.

        Raises:
            InputError: as `Checkpoint.load`.
        """
        trained = super().load("cpu", dtype)
        model = _at_step_0(trained.model, self.seed, resolve_device(device))
        return LoadedModel(model, trained.tokenizer, self)


def _at_step_0(trained: PreTrainedModel, seed: int, device: str) -> PreTrainedModel:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        # Drawn in float32, so that a seed's weights differ between dtypes by rounding alone.
        model: Any = AutoModelForCausalLM.from_config(
            copy.deepcopy(trained.config),
            dtype=torch.float32,
            attn_implementation=trained.config._attn_implementation,
        )
    return model.to(device=device, dtype=trained.dtype).eval()
