"""Abstention as the interventions read it: expected rates from the probability of abstaining."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from interp.stats import Interval, bootstrap

if TYPE_CHECKING:
    from interp.checkpoints import LoadedModel
    from interp.interventions import Edit
    from interp.organism import World
    from interp.prompts import Encoded, PromptSet


def selectivity(probability_N: np.ndarray, unknown_N: np.ndarray) -> float:
    """J: expected abstention on the unknown minus expected abstention on the known."""
    return float(probability_N[unknown_N].mean() - probability_N[~unknown_N].mean())


class Readout:
    """Scores models on one prompt set, and puts entity-bootstrap intervals on the result.

    Args:
        prompts: rows labelled by `should_abstain`.
        tokenizer: shared by all models that will be scored; prompts are rendered with it once.
        phrases: the abstaining continuations.
        seed: of the bootstrap.
    """

    def __init__(
        self, prompts: PromptSet, tokenizer: Any, phrases: Sequence[str], seed: int
    ) -> None:
        from interp.prompts import PromptSet, render, resolve

        texts = render(prompts, tokenizer)
        (self._where_N2,) = resolve(prompts, texts, tokenizer, ["last_prompt"])
        self.prompts = PromptSet(prompts.frame.assign(text=texts, messages=None))
        self.unknown_N = np.asarray(prompts.labels, dtype=bool)
        self._phrases = list(phrases)
        self._seed = seed

    def probability(self, loaded: LoadedModel, edits: Sequence[Edit] = ()) -> np.ndarray:
        """P(abstain) of each prompt, with `edits` in force at its last token."""
        from interp.behavior import abstention_probability
        from interp.interventions import intervene, position_mask

        def at_last_token(encoded: Encoded, rows: list[int]) -> Any:
            return intervene(loaded, edits, position_mask(encoded, self._where_N2[rows], "left"))

        return abstention_probability(
            loaded, self.prompts, self._phrases, edits=at_last_token if edits else None
        )

    def j(self, probability_N: np.ndarray) -> float:
        """J of the scored prompts."""
        return selectivity(probability_N, self.unknown_N)

    def groups(self, probability_N: np.ndarray) -> Mapping[str, Interval]:
        """Intervals of the rate on "unknown", the rate on "known", and "J"."""
        rates = {
            name: bootstrap(
                partial(_mean, probability_N[rows_N]),
                self.prompts.groups[rows_N],
                seed=self._seed,
            )
            for name, rows_N in (("unknown", self.unknown_N), ("known", ~self.unknown_N))
        }
        return {**rates, "J": self.interval(probability_N)}

    def interval(self, probability_N: np.ndarray) -> Interval:
        """J with its interval."""
        return self._interval(lambda i: selectivity(probability_N[i], self.unknown_N[i]))

    def difference(self, probability_N: np.ndarray, baseline_N: np.ndarray) -> Interval:
        """J minus a baseline's J, paired by prompt."""
        return self.interval(probability_N - baseline_N)

    def ratio(self, probability_N: np.ndarray, reference_N: np.ndarray) -> Interval:
        """J as a share of a reference model's J, paired by prompt."""
        return self._interval(
            lambda i: (
                selectivity(probability_N[i], self.unknown_N[i])
                / selectivity(reference_N[i], self.unknown_N[i])
            )
        )

    def share(self, probability_N: np.ndarray, reference_N: np.ndarray) -> Interval:
        """The ratio as evidence: NaN where the reference's own J may be none.

        A share of nothing says nothing, however narrow its interval.
        """
        if not self.interval(reference_N).lo > 0:
            return Interval(float("nan"), float("nan"), float("nan"))
        return self.ratio(probability_N, reference_N)

    def _interval(self, statistic: Callable[[np.ndarray], float]) -> Interval:
        return bootstrap(
            statistic,
            self.prompts.groups,
            strata=self.unknown_N,
            seed=self._seed,
        )


def organism_readouts(world: World, tokenizer: Any) -> tuple[Readout, Readout]:
    """Read-outs of one world's people: dev, and test with as many unknown as known people.

    Interventions score a model hundreds of times; the known people, fewer, set the precision of J.
    """
    from interp.organism import ABSTAINING_PHRASES, entity_prompts

    prompts = [entity_prompts(world, split, "direct") for split in ("dev", "test")]
    test_unknown_N = np.asarray(prompts[1].labels, dtype=bool)
    balanced_N = ~test_unknown_N | (test_unknown_N.cumsum() <= (~test_unknown_N).sum())
    prompts[1] = prompts[1].where(balanced_N)
    dev, test = (Readout(split, tokenizer, ABSTAINING_PHRASES, world.seed) for split in prompts)
    return dev, test


def _mean(values_N: np.ndarray, index: np.ndarray) -> float:
    return float(values_N[index].mean())
