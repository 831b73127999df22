"""What a study of features is set to."""

from __future__ import annotations

import pydantic

from interp.features.recipe import DictionaryRecipe
from interp.stages.crosscoders import CrosscoderSettings
from interp.stages.feature_diff import DiffSettings
from interp.stages.picking import FeatureSettings


class FeatureStudy(pydantic.BaseModel):
    """Settings of the feature stages; the recipe was chosen on seed 1, which no study reports."""

    model_config = pydantic.ConfigDict(extra="forbid", frozen=True)

    recipe: DictionaryRecipe = DictionaryRecipe(
        architecture="batchtopk",
        n_latents=384,
        steps=800,
        batch=1024,
        lr=3e-3,
        dead_after=50_000,
        options={"k": 8},
    )
    search: FeatureSettings = FeatureSettings()
    diff: DiffSettings = DiffSettings()
    crosscoder: CrosscoderSettings = CrosscoderSettings()
