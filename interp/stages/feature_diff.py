"""Stage: whether a child still has its parent's features, fires them, and listens to them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import exca
import numpy as np
import pandas as pd
import pydantic

from interp.progress import Progress, report
from interp.stages.common import ModelRef, Stage, Tables, keyed, task_infra
from interp.stages.crosscoders import CrosscoderSettings
from interp.stages.dictionaries import DictionaryRef
from interp.stages.dosing import Response, choose
from interp.stages.feature_pair import FeaturePair
from interp.stages.picking import FeatureSettings, Picked
from interp.stages.questions import Questions
from interp.stages.readout import organism_readouts

if TYPE_CHECKING:
    from torch import Tensor

    from interp.directions import Direction


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
    infra: exca.TaskInfra = task_infra("2")

    def label(self) -> str:
        """What a progress display calls it."""
        return f"feature diff of {self.child.name} (seed {self.seed})"

    @infra.apply
    def run(self) -> Tables:
        """Tables `feature_diff`, `crosscoders` and `feature_steering`."""
        pair = self._pair()
        rows: list[dict[str, Any]] = []
        census: list[pd.DataFrame] = []
        for number, picked in enumerate(self.picked):
            report(Progress(self.label(), number, len(self.picked) + 1))
            of_layer = pair.crossed(picked)
            if all(part["layer"].iloc[0] != picked.layer for part in census):
                census.append(of_layer.census)
            row = (
                {"rank": number}
                | picked.where
                | pair.read(picked, self.settings.max_fvu, self.settings.max_ce_loss)
            )
            row |= pair.written(picked, self.phrases)
            rows.append(row | of_layer.nearest(pair.own["parent"][picked.layer], picked))
        report(Progress(self.label(), len(self.picked), len(self.picked) + 1))
        tables = {
            "feature_diff": pd.DataFrame(rows),
            "crosscoders": pd.concat(census, ignore_index=True),
            "feature_steering": self._steered(pair),
        }
        keys = {"seed": self.seed, "member": self.child.name, "parent": self.parent.name}
        return {name: keyed(table, keys) for name, table in tables.items()}

    def _pair(self) -> FeaturePair:
        return FeaturePair(
            models={
                "parent": self.parent.load(self.device),
                "child": self.child.load(self.device),
            },
            own={
                "parent": self.parent_dictionaries.load(self.device),
                "child": self.child_dictionaries.load(self.device),
            },
            prompts=self.prompts,
            dev=self.dev,
            text=self.text.load(),
            search=self.search,
            crosscoder=self.crosscoder,
            n_boot=self.settings.n_boot,
            seed=self.seed,
            device=self.device,
        )

    def _steered(self, pair: FeaturePair) -> pd.DataFrame:
        """The child's dose-response to each of the parent's features at the end of the prompt.

        Columns beside the dose-response: layer, latent, rank (0: the parent's best), the strength
        chosen on dev and, at it, the gain of J beyond other latents (net, net_lo, net_hi).
        """
        sought = [
            picked
            for picked in self.picked
            if picked.position == "last_prompt" and picked.direction == "unknown"
        ]
        settings, child = self.settings, pair.models["child"]
        dev, test = organism_readouts(self.world(), child.tokenizer)
        parts = []
        for rank, picked in enumerate(sought):
            direction = _direction(pair, picked)
            _, alpha = choose(child, dev, [direction], settings.alphas, settings.max_known)
            nulls = _others(pair, picked, settings.n_random)
            response = Response.of(child, test, direction, settings.alphas, nulls)
            net = response.net(alpha)
            where = {
                **{"layer": picked.layer, "latent": picked.latent, "rank": rank},
                **{"chosen_alpha": alpha, **net.columns("net")},
            }
            parts.append(keyed(pd.DataFrame(response.rows), where))
        return pd.concat(parts, ignore_index=True) if parts else pd.DataFrame()


def _direction(pair: FeaturePair, picked: Picked) -> Direction:
    """What a feature writes; as long as where it fires on unknown dev prompts."""
    from interp.activations import Site
    from interp.directions import Direction

    dictionary = pair.own["parent"][picked.layer]
    codes = pair.dev_rows.codes(dictionary, picked.layer, picked.position)
    value_N = codes.rows(pair.dev_rows.labels).dense([picked.latent])[:, 0]
    return Direction(
        vector_D=dictionary.decoder_MD[picked.latent],
        norm=float(value_N[value_N > 0].mean()) if (value_N > 0).any() else 1.0,
        site=Site("resid_post", picked.layer),
        position=picked.position,
        source=pair.models["parent"].checkpoint.name,
        how=f"latent {picked.latent}",
    )


def _others(pair: FeaturePair, picked: Picked, n: int) -> list[Tensor]:
    """What other live latents of the same dictionary write, at length 1."""
    dictionary = pair.own["parent"][picked.layer]
    rows_NCD, _ = pair.tokens(picked.layer)
    fires_M = (dictionary.encode(rows_NCD[: pair.crosscoder.n_text, 0]) > 0).any(0)
    live = np.flatnonzero(fires_M.cpu().numpy())
    draw = np.random.default_rng([pair.seed, picked.latent])
    drawn = draw.permutation(live[live != picked.latent])
    return [dictionary.decoder_MD[latent] for latent in drawn[:n]]
