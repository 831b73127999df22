"""Edits through a dictionary: put its reconstruction in, or scale what some latents write."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor

from interp.activations import Site
from interp.errors import InputError
from interp.features.dictionary import Dictionary


@dataclass(frozen=True, eq=False)
class Splice:
    """`h` becomes its reconstruction: what the model does with what the dictionary holds.

    Attributes:
        site: of the dictionary.
        dictionary: whose reconstruction is put in.
        with_error: adds what the reconstruction lacks, so that nothing changes but rounding; the
            identity against which a splice is checked.
    """

    site: Site
    dictionary: Dictionary
    with_error: bool = False

    def apply(
        self, acts_ND: Float[Tensor, "n d"], row_N: Int[Tensor, " n"], column_N: Int[Tensor, " n"]
    ) -> Float[Tensor, "n d"]:
        """The edited activations of the chosen positions."""
        spliced_ND = self.dictionary.reconstruct(acts_ND)
        return spliced_ND + (acts_ND - spliced_ND) if self.with_error else spliced_ND

    def check(self, d_model: int, n_rows: int, n_columns: int) -> None:
        """Refuses a dictionary that does not fit the model or the site."""
        _check(self.dictionary, self.site, d_model)


@dataclass(frozen=True, eq=False)
class ScaleLatents:
    """Multiplies what some latents write, and leaves all else: reconstruction error and the rest.

    With factor 0 the latents are ablated, with 1 nothing changes. A latent that does not fire
    stays silent: to write it where it does not fire, `Add` its decoder direction.

    Attributes:
        site: of the dictionary.
        dictionary: whose latents.
        latents: which, by number.
        factor: on their codes.
    """

    site: Site
    dictionary: Dictionary
    latents: Sequence[int]
    factor: float

    def apply(
        self, acts_ND: Float[Tensor, "n d"], row_N: Int[Tensor, " n"], column_N: Int[Tensor, " n"]
    ) -> Float[Tensor, "n d"]:
        """The edited activations of the chosen positions."""
        scaled_NM = self.dictionary.encode(acts_ND)
        scaled_NM[:, list(self.latents)] *= self.factor
        with torch.no_grad():
            scaled_ND = self.dictionary.sae.decode(scaled_NM)
        # Both decoded alike: biases and scales of the architecture cancel. Encoded anew for the
        # second, since some architectures keep the input's scale for one decoding only.
        return acts_ND + (scaled_ND.to(acts_ND) - self.dictionary.reconstruct(acts_ND))

    def check(self, d_model: int, n_rows: int, n_columns: int) -> None:
        """Refuses latents that there are not, or a dictionary that does not fit."""
        _check(self.dictionary, self.site, d_model)
        n_latents = self.dictionary.n_latents
        wrong = [latent for latent in self.latents if not 0 <= latent < n_latents]
        if wrong or not self.latents:
            raise InputError(
                f"ScaleLatents at {self.site}: latents {wrong or 'none'}; expected numbers from 0 "
                f"to {n_latents - 1}"
            )


def _check(dictionary: Dictionary, site: Site, d_model: int) -> None:
    width = dictionary.sae.cfg.d_in
    if width != d_model:
        raise InputError(
            f"{dictionary.source}: a dictionary for activations of width {width}; this model has "
            f"{d_model}"
        )
    if dictionary.site is not None and dictionary.site != site:
        raise InputError(f"{dictionary.source}: a dictionary of {dictionary.site}, not of {site}")
