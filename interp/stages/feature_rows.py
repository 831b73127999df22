"""Prompts as searches of features take them: labels, levels, kinds, and codes."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from interp.stages.picking import FeatureSettings
from interp.stages.questions import Questions
from interp.stages.reading import Cells

if TYPE_CHECKING:
    from interp.activations import Activations
    from interp.checkpoints import LoadedModel
    from interp.features import Dictionary, SparseCodes
    from interp.prompts import PromptSet


@dataclass(frozen=True)
class Rows:
    """Prompts at one position, as searches take them.

    Attributes:
        prompts: the rows.
        acts: captured at all positions.
        settings: which levels and kinds.
    """

    prompts: PromptSet
    acts: Activations
    settings: FeatureSettings

    @property
    def labels(self) -> np.ndarray:
        """True where the model should abstain."""
        return np.asarray(self.prompts.labels, dtype=bool)

    @property
    def levels(self) -> dict[str, np.ndarray]:
        """Units of each row."""
        from interp.prompts import levels_of

        return levels_of(self.prompts, self.settings.levels)

    @property
    def kinds(self) -> np.ndarray | None:
        """Kind of each row."""
        from interp.prompts import column_of

        column = self.settings.kinds
        if column is None:
            return None
        return np.asarray(column_of(self.prompts, column), dtype=object)

    def codes(self, dictionary: Dictionary, layer: int, position: str) -> SparseCodes:
        """Of every row."""
        from interp.activations import Site
        from interp.features import SparseCodes

        return SparseCodes.of(dictionary, self.acts.read(Site("resid_post", layer), position))

    def differ(self, layer: int, position: str) -> bool:
        """Whether rows differ there at all: the first layers at a template's end do not."""
        from interp.activations import Site

        acts_ND = self.acts.read(Site("resid_post", layer), position)
        return float(acts_ND.std(0).max()) > 1e-3


def read_rows(loaded: LoadedModel, questions: Questions, settings: FeatureSettings) -> Rows:
    """Captures prompts at the positions of the settings."""
    prompts = questions.load()
    cells = Cells(sites=("resid_post",), positions=settings.positions)
    return Rows(prompts, cells.read(loaded, prompts).acts, settings)


def baselines(dev: Rows, test: Rows, cell: tuple[int, str]) -> Iterator[tuple[str, np.ndarray]]:
    """What a feature must beat: all of the site, and the prompt's tokens alone."""
    from interp.activations import Site
    from interp.features import SparseCodes, dense_probe, token_lookup

    layer, position = cell
    site = Site("resid_post", layer)
    yield (
        "dense_probe",
        dense_probe(dev.acts.read(site, position), dev.labels, test.acts.read(site, position)),
    )
    ids = [[part.acts.token_ids(row) for row in range(len(part.acts))] for part in (dev, test)]
    n_tokens = 1 + max(token for part in ids for row in part for token in row)
    known, asked = (SparseCodes.from_tokens(part, n_tokens) for part in ids)
    yield "token_lookup", token_lookup(known, dev.labels, asked)
