"""The ways to repair a child without training: each method's arms, and which was chosen on dev."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import cache, cached_property

import numpy as np
from torch import Tensor

from interp.activations import Site
from interp.checkpoints import LoadedModel
from interp.directions import Direction, random_directions
from interp.interventions import Add, Bias, graft, kl_bounded
from interp.interventions.gated import Gate
from interp.organism import World, neutral_prompts
from interp.prompts import PromptSet
from interp.stages.dosing import mean_differences
from interp.stages.repair import RepairSettings
from interp.stages.repair_probes import NameProbes, Scores
from interp.stages.repairing import Arm, Choice, choose_arm
from interp.stages.reply_rates import Rates, Replies


class Arms:
    """What each method does to one child, worked out when it is asked for.

    Args:
        child: the model that is repaired.
        parent: what it was trained from.
        dev: people to choose on.
        test: people to report.
        settings: strengths.
        world: whose people the KL bound is worked out on; its seed is that of folds and nulls.
    """

    def __init__(
        self,
        child: LoadedModel,
        parent: LoadedModel,
        dev: Replies,
        test: Replies,
        settings: RepairSettings,
        world: World,
    ) -> None:
        self._child, self._parent = child, parent
        self._dev, self._test = dev, test
        self._settings, self._world, self._seed = settings, world, world.seed
        self.before_dev, self.before_test = dev.rates(child), test.rates(child)
        self._of_method: Mapping[str, Callable[[], list[Arm]]] = {
            "steering": self.steering,
            "bounded": self.bounded,
            "rule": self.rule,
            "probe": self.probe,
            "probe_steering": self.probe_steering,
            "own_probe": self.own_probe,
            "graft": self.graft,
            "random": self.random,
            "shuffled": self.shuffled,
        }

    def chosen(self, method: str) -> Choice:
        """The method's arm and strength with the largest J on dev that cost little there."""
        arms = self._of_method[method]()
        return choose_arm(arms, self._dev.readout, self.before_dev, self._settings.max_cost)

    @cached_property
    def _probes(self) -> NameProbes:
        prompts = self._dev.readout.prompts, self._test.readout.prompts
        return NameProbes(self._child, self._parent, *prompts, self._settings.n_splits, self._seed)

    @cached_property
    def _directions(self) -> list[Direction]:
        return mean_differences(self._parent, self._dev.readout)

    @cached_property
    def _followed(self) -> Direction:
        """The direction of the layer that steering chose on dev."""
        layer = self.chosen("steering").arm.layer
        return next(one for one in self._directions if one.site.layer == layer)

    @cached_property
    def _steering(self) -> list[Arm]:
        return [
            self._added("steering", one.site, one.vector_D, self._settings.alphas, one.norm)
            for one in self._directions
        ]

    def steering(self) -> list[Arm]:
        """The parent's mean difference added at the last token of the prompt, layer by layer."""
        return self._steering

    def bounded(self) -> list[Arm]:
        """The direction that steering chose, as far as a KL budget on known people allows.

        These people are of a split of their own.
        """
        asked = neutral_prompts(self._world)
        direct_N = np.array([meta["mode"] == "direct" for meta in asked.frame["meta"]])
        neutral = asked.where(direct_N & (direct_N.cumsum() <= self._settings.n_neutral))
        one, budgets = self._followed, self._settings.budgets
        doses = [budget_dose(self._child, neutral, one, budget) for budget in budgets]
        return [self._added("bounded", one.site, one.vector_D, budgets, one.norm, doses)]

    def random(self) -> list[Arm]:
        """Random directions as long as the parent's, at the layer that steering chose."""
        like = self._followed
        drawn_RD = random_directions(self._settings.n_null, self._child.d_model, self._seed)
        return [
            self._added("random", like.site, null_D, self._settings.alphas, like.norm)
            for null_D in drawn_RD
        ]

    def rule(self) -> list[Arm]:
        """The logit of the abstaining phrase's first token raised where the reply begins."""
        rules = [self._rule(nats) for nats in self._settings.nats]
        return [
            Arm(
                "rule",
                -2,
                self._settings.nats,
                self._dev.under_rules(self._child, rules),
                lambda: self._test.under_rules(self._child, rules),
            )
        ]

    def probe(self) -> list[Arm]:
        """The rule where the parent's probe at the name, read in the child, fires."""
        return [self._gated("probe", self._probes.of_parent, *self._forced)]

    def probe_steering(self) -> list[Arm]:
        """Steering, at any of its layers and strengths, where the parent's probe fires."""
        return [
            self._gated("probe_steering", self._probes.of_parent, acted, _later(arm.test, index))
            for arm in self._steering
            for index, acted in enumerate(arm.dev)
        ]

    def own_probe(self) -> list[Arm]:
        """The rule where a probe fitted in the child itself fires."""
        return [self._gated("own_probe", self._probes.of_child, *self._forced)]

    def shuffled(self) -> list[Arm]:
        """Probes of the parent's activations that were fitted to shuffled labels."""
        drawn = self._probes.shuffled(self._settings.n_null)
        return [self._gated("shuffled", scores, *self._forced) for scores in drawn]

    def graft(self) -> list[Arm]:
        """The child's lower blocks under the parent's upper ones, from all but one downwards."""
        sizes = tuple(range(self._child.n_layers - 1, 0, -1))

        def rates(replies: Replies) -> list[Rates]:
            return [replies.rates(graft(self._parent, self._child, n)) for n in sizes]

        strengths = tuple(float(n) for n in sizes)
        return [Arm("graft", -2, strengths, rates(self._dev), lambda: rates(self._test))]

    def _added(
        self,
        method: str,
        site: Site,
        vector_D: Tensor,
        strengths: Sequence[float],
        norm: float,
        doses: Sequence[float] | None = None,
    ) -> Arm:
        """A direction added in several doses, which are the strengths unless given."""
        each = [[Add(site, vector_D, dose * norm)] for dose in (doses or strengths)]

        def rates(replies: Replies) -> list[Rates]:
            return [replies.rates(self._child, edits) for edits in each]

        dev = rates(self._dev)
        # Steering and steering behind a gate share what they read on test.
        return Arm(method, site.layer, tuple(strengths), dev, cache(lambda: rates(self._test)))

    def _gated(
        self,
        method: str,
        scores: Scores,
        acted_dev: Rates,
        acted_test: Callable[[], Rates],
    ) -> Arm:
        """An intervention behind gates that fire on given shares of the known people of dev."""
        known_M = scores.dev_N[~self._dev.readout.unknown_N]
        gates = [Gate.firing_on(share, known_M) for share in self._settings.shares]

        def on_test() -> list[Rates]:
            acted = acted_test()
            return [self.before_test.where(gate.fires(scores.test_N), acted) for gate in gates]

        dev = [self.before_dev.where(gate.fires(scores.dev_N), acted_dev) for gate in gates]
        return Arm(method, scores.layer, self._settings.shares, dev, on_test)

    def _rule(self, nats: float) -> Bias:
        return Bias(self._dev.opening_ids, nats, after=(), lasting=1)

    @cached_property
    def _forced(self) -> tuple[Rates, Callable[[], Rates]]:
        """The rule at full strength on everybody: on dev, and on test when asked for."""
        rule = self._rule(self._settings.firing_nats)
        on_test = self._test.under_rules(self._child, [rule])[0]
        return self._dev.under_rules(self._child, [rule])[0], lambda: on_test


def budget_dose(
    child: LoadedModel, neutral: PromptSet, direction: Direction, budget: float
) -> float:
    """How far a direction may be followed, in units of its norm; a budget of 0 allows nothing.

    The largest coefficient that the bound allows: the published one, with a term less, shrinks back
    to 0 where the budget is large.
    """
    if budget == 0:
        return 0.0
    return kl_bounded(child, neutral, direction, epsilon=budget).largest


def _later(rates: Callable[[], Sequence[Rates]], index: int) -> Callable[[], Rates]:
    return lambda: rates()[index]
