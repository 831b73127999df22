"""Stage: whether a child still has its parent's features, fires them, and listens to them."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import exca
import numpy as np
import pandas as pd
import pydantic

from interp.progress import Progress, report
from interp.stages.common import ModelRef, Stage, Tables, keyed, task_infra
from interp.stages.crosscoders import CrosscoderSettings, text_rows
from interp.stages.dosing import Response, choose
from interp.stages.features import DictionaryRef, FeatureSettings, Picked, Rows, read_rows
from interp.stages.questions import Questions
from interp.stages.readout import Readout, organism_readouts

if TYPE_CHECKING:
    from torch import Tensor

    from interp.directions import Direction
    from interp.features import Crosscoder, Dictionary
    from interp.features.crosscoder import Quality


_ENDS = (("", "ratio"), ("_lo", "lo"), ("_hi", "hi"))
_RATIOS = tuple(
    f"{name}{end}" for name in ("nu_reconstruction", "nu_error") for end in ("", "_lo", "_hi")
)


class DiffSettings(pydantic.BaseModel):
    """When a parent's dictionary may read a child, how crosscoders are trained, and steering."""

    model_config = pydantic.ConfigDict(extra="forbid", frozen=True)

    max_fvu: float = 0.1
    """Most of the child's variance that the parent's dictionary may leave."""
    max_ce_loss: float = 0.05
    """Most of the cross-entropy recovered that it may lose against the parent."""
    alphas: tuple[float, ...] = (0.5, 1.0, 2.0, 4.0)
    """Strengths of steering, in units of the feature's mean value where it fires."""
    n_random: int = 20
    """Other latents of the dictionary, each at every strength."""
    max_known: float = 0.05
    """By how much abstention on the known may rise at the strength chosen on dev."""
    n_boot: int = 2000


class FeatureDiff(Stage):
    """Follows a parent's features into a child.

    Attributes:
        child: the model under test.
        parent: whose features they are.
        child_dictionaries: trained on the child.
        parent_dictionaries: whose latents the features are.
        picked: the features.
        phrases: with which a model abstains.
        prompts, dev, text: as in `Features` and `Dictionaries`.
        search: how features were searched.
        settings: of the comparison.
        crosscoder: over the two.
    """

    child: ModelRef
    parent: ModelRef
    child_dictionaries: DictionaryRef
    parent_dictionaries: DictionaryRef
    picked: tuple[Picked, ...]
    phrases: tuple[str, ...]
    prompts: Questions
    dev: Questions
    text: Questions
    search: FeatureSettings = FeatureSettings()
    settings: DiffSettings = DiffSettings()
    crosscoder: CrosscoderSettings = CrosscoderSettings()
    infra: exca.TaskInfra = task_infra("1")

    def label(self) -> str:
        """What a progress display calls it."""
        return f"feature diff of {self.child.name} (seed {self.seed})"

    @infra.apply
    def run(self) -> Tables:
        """Tables `feature_diff`, `crosscoders` and `feature_steering`."""
        pair = _Pair(self)
        rows: list[dict[str, Any]] = []
        census: list[pd.DataFrame] = []
        for number, picked in enumerate(self.picked):
            report(Progress(self.label(), number, len(self.picked) + 1))
            of_layer = pair.crossed(picked)
            if all(part["layer"].iloc[0] != picked.layer for part in census):
                census.append(of_layer.census)
            row = picked.where | pair.read(picked) | pair.written(picked)
            rows.append(row | of_layer.nearest(pair.own["parent"][picked.layer], picked))
        report(Progress(self.label(), len(self.picked), len(self.picked) + 1))
        tables = {
            "feature_diff": pd.DataFrame(rows),
            "crosscoders": pd.concat(census, ignore_index=True),
            "feature_steering": pair.steered(),
        }
        keys = {"seed": self.seed, "member": self.child.name, "parent": self.parent.name}
        return {name: keyed(table, keys) for name, table in tables.items()}


@dataclass(frozen=True, eq=False)
class _Crossed:
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


