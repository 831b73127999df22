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
from interp.stages.crosscoders import CrosscoderSettings, text_rows
from interp.stages.dictionaries import load_dictionaries
from interp.stages.questions import Questions
from interp.stages.reading import Cells

if TYPE_CHECKING:
    from interp.activations import Activations
    from interp.checkpoints import LoadedModel
    from interp.features import Cutoffs, Dictionary, SparseCodes
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


def picked_features(tables: Tables) -> tuple[Picked, ...]:
    """The features that a `Features` stage picked, the best first."""
    features, nulls = tables["features"], tables["feature_nulls"]
    cut = {
        (row["layer"], row["of"]): Null(**{name: row[name] for name in Null.model_fields})
        for row in nulls.to_dict("records")
    }
    ranked = features[features["picked"]].sort_values(
        ["dev_passes", "dev_auroc"], ascending=False, kind="stable"
    )
    return tuple(
        Picked(
            layer=row["layer"],
            position=row["position"],
            direction=row["direction"],
            latent=row["latent"],
            of_dictionaries=cut[row["layer"], "dictionaries"],
            of_crosscoders=cut[row["layer"], "crosscoders"],
        )
        for row in ranked.to_dict("records")
    )


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
        text: what the dictionaries were trained on, for the nulls.
        settings: filters.
        crosscoder: of the nulls.
    """

    model: ModelRef
    dictionaries: tuple[DictionaryRef, ...]
    prompts: Questions
    dev: Questions
    generic: Questions
    text: Questions
    settings: FeatureSettings = FeatureSettings()
    crosscoder: CrosscoderSettings = CrosscoderSettings()
    infra: exca.TaskInfra = task_infra("1")

    def label(self) -> str:
        """What a progress display calls it."""
        return f"features of {self.model.name} (seed {self.seed})"

    @infra.apply
    def run(self) -> Tables:
        """Table `features`: for every layer and position, the best latent of each direction.

        And `feature_nulls`: cut-offs at the layers of the features that are picked.
        """
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
        features = pd.concat(parts, ignore_index=True)
        features["picked"] = self._picked(features)
        layers = sorted(set(features[features["picked"]]["layer"]))
        nulls = pd.DataFrame(
            [
                row
                for layer in layers
                for row in self._nulls(loaded, layer, [other[layer] for other in (first, *others)])
            ]
        )
        return {"features": keyed(features, keys), "feature_nulls": keyed(nulls, keys)}

    def _picked(self, features: pd.DataFrame) -> pd.Series:
        """The best on dev of each direction; those that pass there before all others."""
        ranked = features.sort_values(
            ["dev_passes", "dev_auroc"], ascending=False, kind="stable"
        ).groupby("direction")
        return features.index.isin(ranked.head(self.settings.n_picked).index)

    def _nulls(
        self, loaded: LoadedModel, layer: int, dictionaries: list[Dictionary]
    ) -> Iterator[dict[str, object]]:
        """What one model against itself would be called."""
        from interp.features import Cutoffs, scale_dictionaries

        rows_NCD, prompt_N = text_rows([loaded], self.text.load(), layer)
        few, (first, *others) = slice(self.crosscoder.n_text), dictionaries
        twice_NCD = rows_NCD[few].expand(-1, 2, -1)
        scalings = [
            scale_dictionaries(first.sae, other.sae, twice_NCD, groups=prompt_N[few])
            for other in others
        ]
        rate = self.crosscoder.null_rate
        of_dictionaries = Cutoffs.from_null(scalings, rate=rate) if others else Cutoffs()
        of_crosscoders = self.crosscoder.null(rows_NCD[:, 0], prompt_N, self.seed * 10, self.device)
        for kind, cutoffs in (("dictionaries", of_dictionaries), ("crosscoders", of_crosscoders)):
            yield {"layer": layer, "of": kind} | Null.of(cutoffs).model_dump()

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
