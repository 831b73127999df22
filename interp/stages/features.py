"""Stage: which latents of a model's dictionaries say that it should abstain."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Literal

import exca
import numpy as np
import pandas as pd

from interp.errors import InputError
from interp.progress import Progress, report
from interp.stages.common import ModelRef, Stage, Tables, keyed, task_infra
from interp.stages.crosscoders import CrosscoderSettings, text_rows
from interp.stages.dictionaries import DictionaryRef
from interp.stages.feature_rows import Rows, baselines, read_rows
from interp.stages.picking import FeatureSettings, Null, best_first
from interp.stages.questions import Questions

if TYPE_CHECKING:
    from interp.checkpoints import LoadedModel
    from interp.features import Dictionary, SparseCodes


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
        everywhere = self.settings.model_copy(update={"positions": ("all",)})
        plain = read_rows(loaded, self.generic, everywhere)
        parts = []
        for number, (layer, dictionary) in enumerate(first.items()):
            report(Progress(self.label(), number, len(first)))
            stable = self._stability(dictionary, [other[layer] for other in others])
            background = plain.codes(dictionary, layer, "all")
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

    def _picked(self, features: pd.DataFrame) -> np.ndarray:
        """The best of each direction."""
        ranked = best_first(features).groupby("direction")
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
            baselines=dict(baselines(dev, test, cell)),
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
