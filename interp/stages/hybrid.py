"""Stage: the parent steered where its child would go on otherwise, and how far that takes it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import exca
import numpy as np
import pandas as pd
import pydantic

from interp.behavior.generating.decoding import Decoding
from interp.stages.chains import CHAIN, chain_decoding, grade_chains
from interp.stages.common import ModelRef, Stage, Tables, keyed, task_infra
from interp.stages.strategies import Strategize, chosen, directions_of
from interp.stages.written import ChainTexts, written

if TYPE_CHECKING:
    from interp.activations import Site
    from interp.behavior import Reply
    from interp.checkpoints import LoadedModel
    from interp.directions import Direction
    from interp.interventions.hybrid_steps import Categorise, Written
    from interp.prompts import PromptSet

MARKS = {"known": "correct", "unknown": "answers"}
"""What counts in each group: being right about the known, and naming a number or a country, as was
asked, about the unknown, where the gap between parent and child is what training took away."""


class HybridSettings(pydantic.BaseModel):
    """How the hybrid is made and tried.

    Attributes:
        n_people: of each group that are asked.
        coefficients: tried on dev, in units of the mean activation's norm.
        n_draws: of the random arms.
        n_boot: resamples of every interval.
    """

    model_config = pydantic.ConfigDict(extra="forbid", frozen=True)

    n_people: int = pydantic.Field(default=80, ge=10)
    coefficients: tuple[float, ...] = (0.5, 1.0, 2.0, 4.0, 8.0)
    n_draws: int = pydantic.Field(default=3, ge=1)
    n_boot: int = pydantic.Field(default=1000, ge=100)


class Hybrid(Stage):
    """Writes with the parent, reads along with the child, and steers where the two differ.

    Attributes:
        child: reads along: the thinking model.
        parent: writes: the base model.
        strategies: the parent's directions, with the layers that dev chose.
        settings: how it is made.
    """

    child: ModelRef
    parent: ModelRef
    strategies: Strategize
    settings: HybridSettings = HybridSettings()
    infra: exca.TaskInfra = task_infra("1")

    def label(self) -> str:
        """What a progress display calls it."""
        return f"hybrid of {self.parent.name} and {self.child.name} (seed {self.seed})"

    @infra.apply
    def run(self) -> Tables:
        """Table `hybrid`: every arm in either group, with the share of the gap it recovers."""
        from interp.interventions import gap_table, hybrid_items

        base, thinker = self.parent.load(self.device), self.child.load(self.device)
        dev = written(self.world(), "dev", self.strategies.settings.n_people, base.tokenizer)
        found = directions_of(base, dev, self.seed)
        directions = chosen(self.strategies.result()["strategy_layers"], found)
        if not directions:
            return {}
        labels = sorted(directions)
        categorise, site = reader(thinker, dev, labels)
        bias = shift(base, thinker, dev, site)
        tables = []
        for group in MARKS:
            made = (base, thinker, categorise, site)
            coefficient = self._chosen(group, *made, [directions[name] for name in labels], bias)
            prompts = self._asked("test", group)
            items = hybrid_items(
                base,
                thinker,
                prompts,
                chain_decoding(self.seed),
                _vectors([directions[name] for name in labels], coefficient, bias),
                categorise,
                site,
                self._marks(prompts, group),
                oracle=oracle(thinker, prompts, chain_decoding(self.seed), labels),
                n_draws=self.settings.n_draws,
                seed=self.seed,
            )
            table = gap_table(items, seed=self.seed, n_boot=self.settings.n_boot)
            where = {"group": group, "mark": MARKS[group], "coefficient": coefficient}
            tables.append(keyed(table, where))
        keys = {"seed": self.seed, "member": self.child.name, "parent": self.parent.name}
        return {"hybrid": keyed(pd.concat(tables, ignore_index=True), keys)}

    def _chosen(
        self,
        group: str,
        base: LoadedModel,
        thinker: LoadedModel,
        categorise: Categorise,
        site: Site,
        directions: Sequence[Direction],
        bias: Direction | None,
    ) -> float:
        """The coefficient with which the full arm does best on dev."""
        from interp.interventions import hybrid_replies

        prompts = self._asked("dev", group)
        marks = self._marks(prompts, group)

        def share(coefficient: float) -> float:
            vectors = _vectors(directions, coefficient, bias)
            given = (base, thinker, prompts, chain_decoding(self.seed), vectors, categorise, site)
            return float(np.mean(marks(hybrid_replies(*given, seed=self.seed).replies)))

        return max(self.settings.coefficients, key=share)

    def _asked(self, split: Any, group: str) -> PromptSet:
        from interp.organism import chain_prompts

        prompts = chain_prompts(self.world(), split, "cot", self.settings.n_people)
        return prompts.where(should_abstain=group == "unknown")

    def _marks(self, prompts: PromptSet, group: str) -> Callable[[list[Reply]], Sequence[bool]]:
        from interp.behavior import reply_frame

        def marks(said: list[Reply]) -> list[bool]:
            graded = grade_chains(prompts, reply_frame(said))
            met = graded["outcome"] == "correct" if group == "known" else graded["fitting"]
            return met.tolist()

        return marks


def reader(
    thinker: LoadedModel, chains: ChainTexts, labels: Sequence[str]
) -> tuple[Categorise, Site]:
    """The category of a state of the thinker, by the logistic probe and layer that tell best.

    Fitted on the states that write the sentences of chains; the layer is the one whose held-out
    people are told best.
    """
    import torch
    from sklearn.linear_model import LogisticRegression
    from sklearn.model_selection import GroupKFold, cross_val_score
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    from interp.activations import Site

    sites = [Site("resid_post", layer) for layer in range(thinker.n_layers)]
    acts = chains.read(thinker, sites)
    windows = chains.windows[chains.windows["label"].isin(labels)]
    number = {label: place for place, label in enumerate(labels)}
    rows = [(row.row, place, number[row.label]) for row in windows.itertuples()
            for place in range(row.start, row.stop)]  # fmt: skip
    row_N, place_N, label_N = np.array(rows).T
    people_N = np.array(chains.people)[row_N]

    def states(site: Site) -> np.ndarray:
        by_row = {row: acts.of(site, row).float().numpy() for row in np.unique(row_N).tolist()}
        return np.stack([by_row[row][at] for row, at in zip(row_N, place_N, strict=True)])

    def model() -> Any:
        return make_pipeline(StandardScaler(), LogisticRegression(C=0.1, max_iter=1000))

    def told(site: Site) -> float:
        folds = GroupKFold(5)
        return float(
            cross_val_score(model(), states(site), label_N, groups=people_N, cv=folds).mean()
        )

    best = max(sites, key=told)
    fitted = model().fit(states(best), label_N)

    def categorise(acts_ND: torch.Tensor) -> torch.Tensor:
        return torch.from_numpy(fitted.predict(acts_ND.float().cpu().numpy()))

    return categorise, best


def shift(
    base: LoadedModel, thinker: LoadedModel, chains: ChainTexts, site: Site
) -> Direction | None:
    """What training moved the states of chains by in the mean, whatever they do: the bias.

    None where nothing moved, as in layers that were frozen.
    """
    from interp.directions import Direction

    base_D, thinker_D = (
        chains.read(loaded, [site]).read(site, "think_mean").double().mean(0)
        for loaded in (base, thinker)
    )
    moved_D = thinker_D - base_D
    norm = float(moved_D.norm())
    if norm <= 1e-6 * float(base_D.norm()):
        return None
    unit_D = (moved_D / norm).float()
    return Direction(unit_D, norm, site, "think_mean", base.checkpoint.name, "mean_shift")


def oracle(
    thinker: LoadedModel, prompts: PromptSet, decoding: Decoding, labels: Sequence[str]
) -> dict[str, list[int]]:
    """The category of each step of the thinker's own chains; none of one that has no end."""
    from interp.behavior import StrategyRules, replies
    from interp.directions import chain_sentences
    from interp.interventions import in_order
    from interp.interventions.hybrid_steps import NO_CATEGORY
    from interp.prompts import render

    rules = StrategyRules.load("organism")
    said = in_order(replies(thinker, prompts, decoding))
    lengths = [
        len(thinker.tokenizer(text)["input_ids"]) for text in render(prompts, thinker.tokenizer)
    ]
    steps = {reply.prompt_id: [NO_CATEGORY] * len(reply.tokens) for reply in said}
    ended = np.array([CHAIN.end in reply.text and bool(reply.thought) for reply in said])
    if not ended.any():
        return steps
    kept = np.flatnonzero(ended)
    texts = [said[row].text for row in kept]
    sentences = chain_sentences(prompts.where(ended), texts, thinker.tokenizer, chain_end=CHAIN.end)
    for row, of_row in sentences.groupby("row"):
        of_reply, length = steps[said[kept[row]].prompt_id], lengths[kept[row]]
        found = rules.label(of_row["text"].tolist())
        for label, start, stop in zip(found, of_row["start"], of_row["stop"], strict=True):
            if label.label in labels:
                for step in range(start - length, min(stop - length, len(of_reply))):
                    of_reply[step] = list(labels).index(label.label)
    return steps


def _vectors(
    directions: Sequence[Direction], coefficient: float, bias: Direction | None
) -> Written:
    from interp.interventions import Written

    return Written(directions, [coefficient] * len(directions), bias=bias, bias_coefficient=1.0)