@dataclass
class _Pair:
    """What a stage reads, loaded once."""

    stage: FeatureDiff

    def __post_init__(self) -> None:
        stage = self.stage
        self.models = {
            "parent": stage.parent.load(stage.device),
            "child": stage.child.load(stage.device),
        }
        self.own = {
            "parent": stage.parent_dictionaries.load(stage.device),
            "child": stage.child_dictionaries.load(stage.device),
        }
        self.text = stage.text.load()
        self._crossed: dict[int, _Crossed] = {}

    @cached_property
    def test(self) -> dict[str, Rows]:
        """The reported prompts in both models."""
        return self._rows(self.stage.prompts)

    @cached_property
    def dev(self) -> dict[str, Rows]:
        """The prompts to choose on."""
        return self._rows(self.stage.dev)

    def _rows(self, questions: Questions) -> dict[str, Rows]:
        return {
            name: read_rows(loaded, questions, self.stage.search)
            for name, loaded in self.models.items()
        }

    def tokens(self, layer: int) -> tuple[Tensor, np.ndarray]:
        """Tokens of the text in both models, [n, 2, d], and the prompt of each."""
        return text_rows(list(self.models.values()), self.text, layer)

    def read(self, picked: Picked) -> dict[str, Any]:
        """The parent's dictionary on the child, and what the feature tells there."""
        from interp.features import firing_ratio
        from interp.features.card import quality
        from interp.interventions import splice
        from interp.stats import hierarchical_bootstrap, weighted_auroc

        dictionary = self.own["parent"][picked.layer]
        rows_NCD, _ = self.tokens(picked.layer)
        few = self.text.where(np.arange(len(self.text)) < 200)
        fvu = [quality(dictionary.sae, rows_NCD[:, place]).fvu for place in (0, 1)]
        ce = [splice(loaded, few, dictionary).recovered for loaded in self.models.values()]
        settings = self.stage.settings
        allowed = fvu[1] <= settings.max_fvu and ce[0] - ce[1] <= settings.max_ce_loss
        found: dict[str, Any] = {
            **{"fvu_parent": fvu[0], "fvu_child": fvu[1]},
            **{"ce_parent": ce[0], "ce_child": ce[1], "readable": allowed},
        }
        values = {}
        for name, rows in self.test.items():
            codes = rows.codes(dictionary, picked.layer, picked.position)
            values[name] = codes.dense([picked.latent])
            sought_N = rows.labels if picked.direction == "unknown" else ~rows.labels
            auroc = hierarchical_bootstrap(
                weighted_auroc(values[name][:, 0], sought_N),
                rows.levels,
                n_boot=settings.n_boot,
                seed=self.stage.seed,
                strata=sought_N,
            )
            found |= {f"auroc_{name}": auroc.estimate}
            found |= {f"auroc_{name}_lo": auroc.lo, f"auroc_{name}_hi": auroc.hi}
        parent = self.test["parent"]
        sought_N = parent.labels if picked.direction == "unknown" else ~parent.labels
        ratio = firing_ratio(
            values["parent"][sought_N],
            values["child"][sought_N],
            {name: units[sought_N] for name, units in parent.levels.items()},
            seed=self.stage.seed,
            n_boot=settings.n_boot,
        ).iloc[0]
        return found | {
            "rate_parent": ratio["first_rate"],
            "rate_child": ratio["second_rate"],
            **{f"firing_ratio{end}": ratio[col] for end, col in _ENDS},
        }

    def written(self, picked: Picked) -> dict[str, Any]:
        """The feature among the child's own, in what they write, and in the abstention logit."""
        from interp.features import classify, match_decoders, scale_dictionaries
        from interp.interventions import attribute
        from interp.stats import bootstrap

        layer, latent = picked.layer, picked.latent
        parent, child = self.own["parent"][layer], self.own["child"][layer]
        match = match_decoders(parent.decoder_MD, child.decoder_MD)
        rows_NCD, prompt_N = self.tokens(layer)
        few = slice(self.stage.crosscoder.n_text)
        scaling = scale_dictionaries(
            parent.sae, child.sae, rows_NCD[few], groups=prompt_N[few].tolist()
        )
        null = picked.of_dictionaries
        row = classify(scaling, cutoffs=null.cutoffs).iloc[latent]
        found = {
            "child_latent": int(match.index_M[latent]),
            "cosine": float(match.cosine_M[latent]),
            "mutual": bool(match.mutual_M[latent]),
            "class": row["class"],
            "null_rate": null.null_rate,
            "cut_reconstruction": null.nu_reconstruction,
            "cut_error": null.nu_error,
            **{name: row[name] for name in _RATIOS},
        }
        for name, loaded in self.models.items():
            rows = self.test[name]
            asked = rows.prompts.where(rows.labels)
            effect_N = attribute(
                loaded, asked, parent, self.stage.phrases, position=picked.position
            ).effect_NM[:, latent]
            values_N = effect_N.double().numpy()
            mean = bootstrap(
                lambda index, values_N=values_N: float(values_N[index].mean()),
                asked.groups,
                seed=self.stage.seed,
            )
            found |= {f"effect_{name}": mean.estimate}
            found |= {f"effect_{name}_lo": mean.lo, f"effect_{name}_hi": mean.hi}
        return found

    def crossed(self, picked: Picked) -> _Crossed:
        """A crosscoder of the feature's layer, trained once."""
        layer = picked.layer
        if layer not in self._crossed:
            settings, stage = self.stage.crosscoder, self.stage
            rows_NCD, prompt_N = self.tokens(layer)
            trained = settings.train(rows_NCD, stage.seed * 10, stage.device)
            classes = settings.classes(trained, rows_NCD, prompt_N, picked.of_crosscoders.cutoffs)
            quality = trained.quality(rows_NCD[: settings.n_text])
            self._crossed[layer] = _Crossed(layer, trained, classes, quality)
        return self._crossed[layer]

    def steered(self) -> pd.DataFrame:
        """The child's dose-response to the parent's features at the end of the prompt."""
        dev, test = self._readouts()
        directions = [
            self._direction(picked)
            for picked in self.stage.picked
            if picked.position == "last_prompt" and picked.direction == "unknown"
        ]
        if not directions:
            return pd.DataFrame()
        settings, child = self.stage.settings, self.models["child"]
        direction, alpha = choose(child, dev, directions, settings.alphas, settings.max_known)
        nulls = self._random(direction)
        response = Response.of(child, test, direction, settings.alphas, nulls)
        net = response.net(alpha)
        return pd.DataFrame(response.rows).assign(
            layer=direction.site.layer,
            latent=int(direction.how.rpartition(" ")[2]),
            chosen_alpha=alpha,
            net=net.estimate,
            net_lo=net.lo,
            net_hi=net.hi,
        )

    def _readouts(self) -> tuple[Readout, Readout]:
        return organism_readouts(self.stage.seed, self.models["child"].tokenizer)

    def _direction(self, picked: Picked) -> Direction:
        """What the feature writes; as long as where it fires on unknown dev prompts."""
        from interp.activations import Site
        from interp.directions import Direction as Found

        dictionary, rows = self.own["parent"][picked.layer], self.dev["parent"]
        codes = rows.codes(dictionary, picked.layer, picked.position).rows(rows.labels)
        value_N = codes.dense([picked.latent])[:, 0]
        return Found(
            vector_D=dictionary.decoder_MD[picked.latent],
            norm=float(value_N[value_N > 0].mean()) if (value_N > 0).any() else 1.0,
            site=Site("resid_post", picked.layer),
            position=picked.position,
            source=self.stage.parent.name,
            how=f"latent {picked.latent}",
        )

    def _random(self, direction: Direction) -> list[Tensor]:
        """Other live latents of the same dictionary, of the same length."""
        dictionary = self.own["parent"][direction.site.layer]
        rows_NCD, _ = self.tokens(direction.site.layer)
        fires_M = (dictionary.encode(rows_NCD[: self.stage.crosscoder.n_text, 0]) > 0).any(0)
        live = np.flatnonzero(fires_M.cpu().numpy())
        own = int(direction.how.rpartition(" ")[2])
        drawn = np.random.default_rng([self.stage.seed, own]).permutation(live[live != own])
        return [dictionary.decoder_MD[latent] for latent in drawn[: self.stage.settings.n_random]]
