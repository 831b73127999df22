"""A dictionary: a sparse autoencoder of SAELens, its site, and where it is from."""

from __future__ import annotations

import re
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float
from sae_lens import SAE
from torch import Tensor

from interp.activations.sites import Site
from interp.checkpoints import LoadedModel
from interp.errors import InputError
from interp.features.card import check_unchanged, read_card
from interp.features.formats import Content, format_of

_HOOKS = {
    "hook_resid_pre": "resid_pre",
    "hook_resid_mid": "resid_mid",
    "hook_resid_post": "resid_post",
    "hook_attn_out": "attn_out",
    "hook_mlp_out": "mlp_out",
}
_BLOCK = re.compile(r"blocks\.(\d+)\.(\w+)$")
_MODULE = re.compile(r"layers\.(\d+)$")


@dataclass(frozen=True, eq=False)
class Dictionary:
    """A sparse autoencoder and what is known of it.

    Attributes:
        sae: of SAELens; encodes activations as they are captured.
        site: where they are read; None if nothing says it.
        source: folder or release.
        about: what the file says beside the weights: model, layer, training.
    """

    sae: SAE[Any]
    site: Site | None
    source: str
    about: Mapping[str, Any]

    @property
    def n_latents(self) -> int:
        """Width of the code."""
        return int(self.sae.cfg.d_sae)

    @property
    def decoder_MD(self) -> Float[Tensor, "m d"]:
        """Directions that latents write, of length 1, float32 on the CPU."""
        direction_MD = self.sae.W_dec.detach().float().cpu()
        return direction_MD / direction_MD.norm(dim=1, keepdim=True).clamp(min=1e-12)

    @torch.no_grad()
    def encode(self, acts_ND: Float[Tensor, "n d"]) -> Float[Tensor, "n m"]:
        """Codes of activations, dense.

        Raises:
            InputError: another width.
        """
        self._check_width(acts_ND)
        return self.sae.encode(acts_ND.to(self.sae.W_dec))

    @torch.no_grad()
    def reconstruct(self, acts_ND: Float[Tensor, "n d"]) -> Float[Tensor, "n d"]:
        """What is left of activations after encoding and decoding, in their own dtype.

        Raises:
            InputError: another width.
        """
        self._check_width(acts_ND)
        # One after the other: some architectures keep the input's scale in between.
        return self.sae.decode(self.sae.encode(acts_ND.to(self.sae.W_dec))).to(acts_ND)

    def require(
        self, loaded: LoadedModel, site: Site | None = None, *, another_model: bool = False
    ) -> None:
        """Refuses a model or a site that the dictionary is not of.

        Args:
            loaded: the model whose activations are to be read.
            site: where, if it is known.
            another_model: whether a model that it was not trained on will do, as a child that is
                read through its parent's dictionary.

        Raises:
            InputError: another width, another site, or a model with another fingerprint than the
                one it was trained on (where it says so).
        """
        width = loaded.d_model
        if width != self.sae.cfg.d_in:
            raise InputError(
                f"{self.source}: a dictionary for activations of width {self.sae.cfg.d_in}; "
                f"{loaded.checkpoint.name} has {width}"
            )
        if site is not None and self.site is not None and site != self.site:
            raise InputError(f"{self.source}: a dictionary of {self.site}, not of {site}")
        if self.site is not None and self.site.layer >= loaded.n_layers:
            raise InputError(
                f"{self.source}: a dictionary of {self.site}; {loaded.checkpoint.name} has "
                f"{loaded.n_layers} layers"
            )
        trained_on = self.about.get("checkpoint")
        known = trained_on is not None and not another_model
        if known and trained_on != loaded.checkpoint.fingerprint:
            raise InputError(
                f"{self.source}: trained on another model ({self.about.get('model_name', '?')}) "
                f"than {loaded.checkpoint.name}; say `another_model=True` where that is meant, as "
                "for a child through its parent's dictionary"
            )

    def _check_width(self, acts_ND: Tensor) -> None:
        if acts_ND.ndim != 2 or acts_ND.shape[1] != self.sae.cfg.d_in:
            raise InputError(
                f"{self.source}: activations of shape {tuple(acts_ND.shape)}; expected (n, "
                f"{self.sae.cfg.d_in})"
            )


