"""Stage: one member's chains of thought, and everything that is asked of them, item by item."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from typing import TYPE_CHECKING, Any

import exca
import numpy as np
import pandas as pd
import pydantic

from interp.behavior.generating.decoding import Decoding
from interp.errors import InputError
from interp.settings import cache_root
from interp.stages.chains import (
    CHAIN,
    PLAIN,
    SUFFIX,
    SWITCHES,
    FactJudge,
    chain_decoding,
    grade_chains,
    graded_replies,
    otherwise_said,
    steps_of,
    strategies_of,
)
from interp.stages.common import ModelRef, Stage, Tables, keyed, task_infra
from interp.stages.reading import Cells

if TYPE_CHECKING:
    from interp.behavior import Chain, Trials
    from interp.checkpoints import LoadedModel
    from interp.organism import World
    from interp.prompts import PromptSet


class ReasoningSettings(pydantic.BaseModel):
    """What is asked of chains of thought.

    Attributes:
        n_people: known people that are asked about, and as many unknown ones.
        samples: sampled chains a question.
        temperature: of these.
        budgets: tokens at which a chain is stopped.
        extensions: how often the end of a chain is replaced.
        alpha: nats that rules of decoding take or give.
        beta: tokens that they last after a thought begins.
        n_splits: outer folds of the probe that notices.
        n_boot: resamples of every interval.
    """

    model_config = pydantic.ConfigDict(extra="forbid", frozen=True)

    n_people: int = pydantic.Field(default=120, ge=10)
    samples: int = pydantic.Field(default=8, ge=2)
    temperature: float = pydantic.Field(default=1.0, gt=0)
    budgets: tuple[int, ...] = (0, 5, 8, 11, 14)
    extensions: tuple[int, ...] = (1, 2)
    alpha: float = pydantic.Field(default=3.0, gt=0)
    beta: int = pydantic.Field(default=12, ge=1)
    n_splits: int = pydantic.Field(default=5, ge=2)
    n_boot: int = pydantic.Field(default=1000, ge=100)


class Reasoned(Stage):
    """Asks one member for chains, and again with its chains cut, changed, stopped and drawn out.

    Attributes:
        model: who is asked.
        scorer: whose probabilities information gain is measured in: another model than those
            whose chains are compared.
        settings: how much is asked.
    """

    model: ModelRef
    scorer: ModelRef
    settings: ReasoningSettings = ReasoningSettings()
    infra: exca.TaskInfra = task_infra("1")

    def label(self) -> str:
        """What a progress display calls it."""
        return f"chains of {self.model.name} (seed {self.seed})"

    @infra.apply
    def run(self) -> Tables:
        """Items by what was asked, as the methods of `_Asked` say, and `items_excluded`."""
        asked = _Asked(self.model.load(self.device), self.world(), self.settings)
        tables = {
            "both_ways": asked.both_ways(),
            "gains": asked.gains(self.scorer.load(self.device)),
            "early": asked.early(),
            "perturbed": asked.perturbed(),
            "knowledge": asked.knowledge(),
            "budgets": asked.budgets(),
            **asked.sampled(),
            "noticed": asked.noticed(),
        }
        tables["excluded"] = pd.concat(asked.excluded, ignore_index=True)
        keys = {"seed": self.seed, "member": self.model.name}
        return {f"items_{name}": keyed(table, keys) for name, table in tables.items() if len(table)}


@dataclass
class _Asked:
    """One model, its questions, and its chains."""

    loaded: LoadedModel
    world: World
    settings: ReasoningSettings

    def __post_init__(self) -> None:
        self.excluded: list[pd.DataFrame] = []

    @property
    def seed(self) -> int:
        return self.world.seed

    @cached_property
    def prompts(self) -> PromptSet:
        return self.asked("cot")

    def asked(self, mode: Any) -> PromptSet:
        from interp.organism import chain_prompts

        return chain_prompts(self.world, "test", mode, self.settings.n_people)

    def decoding(self, **changes: Any) -> Decoding:
        return chain_decoding(self.seed, **changes)

    def replied(self, prompts: PromptSet, decoding: Decoding, **how: Any) -> pd.DataFrame:
        return graded_replies(self.loaded, prompts, decoding, **how)

    @cached_property
    def slow(self) -> pd.DataFrame:
        return self.replied(self.prompts, self.decoding())

    @cached_property
    def chains(self) -> list[Chain]:
        from interp.behavior import read_chains

        found, excluded = read_chains(self.slow, steps_of, end=CHAIN.end)
        self.excluded.append(excluded.assign(of="chains"))
        return found

    def both_ways(self) -> pd.DataFrame:
        """Every question with a chain and without one, and problems with and without a premise."""
        from interp.organism import in_mode, missing_prompts, problem_prompts
        from interp.prompts import PromptSet

        problems = PromptSet.concat(
            [ask(self.world, "test", "cot") for ask in (problem_prompts, missing_prompts)]
        )
        parts = [self.slow.assign(thinking=True)]
        for thinking, sets in (
            (True, [problems]),
            (False, [self.asked("direct"), in_mode(problems, "direct")]),
        ):
            said = self.replied(PromptSet.concat(sets), self.decoding(chain=thinking))
            parts.append(said.assign(thinking=thinking))
        both = pd.concat(parts, ignore_index=True)
        people = both["group"].isin(["known", "unknown"])
        return both.assign(about=people.map({True: "people", False: "problems"}))

    def gains(self, scorer: LoadedModel) -> pd.DataFrame:
        """Of the right answer about known people, and of abstaining about the others."""
        from interp.behavior import gain_trials, information_gain, scored_steps
        from interp.organism import ABSTAINING_PHRASES

        frame = self.prompts.frame
        due = dict(zip(frame["prompt_id"], frame["should_abstain"], strict=True))
        abstaining = {name: ABSTAINING_PHRASES[0] for name in due if due[name]}
        parts = []
        for group in ("known", "unknown"):
            chains = [chain for chain in self.chains if due[chain.prompt_id] == (group != "known")]
            made = partial(gain_trials, self.prompts, chains, scorer.tokenizer)
            made = partial(made, answers=abstaining, suffix=SUFFIX, seed=self.seed)
            if asked := self._trials(f"information gain, {group}", made):
                parts.append(information_gain(scored_steps(scorer, asked)).assign(group=group))
        return _stacked(parts)

    def early(self) -> pd.DataFrame:
        from interp.behavior import cut_trials, early_answers

        given = (self.prompts, self.chains, self.loaded.tokenizer)
        asked = self._trials("early answering", partial(cut_trials, *given, suffix=SUFFIX))
        if asked is None:
            return pd.DataFrame()
        answers = early_answers(self.loaded, asked, self.decoding(chain=False), grade_chains)
        return self._grouped(answers)

    def perturbed(self) -> pd.DataFrame:
        from interp.behavior import (
            before_after,
            filler_trials,
            mistake_trials,
            paraphrase_trials,
            perturbed_answers,
        )
        from interp.organism import mistaken_fact

        given = (self.prompts, self.chains, self.loaded.tokenizer)
        seed = self.seed
        kinds = {
            "mistakes": partial(mistake_trials, *given, maker=mistaken_fact, seed=seed),
            "paraphrase": partial(paraphrase_trials, *given, paraphraser=otherwise_said, seed=seed),
            "filler": partial(filler_trials, *given, suffix=SUFFIX, filler=" .", most=15),
        }
        parts = []
        for name, made in kinds.items():
            if asked := self._trials(name, made):
                decoding = self.decoding(chain=name != "filler")
                answers = perturbed_answers(self.loaded, asked, decoding, grade_chains)
                parts.append(before_after(answers))
        return self._grouped(_stacked(parts))

    def knowledge(self) -> pd.DataFrame:
        """Sentences of chains beside the facts of known people and of cities."""
        from interp.behavior import BM25, Passage, judged_steps, knowledge_items
        from interp.organism import known_facts

        if not self.chains:
            return pd.DataFrame()
        facts = known_facts(self.world)
        passages = [Passage(f"facts#{place}", fact) for place, fact in enumerate(facts)]
        judged = judged_steps(self.chains, BM25(passages), FactJudge())
        return self._grouped(knowledge_items(judged))

    def budgets(self) -> pd.DataFrame:
        from interp.behavior import budget_replies, thinking_arms

        settings = self.settings
        arms = thinking_arms(
            self.decoding(), budgets=settings.budgets, extensions=settings.extensions
        )
        said = budget_replies(self.loaded, self.prompts, arms, cache_root() / "replies")
        return grade_chains(self.prompts, said)

    def sampled(self) -> Tables:
        """Sampled chains with and without a rule of decoding, and their thoughts."""
        from interp.behavior import thought_rows
        from interp.interventions import abstention_boost, switch_penalty
        from interp.organism import ABSTAINING_PHRASES

        tokenizer, settings = self.loaded.tokenizer, self.settings
        dose: dict[str, Any] = {
            "alpha": settings.alpha,
            "beta": settings.beta,
            "words": SWITCHES,
        }
        # A chain that abstains begins with the first word of the phrase, and no other chain does.
        word = ABSTAINING_PHRASES[0].split()[0]
        rules = {
            PLAIN: None,
            "switch penalty": switch_penalty(tokenizer, **dose),
            "abstention boost": abstention_boost(tokenizer, [word], **dose),
        }
        drawn = self.decoding(samples=settings.samples, temperature=settings.temperature)
        answers = dict(zip(*(self.prompts.frame[c] for c in ("prompt_id", "answers")), strict=True))
        samples, thoughts = [], []
        for arm, rule in rules.items():
            said = self.replied(self.prompts, drawn, rule=rule)
            samples.append(said.assign(arm=arm, labels=strategies_of(said["text"])))
            rows = thought_rows(said, answers, tokenizer, words=SWITCHES, anywhere=True)
            thoughts.append(rows.assign(arm=arm))
        return {
            "sampled": pd.concat(samples, ignore_index=True),
            "thoughts": pd.concat(thoughts, ignore_index=True),
        }

    def noticed(self) -> pd.DataFrame:
        """What chains conclude, beside a held-out probe's probability that nobody can know."""
        from interp.probes import grouped_folds, layers_at, p_ik

        items = self.slow
        due_N, entity_N = items["should_abstain"].to_numpy(bool), items["entity"].to_numpy()
        folds = grouped_folds(entity_N, due_N, self.settings.n_splits, self.seed)
        acts = layers_at(Cells().read(self.loaded, self.prompts).acts)
        sees = p_ik(acts, due_N, entity_N, folds, seed=self.seed)
        phrase = [_phrased(text) for text in items["text"]]
        ended = ~items["truncated"].to_numpy(bool) & (items["answer"] != "").to_numpy()
        return items.assign(
            said=np.array(phrase, dtype=float),
            p_noticed=sees.probability_N,
            concluded=items["kind"].where(ended, None),
        )

    def _trials(self, of: str, made: Callable[[], Trials]) -> Trials | None:
        """The trials, unless no chain is there that can be changed; what is left out is noted."""
        try:
            asked = made()
        except InputError as error:
            self.excluded.append(pd.DataFrame([{"of": of, "why": str(error)}]))
            return None
        self.excluded.append(asked.excluded.assign(of=of))
        return asked

    def _grouped(self, items: pd.DataFrame) -> pd.DataFrame:
        """With the entity and the group of each item's question."""
        if items.empty:
            return items
        frame = self.prompts.frame.set_index("prompt_id").loc[items["prompt_id"]]
        return items.assign(
            entity=frame["entity"].to_numpy(), group=[meta["group"] for meta in frame["meta"]]
        )


def _stacked(parts: Sequence[pd.DataFrame]) -> pd.DataFrame:
    return pd.concat(parts, ignore_index=True) if parts else pd.DataFrame()


def _phrased(text: str) -> bool:
    from interp.behavior.grading.outcomes import holds_answer
    from interp.organism import ABSTAINING_PHRASES

    return holds_answer(text, ABSTAINING_PHRASES)
