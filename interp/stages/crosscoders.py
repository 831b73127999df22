"""Crosscoders over two models as the feature stages train and read them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pandas as pd
import pydantic

from interp.stages.picking import Picked
from interp.stages.reading import Cells

if TYPE_CHECKING:
    import numpy as np
    from torch import Tensor

    from interp.checkpoints import LoadedModel
    from interp.features import Crosscoder, Cutoffs, Dictionary
    from interp.features.crosscoder import Quality
    from interp.prompts import PromptSet


class CrosscoderSettings(pydantic.BaseModel):
    """How crosscoders are trained and read; the names are those of `CrosscoderRecipe`."""

    model_config = pydantic.ConfigDict(extra="forbid", frozen=True)

    n_latents: int = 512
    k: int = 12
    steps: int = 800
    batch: int = 1024
    lr: float = 3e-3
    dead_after: int = 50_000
    null_rate: float = 0.05
    """Most of the latents of one model against itself that may count as lost or new."""
    n_text: int = 20_000
    """Tokens that latents are compared on."""

    def train(self, rows_NCD: Tensor, seed: int, device: str) -> Crosscoder:
        """One crosscoder over the models of the rows."""
        from interp.features import CrosscoderRecipe, train_crosscoder

        recipe = CrosscoderRecipe(**self.model_dump(exclude={"null_rate", "n_text"}))
        return train_crosscoder(rows_NCD, recipe, seed=seed, device=device)

    def null(self, acts_ND: Tensor, prompt_N: np.ndarray, seed: int, device: str) -> Cutoffs:
        """Cut-offs from two crosscoders over one model taken twice."""
        from interp.features import Cutoffs, scale_latents

        same_NCD = acts_ND[:, None].expand(-1, 2, -1)
        few = slice(self.n_text)
        scalings = [
            scale_latents(
                self.train(same_NCD, seed + draw, device), same_NCD[few], groups=prompt_N[few]
            )
            for draw in (1, 2)
        ]
        return Cutoffs.from_null(scalings, rate=self.null_rate)

    def classes(
        self, crosscoder: Crosscoder, rows_NCD: Tensor, prompt_N: np.ndarray, cutoffs: Cutoffs
    ) -> pd.DataFrame:
        """Class and ratios of every latent between the two models."""
        from interp.features import classify, scale_latents

        few = slice(self.n_text)
        scaling = scale_latents(crosscoder, rows_NCD[few], groups=prompt_N[few])
        return classify(scaling, cutoffs=cutoffs)


def text_rows(
    models: Sequence[LoadedModel], text: PromptSet, layer: int
) -> tuple[Tensor, np.ndarray]:
    """Tokens of the text in every model, [n, models, d], and the prompt of each.

    The first token of a prompt is left out: it takes a norm of its own in many models.
    """
    import torch

    from interp.activations import Site

    site, everywhere = Site("resid_post", layer), Cells(sites=("resid_post",), positions=("all",))
    acts = [everywhere.read(loaded, text).acts for loaded in models]
    offsets = acts[0].offsets
    prompt_N = torch.arange(len(text)).repeat_interleave(offsets.diff())
    kept_N = torch.ones(len(prompt_N), dtype=torch.bool)
    kept_N[offsets[:-1]] = False
    rows_NCD = torch.stack([part.read(site, "all")[kept_N] for part in acts], 1)
    return rows_NCD, prompt_N[kept_N].numpy()


@dataclass(frozen=True, eq=False)
class Crossed:
    """A crosscoder over parent and child at a layer, and the class of each of its latents."""

    layer: int
    crosscoder: Crosscoder
    classes: pd.DataFrame
    quality: Quality

    @property
    def census(self) -> pd.DataFrame:
        """How many latents are of each class."""
        counts = self.classes["class"].value_counts()
        return pd.DataFrame(
            {
                "layer": self.layer,
                "class": counts.index,
                "latents": counts.to_numpy(),
                "fvu_parent": float(self.quality.fvu_C[0]),
                "fvu_child": float(self.quality.fvu_C[1]),
                "l0": self.quality.l0,
            }
        )

    def nearest(self, dictionary: Dictionary, picked: Picked) -> dict[str, Any]:
        """The latent that writes most like the feature in the parent, and its class."""
        from interp.features import match_decoders

        feature_1D = dictionary.decoder_MD[[picked.latent]]
        match = match_decoders(feature_1D, self.crosscoder.decoder_CMD[0].cpu())
        latent = int(match.index_M[0])
        row = self.classes.iloc[latent]
        return {
            "cross_latent": latent,
            "cross_cosine": float(match.cosine_M[0]),
            "cross_class": row["class"],
            "cross_nu_reconstruction": row["nu_reconstruction"],
            "cross_nu_error": row["nu_error"],
            "cross_relative_norm": row["relative_norm"],
            "cross_null_rate": picked.of_crosscoders.null_rate,
        }
