"""What a repair gives back and what it costs: the choice on dev, and the rows of the table."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from interp.stages.readout import Readout
from interp.stages.reply_rates import Rates
from interp.stats import Interval, Weighted, hierarchical_bootstrap, weighted_mean, weighted_ratio

LEAST_LOSS = 0.05
"""Of the parent's abstention on unknown people; a child that lost less has nothing to restore."""
N_BOOT = 1000
"""Resamples of people behind each interval."""


@dataclass(frozen=True, eq=False)
class Arm:
    """A method at one layer or draw, with all of its strengths.

    Attributes:
        method: its name.
        layer: where it acts or reads; -2 where that means nothing.
        strengths: from the gentlest.
        dev: rates on dev, strength by strength.
        test: works out those on test, when this arm is chosen.
    """

    method: str
    layer: int
    strengths: tuple[float, ...]
    dev: Sequence[Rates]
    test: Callable[[], Sequence[Rates]]


@dataclass(frozen=True, eq=False)
class Choice:
    """The arm and strength of a method.

    Attributes:
        arm: chosen.
        index: of the strength in it.
        allowed: strength by strength, whether its cost on dev is small enough.
    """

    arm: Arm
    index: int
    allowed: tuple[bool, ...]


def choose_arm(arms: Sequence[Arm], dev: Readout, before: Rates, max_cost: float) -> Choice:
    """The arm and strength with the largest J on dev among those that cost little there.

    Where all cost too much, the gentlest strength stands in, of the arm where it costs least; it
    is then not `allowed`.

    Args:
        arms: of one method.
        dev: what is chosen on; no other split plays a part.
        before: rates of the child on dev as it is.
        max_cost: most expected accuracy on the known that may be lost.
    """
    cost = [[_cost(dev, before, after) for after in arm.dev] for arm in arms]
    places = [(a, s) for a, arm in enumerate(arms) for s in range(len(arm.strengths))]
    free = [(a, s) for a, s in places if cost[a][s] <= max_cost]
    if free:
        a, s = max(free, key=lambda place: dev.j(arms[place[0]].dev[place[1]].abstain_N))
    else:
        a, s = min((cost[a][0], a) for a in range(len(arms)))[1], 0
    return Choice(arms[a], s, tuple(value <= max_cost for value in cost[a]))


def _cost(readout: Readout, before: Rates, after: Rates) -> float:
    return float((before.right_N - after.right_N)[~readout.unknown_N].mean())


@dataclass(frozen=True, eq=False)
class Outcomes:
    """Puts repairs on the scale from the child to its parent, paired by prompt.

    Attributes:
        test: people that nothing was chosen on.
        before: rates of the child as it is.
        parent: rates of the parent.
        seed: of the bootstrap over people.
    """

    test: Readout
    before: Rates
    parent: Rates
    seed: int

    @property
    def lost(self) -> float:
        """What the child lost of its parent's abstention on unknown people."""
        unknown_N = self.test.unknown_N
        return float((self.parent.abstain_N - self.before.abstain_N)[unknown_N].mean())

    def rows(self, choice: Choice) -> list[dict[str, Any]]:
        """One row a strength of the chosen arm."""
        arm = choice.arm
        each = zip(arm.strengths, choice.allowed, arm.test(), strict=True)
        return [
            {
                **self.row(arm.method, after, strength, arm.layer),
                "chosen": index == choice.index,
                "allowed": allowed,
            }
            for index, (strength, allowed, after) in enumerate(each)
        ]

    def row(
        self, method: str, after: Rates, strength: float = 0.0, layer: int = -2
    ) -> dict[str, Any]:
        """What came back, what it cost, and the plain rates; of nothing lost, nothing came back."""
        known_N, unknown_N = ~self.test.unknown_N, self.test.unknown_N
        gained_N = after.abstain_N - self.before.abstain_N
        lost_N = self.parent.abstain_N - self.before.abstain_N
        nan = float("nan")
        measures = {
            "restored": self._interval(
                unknown_N, weighted_ratio(gained_N[unknown_N], lost_N[unknown_N])
            )
            if self.lost >= LEAST_LOSS
            else Interval(nan, nan, nan),
            "cost": self._mean(known_N, self.before.right_N - after.right_N),
            "known_abstention": self._mean(known_N, after.abstain_N),
            "unknown_abstention": self._mean(unknown_N, after.abstain_N),
            "accuracy": self._mean(known_N, after.right_N),
        }
        row: dict[str, Any] = {
            "method": method,
            "strength": strength,
            "layer": layer,
            "chosen": False,
            "allowed": True,
        }
        for name, value in measures.items():
            row |= value.columns(name)
        return row

    def _mean(self, rows_N: np.ndarray, values_N: np.ndarray) -> Interval:
        return self._interval(rows_N, weighted_mean(values_N[rows_N]))

    def _interval(self, rows_N: np.ndarray, statistic: Weighted) -> Interval:
        """Over the people of one class."""
        people = {"entity": self.test.prompts.groups[rows_N]}
        return hierarchical_bootstrap(statistic, people, n_boot=N_BOOT, seed=self.seed)
