"""Stage: which latents of a model's dictionaries say that it should abstain."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, Literal

import exca
import numpy as np
import pandas as pd
import pydantic

from interp.errors import InputError
from interp.progress import Progress, report
from interp.stages.common import ModelRef, Stage, Tables, keyed, task_infra
from interp.stages.dictionaries import load_dictionaries
from interp.stages.questions import Questions
from interp.stages.reading import Cells

if TYPE_CHECKING:
    from interp.activations import Activations
    from interp.checkpoints import LoadedModel
    from interp.features import Dictionary, SparseCodes
    from interp.prompts import PromptSet

POSITIONS = ("entity_last", "last_prompt")


class DictionaryRef(pydantic.BaseModel):
    """The dictionaries of a model as a stage names them.

    Attributes:
        name: their folder's name, which holds the hash of all that made them.
        folder: where they stand on this machine.
    """

    model_config = pydantic.ConfigDict(extra="forbid", frozen=True)
    _exclude_from_cls_uid: ClassVar[tuple[str, ...]] = ("folder",)

    name: str
    folder: str

    @classmethod
    def of(cls, folder: Path) -> DictionaryRef:
        """Names a folder of dictionaries."""
        return cls(name=folder.name, folder=str(folder))

    def load(self, device: str) -> dict[int, Dictionary]:
        """Dictionaries by layer."""
        return load_dictionaries(Path(self.folder), device)


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
    n_boot: int = 2000


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


class Features(Stage):
    """Searches a model's dictionaries on dev, and confirms on test what it finds.

    Attributes:
        model: whose abstention is looked for.
        dictionaries: of the model, one a dictionary seed; features are of the first, the others
            say whether they are about the seed.
        prompts: what is reported.
        dev: what features are chosen on.
        generic: text that is not about what the model knows.
        settings: filters.
    """

    model: ModelRef
    dictionaries: tuple[DictionaryRef, ...]
    prompts: Questions
    dev: Questions
    generic: Questions
    settings: FeatureSettings = FeatureSettings()
    infra: exca.TaskInfra = task_infra("1")

    def label(self) -> str:
        """What a progress display calls it."""
        return f"features of {self.model.name} (seed {self.seed})"

    @infra.apply
    def run(self) -> Tables:
        """Table `features`: for every layer and position, the best latent of each direction."""
        loaded = self.model.load(self.device)
        first, *others = (ref.load(self.device) for ref in self.dictionaries)
        dev = read_rows(loaded, self.dev, self.settings)
        test = read_rows(loaded, self.prompts, self.settings)
        generic_prompts = self.generic.load()
        everywhere = Cells(sites=("resid_post",), positions=("all",))
        generic = everywhere.read(loaded, generic_prompts).acts
        parts = []
        for number, (layer, dictionary) in enumerate(first.items()):
            report(Progress(self.label(), number, len(first)))
            stable = self._stability(dictionary, [other[layer] for other in others])
            background = _generic_codes(dictionary, generic, layer)
            for position in self.settings.positions:
                if not dev.differ(layer, position):
                    continue
                for direction in ("unknown", "known"):
                    found = self._best(
                        dictionary, (dev, test), (layer, position), background, stable, direction
                    )
                    where = {"layer": layer, "position": position}
                    parts.append(keyed(found, where))
        if not parts:
            raise InputError(f"features of {self.model.name}: its dictionaries have no layers")
        keys = {"seed": self.seed, "member": self.model.name}
        return {"features": keyed(pd.concat(parts, ignore_index=True), keys)}

    def _stability(self, dictionary: Dictionary, others: list[Dictionary]) -> pd.DataFrame:
        from interp.features import stability

        if not others:
            nothing = np.full(dictionary.n_latents, np.nan)
            return pd.DataFrame({"mean_cosine": nothing, "replicates": nothing})
        decoders = [one.decoder_MD for one in (dictionary, *others)]
        return stability(decoders, cut=self.settings.min_cosine)

    def _best(
        self,
        dictionary: Dictionary,
        rows: tuple[Rows, Rows],
        cell: tuple[int, str],
        generic: SparseCodes,
        stable: pd.DataFrame,
        direction: Literal["unknown", "known"],
    ) -> pd.DataFrame:
        """The latent that is best on dev, as it is on test; one row."""
        from interp.features import confirm, search

        dev, test = rows
        filters = {"max_generic": self.settings.max_generic, "q": self.settings.q}
        ranked = search(
            dev.codes(dictionary, *cell),
            dev.labels,
            dev.levels,
            direction=direction,
            kinds=dev.kinds,
            generic=generic,
            rank_by="auroc",
            **filters,
        )
        ranked["replicates"] = stable["replicates"].to_numpy()[ranked["latent"]]
        ranked["mean_cosine"] = stable["mean_cosine"].to_numpy()[ranked["latent"]]
        held = ~(ranked["replicates"] < self.settings.replicates)
        ranked["passes"] &= held
        ranked = ranked.sort_values("passes", ascending=False, kind="stable", ignore_index=True)
        best = ranked.head(1)
        confirmed = confirm(
            best,
            test.codes(dictionary, *cell),
            test.labels,
            test.levels,
            seen=dev.levels[self.settings.levels[-1]],
            baselines=dict(_baselines(dev, test, cell)),
            kinds=test.kinds,
            generic=generic,
            seed=self.seed,
            n_boot=self.settings.n_boot,
            **filters,
        )
        extra = {
            "dev_passes": best["passes"].to_numpy(),
            "n_passing": int(ranked["passes"].sum()),
            "replicates": best["replicates"].to_numpy(),
            "mean_cosine": best["mean_cosine"].to_numpy(),
        }
        return confirmed.assign(**extra)


def _generic_codes(dictionary: Dictionary, generic: Activations, layer: int) -> SparseCodes:
    from interp.activations import Site
    from interp.features import SparseCodes

    return SparseCodes.of(dictionary, generic.read(Site("resid_post", layer), "all"))


def _baselines(dev: Rows, test: Rows, cell: tuple[int, str]) -> Iterator[tuple[str, np.ndarray]]:
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
