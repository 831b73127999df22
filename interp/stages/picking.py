"""Which features of a parent children are compared by, and the nulls that go with them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import pandas as pd
import pydantic

from interp.stages.common import Tables

if TYPE_CHECKING:
    from interp.features import Cutoffs

POSITIONS = ("entity_last", "last_prompt")


class FeatureSettings(pydantic.BaseModel):
    """How features are chosen and what they must pass."""

    model_config = pydantic.ConfigDict(extra="forbid", frozen=True)

    positions: tuple[str, ...] = POSITIONS
    levels: tuple[str, ...] = ("scenario", "dataset", "pair")
    """Nested units that are resampled."""
    kinds: str | None = "meta.relation"
    """Column over whose values the worst case is taken."""
    max_generic: float = 0.02
    """Share of generic tokens on which a feature may fire."""
    q: float = 0.05
    """False discovery rate over all latents of a dictionary."""
    replicates: int = 1
    """Other dictionary seeds that must hold the latent."""
    min_cosine: float = 0.7
    """From which a latent of another seed is the same one."""
    n_picked: int = 3
    """Features of each direction that children are compared by, at most: those best on dev."""
    n_boot: int = 2000


class Null(pydantic.BaseModel):
    """Cut-offs of latent scaling from one model against itself.

    Attributes:
        nu_reconstruction: below it, and
        nu_error: below this, a latent is missing.
        null_rate: share of the null's latents that they call lost or new.
    """

    model_config = pydantic.ConfigDict(extra="forbid", frozen=True)

    nu_reconstruction: float
    nu_error: float
    null_rate: float

    @classmethod
    def of(cls, cutoffs: Cutoffs) -> Null:
        """As a config can hold it."""
        return cls(**{name: float(getattr(cutoffs, name)) for name in cls.model_fields})

    @property
    def cutoffs(self) -> Cutoffs:
        """As `classify` takes it."""
        from interp.features import Cutoffs

        return Cutoffs(**self.model_dump())


class Picked(pydantic.BaseModel):
    """A feature of the parent: a latent of a layer's dictionary, where it is read, and its nulls.

    Attributes:
        layer: of the dictionary.
        position: that it was found at.
        direction: "unknown" or "known".
        latent: its number.
        of_dictionaries: cut-offs between dictionaries of the layer.
        of_crosscoders: cut-offs between models in a crosscoder of the layer.
    """

    model_config = pydantic.ConfigDict(extra="forbid", frozen=True)

    layer: int
    position: str
    direction: Literal["unknown", "known"]
    latent: int
    of_dictionaries: Null
    of_crosscoders: Null

    @property
    def where(self) -> dict[str, object]:
        """What names it in a table."""
        return self.model_dump(include={"layer", "position", "direction", "latent"})


def best_first(features: pd.DataFrame) -> pd.DataFrame:
    """Features as they rank on dev; those that pass there before all others."""
    return features.sort_values(["dev_passes", "dev_auroc"], ascending=False, kind="stable")


def picked_features(tables: Tables) -> tuple[Picked, ...]:
    """The features that a `Features` stage picked, the best first."""
    features, nulls = tables["features"], tables["feature_nulls"]
    cut = {
        (row["layer"], row["of"]): Null(**{name: row[name] for name in Null.model_fields})
        for row in nulls.to_dict("records")
    }
    return tuple(
        Picked(
            layer=row["layer"],
            position=row["position"],
            direction=row["direction"],
            latent=row["latent"],
            of_dictionaries=cut[row["layer"], "dictionaries"],
            of_crosscoders=cut[row["layer"], "crosscoders"],
        )
        for row in best_first(features[features["picked"]]).to_dict("records")
    )
