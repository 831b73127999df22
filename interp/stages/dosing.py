"""Dose-response of a model's abstention to directions added at the end of the prompt."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from interp.errors import InputError
from interp.stages.readout import Readout
from interp.stats import Interval

if TYPE_CHECKING:
    from torch import Tensor

    from interp.activations import Activations
    from interp.checkpoints import LoadedModel
    from interp.directions import Direction


def end_states(parent: LoadedModel, dev: Readout) -> Activations:
    """The parent's states behind every block at the end of the prompt."""
    from interp.activations import Site, capture

    sites = [Site("resid_post", layer) for layer in range(parent.n_layers)]
    return capture(parent, dev.prompts, sites, ["last_prompt"])


def mean_differences(
    parent: LoadedModel, dev: Readout, acts: Activations | None = None
) -> list[Direction]:
    """The parent's mean difference at the end of the prompt, at every full-attention block.

    Only blocks whose last-token state differs between the classes on dev have a direction: below
    the first block that attends to the whole prompt the last token cannot know the name.

    Args:
        parent: whose direction.
        dev: prompts of both classes.
        acts: its `end_states`, where they are there already.
    """
    from interp.directions import mean_difference

    acts = end_states(parent, dev) if acts is None else acts
    directions = [
        mean_difference(
            acts.read(site, "last_prompt"),
            dev.unknown_N,
            site=site,
            position="last_prompt",
            source=parent.checkpoint.name,
        )
        for site in acts.sites
        if float(acts.read(site, "last_prompt").std(0).max()) > 1e-3
    ]
    return [direction for direction in directions if direction.norm > 1e-3]


def choose(
    child: LoadedModel,
    dev: Readout,
    directions: Sequence[Direction],
    alphas: Sequence[float],
    max_known: float,
) -> tuple[Direction, float]:
    """Direction and strength with the largest J on dev that leave the known people answered.

    Args:
        child: the model that is steered.
        dev: prompts to choose on.
        directions: one of them.
        alphas: strengths, in units of each direction's norm.
        max_known: by how much abstention on the known may rise.

    Raises:
        InputError: there is no direction.
    """
    from interp.interventions import Add

    if not directions:
        raise InputError(
            "steering: at the end of the prompt the parent's states are the same whatever is "
            "asked, so there is no direction; check that its prompts hold the questions"
        )
    baseline_known = dev.probability(child)[~dev.unknown_N].mean()
    best: tuple[float, Direction, float] | None = None
    for direction in directions:
        for alpha in alphas:
            edit = Add(direction.site, direction.vector_D, alpha * direction.norm)
            probability = dev.probability(child, [edit])
            allowed = probability[~dev.unknown_N].mean() <= baseline_known + max_known
            if allowed and (best is None or dev.j(probability) > best[0]):
                best = (dev.j(probability), direction, alpha)
    # Where every strength makes the known abstain, the gentlest at the top block stands in.
    return (best[1], best[2]) if best else (directions[-1], alphas[0])


@dataclass(frozen=True)
class Response:
    """What each strength of a direction does, beside random ones of the same norm.

    Attributes:
        rows: of a table: direction ("parent" or "random"), draw, alpha, group, estimate, lo, hi.
        gains: J beyond the unsteered J, by strength.
        null_gains: the same of each random direction.
    """

    rows: list[dict[str, Any]]
    gains: Mapping[float, Interval]
    null_gains: Mapping[float, list[float]]

    @classmethod
    def of(
        cls,
        child: LoadedModel,
        test: Readout,
        direction: Direction,
        alphas: Sequence[float],
        nulls: Sequence[Tensor],
    ) -> Response:
        """Steers at every strength, with the direction and with each of the nulls."""
        from interp.interventions import Add

        baseline = test.probability(child)
        rows = rows_of(test, baseline, direction="parent", draw=0, alpha=0.0)
        gains: dict[float, Interval] = {}
        null_gains: dict[float, list[float]] = {}
        for alpha in alphas:
            dose = alpha * direction.norm
            steered = test.probability(child, [Add(direction.site, direction.vector_D, dose)])
            rows += rows_of(test, steered, direction="parent", draw=0, alpha=alpha)
            gains[alpha] = test.difference(steered, baseline)
            null_gains[alpha] = []
            for draw, null_D in enumerate(nulls):
                probability = test.probability(child, [Add(direction.site, null_D, dose)])
                rows += rates_of(test, probability, direction="random", draw=draw, alpha=alpha)
                null_gains[alpha].append(test.j(probability) - test.j(baseline))
        return cls(rows, gains, null_gains)

    def net(self, alpha: float) -> Interval:
        """Gain of J at a strength beyond the 95th percentile of the random directions'."""
        gain, beyond = self.gains[alpha], float(np.quantile(self.null_gains[alpha], 0.95))
        return Interval(gain.estimate - beyond, gain.lo - beyond, gain.hi - beyond)


def rows_of(test: Readout, probability: np.ndarray, **keys: Any) -> list[dict[str, Any]]:
    """Rates on unknown and known and J, with intervals."""
    return [
        {**keys, "group": group} | value.columns()
        for group, value in test.groups(probability).items()
    ]


def rates_of(test: Readout, probability: np.ndarray, **keys: Any) -> list[dict[str, Any]]:
    """Like `rows_of` without intervals: a draw of a null needs none, the draws are the interval."""
    values = {
        "unknown": probability[test.unknown_N].mean(),
        "known": probability[~test.unknown_N].mean(),
        "J": test.j(probability),
    }
    nan = float("nan")
    return [
        {**keys, "group": group, "estimate": float(value), "lo": nan, "hi": nan}
        for group, value in values.items()
    ]
