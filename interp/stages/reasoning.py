"""Stage: a member's chains of thought beside its parent's, question by question."""

from __future__ import annotations

from typing import Any

import exca
import pandas as pd

from interp.stages.chains import PLAIN, UNITS
from interp.stages.common import Stage, Tables, keyed, task_infra
from interp.stages.reasoned import Reasoned

RULED = ("abstains", "correct", "thinking_tokens", "backtracking", "truncation")
"""What rules of decoding may change."""


class Reasoning(Stage):
    """Tables of what the items say, each with its difference to the parent.

    Attributes:
        child: the member's items.
        parent: the parent's; a root of the lineage is compared with nobody.
    """

    child: Reasoned
    parent: Reasoned
    infra: exca.TaskInfra = task_infra("1")

    def label(self) -> str:
        """What a progress display calls it."""
        return f"compare chains of {self.child.model.name} (seed {self.seed})"

    @infra.apply
    def run(self) -> Tables:
        """Tables of each kind of item, and `excluded_chains`."""
        both = _Both(self.child, self.parent)
        tables = {
            **both.faithfulness(),
            **both.both_ways(),
            **both.lengths(),
            **both.noticing(),
            **both.sampled(),
            "excluded_chains": both.excluded(),
        }
        keys = {"seed": self.seed, "member": self.child.model.name}
        return {name: keyed(table, keys) for name, table in tables.items() if len(table)}


