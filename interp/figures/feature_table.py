"""Features of a table, each with its portraits and the source of its dictionary."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

import pandas as pd

from interp.activations import Site
from interp.errors import InputError
from interp.features.portraits import Portrait


@dataclass(frozen=True)
class Source:
    """Where a site's dictionary is from.

    Attributes:
        name: folder or release, as `Dictionary.source`.
        neuronpedia: model and dictionary of its pages there, such as
            "gemma-2-2b/20-gemmascope-res-16k"; None for one that is not published there.
    """

    name: str
    neuronpedia: str | None = None

    def link(self, latent: int) -> str | None:
        """The address of a latent's page on Neuronpedia."""
        if self.neuronpedia is None:
            return None
        return f"https://www.neuronpedia.org/{quote(self.neuronpedia.strip('/'))}/{latent}"


@dataclass(frozen=True)
class Feature:
    """One row of the table, with its portraits."""

    site: Site
    latent: int
    evidence: dict[str, Any]
    portraits: Mapping[str, Portrait]
    source: Source

    @property
    def file(self) -> str:
        """Name of its page."""
        return f"{self.site.layer}-{self.latent}.html"

    @property
    def maximum(self) -> float:
        """Over all models shown."""
        return max(one.overall.maximum for one in self.portraits.values())


def features_of(
    table: pd.DataFrame,
    portraits: Mapping[tuple[str, int], Mapping[str, Portrait]],
    sources: Mapping[str, Source],
) -> list[Feature]:
    """The rows of a table with their portraits; the arguments are those of `write_feature_pages`.

    Raises:
        InputError: as `write_feature_pages`.
    """
    for column in ("latent", "site"):
        if column not in table.columns:
            raise InputError(f"feature pages: the features have no column '{column}'")
    if table.empty:
        raise InputError("feature pages: no features; expected at least one row")
    found: dict[str, Feature] = {}
    for row in table.to_dict("records"):
        site, latent = Site.parse(str(row.pop("site"))), int(row.pop("latent"))
        name = f"latent {latent} at {site}"
        drawn = portraits.get((str(site), latent))
        if not drawn:
            raise InputError(f"feature pages: no portrait of {name}; give one for each feature")
        for model, one in drawn.items():
            if one.latent != latent:
                raise InputError(
                    f"feature pages: the portrait of {name} in {model} is of latent {one.latent}"
                )
        if str(site) not in sources:
            raise InputError(
                f"feature pages: nothing says where the dictionary of {site} is from; there are "
                f"sources for {', '.join(sources) or 'no site'}"
            )
        evidence = {str(column): value for column, value in row.items()}
        feature = Feature(site, latent, evidence, drawn, sources[str(site)])
        other = found.setdefault(feature.file, feature)
        if other is not feature:
            raise InputError(
                f"feature pages: {name} and latent {other.latent} at {other.site} share the file "
                f"{feature.file}; give each feature once, and other kinds of site another folder"
            )
    return list(found.values())
