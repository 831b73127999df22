"""What is measured of a snapshot beside its parent: behaviour, read-out and representation."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pydantic
from scipy.special import logit

from interp.errors import InputError
from interp.stages.readout import Readout, organism_readouts
from interp.stats import Interval, auroc, bootstrap, hierarchical_bootstrap, weighted_auroc

if TYPE_CHECKING:
    from torch import Tensor

    from interp.checkpoints import LoadedModel
    from interp.directions import Direction
    from interp.organism import World
    from interp.probes import Fold

NO_LAYER = -2
"""The layer of a measure that has none."""

ALIKE = 1e-3
"""Largest standard deviation of states that are the same in every prompt, but for rounding."""

GAIN_AT = "last_prompt"
"""Where the readout gain is measured: the abstention is read from this token."""


class TrajectorySettings(pydantic.BaseModel):
    """Places, folds and resamples of the trajectory stage."""

    model_config = pydantic.ConfigDict(extra="forbid", frozen=True)

    positions: tuple[str, ...] = ("entity_last", "last_prompt")
    """Where representations are read; "last_prompt", where gains are, is among them."""
    layers: tuple[int, ...] | None = None
    """Blocks whose outputs one may be chosen from, on dev; None is all."""
    n_splits: int = 5
    n_boot: int = pydantic.Field(default=300, ge=1)
    """Resamples behind each interval."""
    step: float = pydantic.Field(default=0.05, gt=0)
    """To either side in the finite difference of the gain, in norms of the parent's direction."""
    near: float = pydantic.Field(default=0.05, ge=0)
    """The gain is measured from the lowest layer too that reads this nearly as well as the best: at
    the last block the best one would leave nothing above it but the head."""

    @pydantic.field_validator("positions")
    @classmethod
    def _has_the_end(cls, positions: tuple[str, ...]) -> tuple[str, ...]:
        if GAIN_AT not in positions:
            raise ValueError(f"expected {GAIN_AT} among them, where the gain is measured")
        return positions


@dataclass(frozen=True, eq=False)
class Reference:
    """What the parent gives: layers chosen on dev, its states on test, its directions and gains.

    Attributes:
        test: prompts that everything is reported on.
        layer_of: the layer of each position that reads best in the parent, on dev.
        acts: the parent's states on test, (n, d_model), by position.
        directions: the parent's mean differences at the last token, from dev: "gain" at the layer
            that reads best, "gain_early" at the lowest one that reads nearly as well.
        gains: the parent's readout gain on each prompt along each of them.
        folds: of the test prompts, by person.
        settings: resamples and step.
        seed: of folds and resamples.
    """

    test: Readout
    layer_of: dict[str, int]
    acts: dict[str, Tensor]
    directions: dict[str, Direction]
    gains: dict[str, np.ndarray]
    folds: list[Fold]
    settings: TrajectorySettings
    seed: int

    @classmethod
    def of(cls, parent: LoadedModel, world: World, settings: TrajectorySettings) -> Reference:
        """Chooses on dev and reads the parent on test."""
        from interp.activations import Site
        from interp.directions import mean_difference
        from interp.probes import grouped_folds

        dev, test = organism_readouts(world, parent.tokenizer)
        layers = range(parent.n_layers) if settings.layers is None else settings.layers
        on_dev = _read(parent, dev, [(layer, at) for layer in layers for at in settings.positions])
        read = _auroc_by_layer(on_dev, dev, settings, world.seed)
        layer_of = {at: max(of_layer, key=of_layer.__getitem__) for at, of_layer in read.items()}
        best = read[GAIN_AT][layer_of[GAIN_AT]]
        early = min(
            layer for layer, value in read[GAIN_AT].items() if value >= best - settings.near
        )
        directions = {
            name: mean_difference(
                on_dev[layer, GAIN_AT],
                dev.unknown_N,
                site=Site("resid_post", layer),
                position=GAIN_AT,
                source=parent.checkpoint.name,
            )
            for name, layer in (("gain", layer_of[GAIN_AT]), ("gain_early", early))
        }
        on_test = _read(parent, test, [(layer, at) for at, layer in layer_of.items()])
        return cls(
            test=test,
            layer_of=layer_of,
            acts={at: on_test[layer, at] for at, layer in layer_of.items()},
            directions=directions,
            gains={
                name: readout_gain(parent, test, direction, settings.step)
                for name, direction in directions.items()
            },
            folds=grouped_folds(test.prompts.groups, test.unknown_N, settings.n_splits, world.seed),
            settings=settings,
            seed=world.seed,
        )

    def measured(self, loaded: LoadedModel) -> Iterator[dict[str, Any]]:
        """The rows of one model: measure, layer, position, estimate, lo, hi."""
        nowhere = {"layer": NO_LAYER, "position": ""}
        behaviour = self.test.groups(self.test.probability(loaded))
        for measure, value in (*behaviour.items(), ("accuracy", self._accuracy(loaded))):
            yield {"measure": measure, **nowhere, **value.columns()}
        for measure, direction in self.directions.items():
            where = {"layer": direction.site.layer, "position": GAIN_AT}
            yield {"measure": measure, **where, **self._gain(loaded, measure).columns()}
        acts = _read(loaded, self.test, [(layer, at) for at, layer in self.layer_of.items()])
        for at, layer in self.layer_of.items():
            for measure, value in self._held(self.acts[at], acts[layer, at]).items():
                yield {"measure": measure, "layer": layer, "position": at, **value.columns()}

    def _accuracy(self, loaded: LoadedModel) -> Interval:
        """Probability that the reply begins with the right answer, about people who are known."""
        from interp.behavior import continuation_logprobs

        known = self.test.prompts.where(~self.test.unknown_N)
        answers = known.frame["answers"]
        texts = sorted({text for of_row in answers for text in of_row})
        right_NC = np.array([[text in of_row for text in texts] for of_row in answers])
        logprob_NC = continuation_logprobs(loaded, known, texts).double().numpy()
        right_N = (np.exp(logprob_NC) * right_NC).sum(1)
        return bootstrap(
            lambda rows_M: float(right_N[rows_M].mean()),
            known.groups,
            n_boot=self.settings.n_boot,
            seed=self.seed,
        )

    def _gain(self, loaded: LoadedModel, name: str) -> Interval:
        """The mean gain as a share of the parent's, paired by prompt."""
        of_parent_N = self.gains[name]
        gain_N = readout_gain(loaded, self.test, self.directions[name], self.settings.step)
        return self._over_people(lambda w_BN: (w_BN @ gain_N) / (w_BN @ of_parent_N))

    def _held(self, parent_ND: Tensor, child_ND: Tensor) -> dict[str, Interval]:
        """What one place holds, beside what the parent held there."""
        from interp.probes import out_of_fold_scores, rho, transfer_scores

        label_N, folds = self.test.unknown_N, self.folds
        own_N = out_of_fold_scores(child_ND, label_N, folds)
        of_parent_N, of_child_N = transfer_scores(parent_ND, child_ND, label_N, folds)
        kept = rho(
            of_parent_N,
            of_child_N,
            label_N,
            {"entity": self.test.prompts.groups},
            seed=self.seed,
            n_boot=self.settings.n_boot,
        )
        of_parent_D, of_child_D = (_difference(acts, label_N) for acts in (parent_ND, child_ND))
        parents, childs = of_parent_D @ of_parent_D, of_child_D @ of_child_D
        apart = childs > 0  # where all prompts have one state there is no direction to compare
        return {
            "auroc": self._over_people(weighted_auroc(own_N, label_N)),
            "rho": kept,
            "cosine": _exact(of_parent_D @ of_child_D / np.sqrt(parents * childs))
            if apart
            else _exact(np.nan),
            "norm_ratio": _exact(np.sqrt(childs / parents)),
        }

    def _over_people(self, statistic: Any) -> Interval:
        """A statistic of weighted prompts with its interval, 95% over people."""
        return hierarchical_bootstrap(
            statistic,
            {"entity": self.test.prompts.groups},
            n_boot=self.settings.n_boot,
            seed=self.seed,
            strata=self.test.unknown_N,
        )