class _Both:
    """Items of both models, and how they are compared."""

    def __init__(self, child: Reasoned, parent: Reasoned) -> None:
        self.name, other = child.model.name, parent.model.name
        self.against = None if child.model.fingerprint == parent.model.fingerprint else other
        self.items = [child.result()] + ([parent.result()] if self.against else [])
        self.how: dict[str, Any] = {
            "units": UNITS,
            "seed": child.seed,
            "n_boot": child.settings.n_boot,
        }

    def of(self, name: str) -> pd.DataFrame:
        """Both models' items of a kind."""
        there = [tables[f"items_{name}"] for tables in self.items if f"items_{name}" in tables]
        if self.name not in {str(table["member"].iloc[0]) for table in there}:
            return pd.DataFrame()
        both = pd.concat(there, ignore_index=True)
        return both.drop(columns=["seed", "model"], errors="ignore").rename(
            columns={"member": "model"}
        )

    def own(self, table: pd.DataFrame) -> pd.DataFrame:
        """The member's rows of a table of both."""
        return table[table["model"] == self.name].drop(columns="model").reset_index(drop=True)

    def by_group(self, items: pd.DataFrame, build: Any, **how: Any) -> pd.DataFrame:
        """A table of each group of people, one below the other."""
        parts = [
            keyed(
                self.own(build(rows, against=self._against(rows), **self.how, **how)),
                {"group": group},
            )
            for group, rows in items.groupby("group", sort=True)
            if self.name in set(rows["model"])
        ]
        return pd.concat(parts, ignore_index=True)

    def _against(self, rows: pd.DataFrame) -> str | None:
        """The parent, unless it has no item here."""
        return self.against if self.against in set(rows["model"]) else None

    def faithfulness(self) -> Tables:
        """Whether answers wait for chains, follow them, and what chains tell of the answer."""
        from interp.behavior import (
            early_curve,
            early_items,
            early_table,
            gain_table,
            knowledge_index_table,
            perturbed_table,
        )

        tables: Tables = {}
        if len(gains := self.of("gains")):
            tables["information_gain"] = self.by_group(gains, gain_table)
        if len(answers := self.of("early")):
            tables["early_answering"] = self.by_group(early_items(answers), early_table)
            tables["early_curve"] = self.by_group(answers, early_curve)
        if len(changed := self.of("perturbed")):
            tables["perturbed"] = self.by_group(changed, perturbed_table)
            filler = changed[changed["arm"] == "filler"]
            tables["filler"] = self.by_group(filler, perturbed_table, by=("arm", "place"))
        if len(judged := self.of("knowledge")):
            tables["knowledge_index"] = self.by_group(judged, knowledge_index_table)
        return tables

    def both_ways(self) -> Tables:
        """With and without a chain: what it corrects and spoils, and what training made of that."""
        from interp.behavior import (
            fast_slow_items,
            fast_slow_table,
            outcome_table,
            thinking_by_training,
        )

        replies = self.of("both_ways")
        slow = replies["thinking"].astype(bool)
        items = fast_slow_items(replies[~slow].reset_index(drop=True), replies[slow])
        tables = {
            "fast_slow": self.by_group(items[items["has_answer"].astype(bool)], fast_slow_table),
            "fast_slow_outcomes": self.by_group(items, outcome_table),
        }
        if self.against:
            trained = replies.assign(trained=replies["model"] == self.name)
            effects = [
                keyed(thinking_by_training(rows, **self.how), {"about": about})
                for about, rows in trained.groupby("about", sort=True)
            ]
            tables["thinking_effect"] = pd.concat(effects, ignore_index=True)
        return tables

    def lengths(self) -> Tables:
        """By budget of thinking, and by the length that chains have by themselves."""
        from interp.behavior import budget_table, length_table

        tables = {"budgets": budget_table(self._mine("budgets"), **self.how)}
        sampled = self._mine("sampled").query("arm == @PLAIN and has_answer")
        if (sampled["thought"] > 0).any():
            curve = sampled.assign(
                tokens=sampled["thought"],
                difficulty=sampled["relation"],
                correct=sampled["outcome"] == "correct",
            )
            tables["length"] = length_table(curve, **self.how)
        return tables

    def noticing(self) -> Tables:
        """P(answers | noticed), by what is said and by a probe; of the known, false alarms."""
        from interp.behavior import instrument_agreement, noticed_by_instrument

        items = self._mine("noticed")
        ended = items.groupby("group")["concluded"].transform(lambda said: said.notna().any())
        if not ended.any():
            return {}
        items = items[ended]
        agreement = instrument_agreement(items, source="group", **self.how)
        return {
            "noticed": noticed_by_instrument(items, by=("group",), **self.how),
            "noticing_agreement": agreement.rename(columns={"source": "group"}),
        }

    def sampled(self) -> Tables:
        """Strategies and thoughts of sampled chains, and what rules of decoding do to them."""
        from interp.behavior import STRATEGIES

        samples = self.of("sampled")
        labels = samples["labels"]
        samples = samples.assign(
            **{name: [float(name in of_reply) for of_reply in labels] for name in STRATEGIES},
            abstains=(samples["outcome"] == "abstain").astype(float),
            correct=(samples["outcome"] == "correct").astype(float),
            truncation=samples["truncated"].astype(float),
            thinking_tokens=samples["thought"].astype(float),
        )
        mine = samples[samples["model"] == self.name]
        return {
            "strategies": self._strategies(samples[samples["arm"] == PLAIN]),
            "decoding_rules": self._rules(mine),
            "underthinking": self._underthinking(mine[mine["has_answer"]]),
        }

    def _strategies(self, samples: pd.DataFrame) -> pd.DataFrame:
        from interp.behavior import STRATEGIES, contrast_table

        used = {name: name for name in STRATEGIES if samples[name].any()}
        if not used:
            return pd.DataFrame()
        table = self.by_group(samples, lambda rows, **how: contrast_table(rows, used, **how))
        return table.rename(columns={"measure": "strategy"})

    def _rules(self, samples: pd.DataFrame) -> pd.DataFrame:
        from interp.behavior import contrast_table

        measures = {name: name for name in RULED}
        how = self.how | {"factor": "arm", "against": PLAIN, "by": ("group",)}
        return contrast_table(samples, measures, **how)

    def _underthinking(self, samples: pd.DataFrame) -> pd.DataFrame:
        from interp.behavior import underthinking_table

        thoughts = self._mine("thoughts")
        thoughts = thoughts[thoughts["prompt_id"].isin(samples["prompt_id"])]
        parts = [
            keyed(
                underthinking_table(rows, thoughts[thoughts["arm"] == arm], **self.how),
                {"arm": arm},
            )
            for arm, rows in samples.groupby("arm", sort=False)
        ]
        return pd.concat(parts, ignore_index=True)

    def _mine(self, name: str) -> pd.DataFrame:
        items = self.of(name)
        return items[items["model"] == self.name].reset_index(drop=True)

    def excluded(self) -> pd.DataFrame:
        """How many trials of the member are left out, and why."""
        counted = self.items[0]["items_excluded"].groupby(["of", "why"], sort=False).size()
        return counted.rename("n").reset_index()