def load_dictionary(
    folder: Path,
    *,
    site: Site | None = None,
    device: str = "cpu",
    dtype: str = "float32",
) -> Dictionary:
    """Reads a dictionary from a folder in any format of `interp.features.formats`.

    Formats other than SAELens' are converted to it; what they compute stays the same.

    Args:
        folder: of the dictionary.
        site: where its activations are read, for formats that do not say.
        device: it is put on.
        dtype: of its weights.

    Raises:
        InputError: no known format, a missing or damaged file, tensors that are missing, of
            another shape, or not finite, no latent that writes anything, or another outcome on the
            rows that were kept with it when it was trained.
    """
    known = format_of(folder)
    config, weights = known.read(folder)
    _check_weights(weights, folder)

    def convert(path: Any, device: str = "cpu", cfg_overrides: Any = None) -> Content:
        moved = {name: tensor.to(device) for name, tensor in weights.items()}
        return {**config, "device": device, **(cfg_overrides or {})}, moved

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)
            sae = SAE.load_from_disk(folder, device=device, dtype=dtype, converter=convert)
    except (KeyError, TypeError, ValueError, RuntimeError) as error:
        reason = str(error).strip().replace("\n\t", "; ").replace("\n", " ")
        raise InputError(
            f"{folder}: config and weights do not make a dictionary ({known.name}: {reason}); "
            f"found {', '.join(f'{name} {tuple(t.shape)}' for name, t in sorted(weights.items()))}"
        ) from error
    if dtype in ("float32", "float64"):  # rounding of the others is larger than what is looked for
        check_unchanged(folder, sae)
    about = {**config, **dict(config.get("metadata") or {}), **read_card(folder)}
    return Dictionary(sae.eval(), site or _site(about.get("hook_name")), str(folder), about)


def hook_of(site: Site) -> str:
    """What TransformerLens and SAELens call a site."""
    names = {kind: hook for hook, kind in _HOOKS.items()}
    return f"blocks.{site.layer}.{names[site.kind]}"


def load_release(
    release: str, sae_id: str, *, device: str = "cpu", dtype: str = "float32"
) -> Dictionary:
    """Fetches a published dictionary by SAELens' names, such as "gemma-scope-2b-pt-res-canonical".

    Args:
        release: of SAELens' list, or a Hugging Face id.
        sae_id: of the release, such as "layer_20/width_16k/canonical".
        device: it is put on.
        dtype: of its weights.

    Raises:
        InputError: no such release or id, no connection and no copy in the Hub's cache, or weights
            that are not finite or all zero.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)
            sae, config, _ = SAE.from_pretrained_with_cfg_and_sparsity(
                release, sae_id, device, dtype=dtype
            )
    except (KeyError, ValueError, OSError) as error:
        raise InputError(f"{release} {sae_id}: cannot be had: {str(error).strip()}") from error
    source = f"{release}/{sae_id}"
    _check_weights(sae.state_dict(), Path(source))
    about = {**config, **sae.cfg.metadata.to_dict()}
    return Dictionary(sae.eval(), _site(about.get("hook_name")), source, about)


def _check_weights(weights: Mapping[str, Tensor], folder: Path) -> None:
    for name, tensor in weights.items():
        if tensor.is_floating_point() and not bool(tensor.isfinite().all()):
            raise InputError(f"{folder}: NaN or Inf in {name}; train or fetch it again")
    for name in ("W_enc", "W_dec"):
        if name in weights and not bool(weights[name].any()):
            raise InputError(f"{folder}: all latents are dead: {name} is zero")


def _site(hook_name: object) -> Site | None:
    """The site of a TransformerLens hook or a Hugging Face module; None for any other."""
    text = str(hook_name)
    if match := _BLOCK.search(text):
        kind = _HOOKS.get(match[2])
        return Site(kind, int(match[1])) if kind else None
    if match := _MODULE.search(text):
        return Site("resid_post", int(match[1]))
    return None