def readout_gain(
    loaded: LoadedModel, readout: Readout, direction: Direction, step: float
) -> np.ndarray:
    """How much the log odds of abstaining rise for one unit of a mean difference, [n].

    A symmetric finite difference: the direction is added to, and taken off, the state of the last
    token of each prompt.

    Args:
        loaded: whose read-out it is.
        readout: the prompts.
        direction: in units of its `norm`.
        step: to either side, in those units.
    """
    from interp.interventions import Add

    ahead_N, behind_N = (
        logit(
            readout.probability(
                loaded, [Add(direction.site, direction.vector_D, way * step * direction.norm)]
            )
        )
        for way in (1, -1)
    )
    return (ahead_N - behind_N) / (2 * step)


def _read(
    loaded: LoadedModel, readout: Readout, places: Sequence[tuple[int, str]]
) -> dict[tuple[int, str], Tensor]:
    """Outputs of blocks at positions, (n, d_model) by (layer, position)."""
    from interp.activations import Site, capture

    sites = [Site("resid_post", layer) for layer in sorted({layer for layer, _ in places})]
    positions = sorted({at for _, at in places})
    acts = capture(loaded, readout.prompts, sites, positions)
    return {(layer, at): acts.read(Site("resid_post", layer), at) for layer, at in places}


def _auroc_by_layer(
    acts: dict[tuple[int, str], Tensor], dev: Readout, settings: TrajectorySettings, seed: int
) -> dict[str, dict[int, float]]:
    """What a probe reads, by position and layer; none where all prompts have one state."""
    from interp.probes import grouped_folds, out_of_fold_scores

    folds = grouped_folds(dev.prompts.groups, dev.unknown_N, settings.n_splits, seed)
    read: dict[str, dict[int, float]] = {at: {} for at in settings.positions}
    for (layer, at), acts_ND in acts.items():
        if float(acts_ND.std(0).max()) > ALIKE:
            scores_N = out_of_fold_scores(acts_ND, dev.unknown_N, folds)
            read[at][layer] = auroc(scores_N, dev.unknown_N)
    for at, of_layer in read.items():
        if not of_layer:
            raise InputError(
                f"trajectory: at {at} all prompts have one state in every layer asked for; name a "
                "layer that attends to the whole prompt"
            )
    return read


def _difference(acts_ND: Tensor, label_N: np.ndarray) -> np.ndarray:
    """Mean of the unknown less that of the known, [D]."""
    acts = acts_ND.double().cpu().numpy()
    return acts[label_N].mean(0) - acts[~label_N].mean(0)


def _exact(value: float) -> Interval:
    """A value without an interval: what noise adds to a length makes a bootstrap's miss it."""
    return Interval(float(value), float("nan"), float("nan"))
