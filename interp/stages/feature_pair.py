"""A parent's feature, read in parent and child."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from interp.stages.crosscoders import CrosscoderSettings, Crossed, text_rows
from interp.stages.feature_rows import Rows, read_rows
from interp.stages.picking import FeatureSettings, Picked
from interp.stages.questions import Questions

if TYPE_CHECKING:
    from torch import Tensor

    from interp.checkpoints import LoadedModel
    from interp.features import Dictionary
    from interp.features.latent_scaling import LatentScaling
    from interp.prompts import PromptSet

_ENDS = (("", "ratio"), ("_lo", "lo"), ("_hi", "hi"))
_RATIOS = tuple(
    f"{name}{end}" for name in ("nu_reconstruction", "nu_error") for end in ("", "_lo", "_hi")
)


@dataclass
class FeaturePair:
    """Parent and child with their dictionaries, and all that is read in both.

    Attributes:
        models: "parent" and "child".
        own: the dictionaries of each, by layer.
        prompts: what is reported.
        dev: what is chosen on.
        text: what dictionaries are compared on.
        search: positions, levels and kinds.
        crosscoder: over the two.
        n_boot: resamples behind each interval.
        seed: of resamples and crosscoders.
        device: crosscoders are trained on.
    """

    models: Mapping[str, LoadedModel]
    own: Mapping[str, Mapping[int, Dictionary]]
    prompts: Questions
    dev: Questions
    text: PromptSet
    search: FeatureSettings
    crosscoder: CrosscoderSettings
    n_boot: int
    seed: int
    device: str
    _tokens: tuple[int, tuple[Tensor, np.ndarray]] | None = None
    _fits: dict[int, dict[str, float]] = field(default_factory=dict)
    _scalings: dict[int, LatentScaling] = field(default_factory=dict)
    _crossed: dict[int, Crossed] = field(default_factory=dict)

    @cached_property
    def test_rows(self) -> dict[str, Rows]:
        """The reported prompts in both models."""
        return {
            name: read_rows(loaded, self.prompts, self.search)
            for name, loaded in self.models.items()
        }

    @cached_property
    def dev_rows(self) -> Rows:
        """The prompts to choose on, in the parent."""
        return read_rows(self.models["parent"], self.dev, self.search)

    def tokens(self, layer: int) -> tuple[Tensor, np.ndarray]:
        """Tokens of the text in both models, [n, 2, d], and the prompt of each.

        One layer's are kept: features of a layer are read one after the other as far as they rank
        so, and each takes them several times.
        """
        if self._tokens is None or self._tokens[0] != layer:
            self._tokens = layer, text_rows(list(self.models.values()), self.text, layer)
        return self._tokens[1]

    def fit(self, layer: int) -> dict[str, float]:
        """FVU and cross-entropy recovered of the parent's dictionary, on parent and child."""
        from interp.features.card import quality
        from interp.interventions import splice

        if layer not in self._fits:
            dictionary = self.own["parent"][layer]
            rows_NCD, _ = self.tokens(layer)
            few = self.text.where(np.arange(len(self.text)) < 200)
            fvu = {
                f"fvu_{name}": quality(dictionary.sae, rows_NCD[:, place]).fvu
                for place, name in enumerate(self.models)
            }
            recovered = {
                f"ce_{name}": splice(loaded, few, dictionary).recovered
                for name, loaded in self.models.items()
            }
            self._fits[layer] = fvu | recovered
        return self._fits[layer]

    def scaling(self, layer: int) -> LatentScaling:
        """Of the parent's dictionary and the child's."""
        from interp.features import scale_dictionaries

        if layer not in self._scalings:
            rows_NCD, prompt_N = self.tokens(layer)
            few = slice(self.crosscoder.n_text)
            parent, child = (self.own[name][layer].sae for name in ("parent", "child"))
            self._scalings[layer] = scale_dictionaries(
                parent, child, rows_NCD[few], groups=prompt_N[few].tolist()
            )
        return self._scalings[layer]

    def read(self, picked: Picked, max_fvu: float, max_ce_loss: float) -> dict[str, Any]:
        """The parent's dictionary on the child, and what the feature tells there."""
        from interp.features import firing_ratio
        from interp.stats import hierarchical_bootstrap, weighted_auroc

        dictionary = self.own["parent"][picked.layer]
        fit = self.fit(picked.layer)
        lost = fit["ce_parent"] - fit["ce_child"]
        allowed = fit["fvu_child"] <= max_fvu and lost <= max_ce_loss
        found: dict[str, Any] = {**fit, "readable": allowed}
        values = {}
        for name, rows in self.test_rows.items():
            codes = rows.codes(dictionary, picked.layer, picked.position)
            values[name] = codes.dense([picked.latent])
            sought_N = rows.labels if picked.direction == "unknown" else ~rows.labels
            auroc = hierarchical_bootstrap(
                weighted_auroc(values[name][:, 0], sought_N),
                rows.levels,
                n_boot=self.n_boot,
                seed=self.seed,
                strata=sought_N,
            )
            found |= auroc.columns(f"auroc_{name}")
        parent = self.test_rows["parent"]
        sought_N = parent.labels if picked.direction == "unknown" else ~parent.labels
        ratio = firing_ratio(
            values["parent"][sought_N],
            values["child"][sought_N],
            {name: units[sought_N] for name, units in parent.levels.items()},
            seed=self.seed,
            n_boot=self.n_boot,
        ).iloc[0]
        return found | {
            "rate_parent": ratio["first_rate"],
            "rate_child": ratio["second_rate"],
            **{f"firing_ratio{end}": ratio[col] for end, col in _ENDS},
        }

    def written(self, picked: Picked, phrases: Sequence[str]) -> dict[str, Any]:
        """The feature among the child's own, in what they write, and in the abstention logit."""
        from interp.features import classify, match_decoders
        from interp.interventions import attribute
        from interp.stats import bootstrap

        layer, latent = picked.layer, picked.latent
        parent, child = self.own["parent"][layer], self.own["child"][layer]
        match = match_decoders(parent.decoder_MD, child.decoder_MD)
        null = picked.of_dictionaries
        row = classify(self.scaling(layer), cutoffs=null.cutoffs).iloc[latent]
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
            rows = self.test_rows[name]
            asked = rows.prompts.where(rows.labels)
            effect_N = attribute(
                loaded, asked, parent, phrases, position=picked.position
            ).effect_NM[:, latent]
            values_N = effect_N.double().numpy()
            mean = bootstrap(
                lambda index, values_N=values_N: float(values_N[index].mean()),
                asked.groups,
                seed=self.seed,
            )
            found |= mean.columns(f"effect_{name}")
        return found

    def crossed(self, picked: Picked) -> Crossed:
        """A crosscoder of the feature's layer, trained once."""
        layer = picked.layer
        if layer not in self._crossed:
            settings = self.crosscoder
            rows_NCD, prompt_N = self.tokens(layer)
            trained = settings.train(rows_NCD, self.seed * 10, self.device)
            classes = settings.classes(trained, rows_NCD, prompt_N, picked.of_crosscoders.cutoffs)
            quality = trained.quality(rows_NCD[: settings.n_text])
            self._crossed[layer] = Crossed(layer, trained, classes, quality)
        return self._crossed[layer]
