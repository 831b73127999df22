"""Stage: a member's chains of thought beside its parent's, question by question."""

from __future__ import annotations

from typing import Any

import exca
import pandas as pd

from interp.stages.chains import UNITS
from interp.stages.common import Stage, Tables, keyed, task_infra
from interp.stages.reasoned import PLAIN, Reasoned


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
        both = pd.concat([tables[name] for tables in self.items], ignore_index=True)
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

        answers, perturbed = self.of("early"), self.of("perturbed")
        filler = perturbed["arm"] == "filler"
        return {
            "information_gain": self.by_group(self.of("gains"), gain_table),
            "early_answering": self.by_group(early_items(answers), early_table),
            "early_curve": self.by_group(answers, early_curve),
            "perturbed": self.by_group(perturbed, perturbed_table),
            "filler": self.by_group(perturbed[filler], perturbed_table, by=("arm", "place")),
            "knowledge_index": self.by_group(self.of("knowledge"), knowledge_index_table),
        }

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
        known = items[~items["should_abstain"].astype(bool)]
        tables = {
            "fast_slow": self.own(fast_slow_table(known, against=self.against, **self.how)),
            "fast_slow_outcomes": self.by_group(items, outcome_table),
        }
        if self.against:
            trained = replies.assign(trained=replies["model"] == self.name)
            tables["thinking_effect"] = thinking_by_training(trained, **self.how)
        return tables

    def lengths(self) -> Tables:
        """By budget of thinking, and by the length that chains have by themselves."""
        from interp.behavior import budget_table, length_table

        budgets = self.of("budgets")
        own = budgets[budgets["model"] == self.name]
        sampled = self.of("sampled")
        about = sampled["arm"].eq(PLAIN) & sampled["model"].eq(self.name) & sampled["has_answer"]
        curve = sampled[about].assign(tokens=sampled["thought"], difficulty=sampled["relation"])
        curve = curve.assign(correct=curve["outcome"] == "correct")
        return {
            "budgets": budget_table(own, **self.how),
            "length": length_table(curve, **self.how),
        }

    def noticing(self) -> Tables:
        """P(answers | noticed), by what is said and by a probe, where nobody can know."""
        from interp.behavior import instrument_agreement, noticed_by_instrument

        items = self.of("noticed")
        due = items[items["should_abstain"].astype(bool) & items["model"].eq(self.name)]
        return {
            "noticed": noticed_by_instrument(due, **self.how),
            "noticing_agreement": instrument_agreement(due, source="model", **self.how).drop(
                columns="source"
            ),
        }

    def sampled(self) -> Tables:
        """Strategies and thoughts of sampled chains, and what rules of decoding do to them."""
        from interp.behavior import STRATEGIES, contrast_table, underthinking_table

        samples = self.of("sampled")
        labels = samples["labels"]
        samples = samples.assign(
            **{name: [float(name in of_reply) for of_reply in labels] for name in STRATEGIES},
            abstains=(samples["outcome"] == "abstain").astype(float),
            correct=(samples["outcome"] == "correct").astype(float),
            truncation=samples["truncated"].astype(float),
            thinking_tokens=samples["thought"].astype(float),
        )
        plain = samples[samples["arm"] == PLAIN]
        used = {name: name for name in STRATEGIES if plain[name].any()}
        strategies = self.by_group(
            plain, lambda rows, **how: contrast_table(rows, used, **how)
        ).rename(columns={"measure": "strategy"})
        mine = samples[samples["model"] == self.name]
        measures = {
            name: name
            for name in ("abstains", "correct", "thinking_tokens", "backtracking", "truncation")
        }
        rules = [
            keyed(
                contrast_table(rows, measures, factor="arm", against=PLAIN, **self.how),
                {"group": group},
            )
            for group, rows in mine.groupby("group", sort=True)
        ]
        thoughts = self.of("thoughts")
        thoughts = thoughts[thoughts["model"] == self.name]
        under = [
            keyed(
                underthinking_table(
                    mine[(mine["arm"] == arm) & mine["has_answer"]],
                    rows[rows["prompt_id"].isin(mine[mine["has_answer"]]["prompt_id"])],
                    **self.how,
                ),
                {"arm": arm},
            )
            for arm, rows in thoughts.groupby("arm", sort=False)
        ]
        return {
            "strategies": strategies,
            "decoding_rules": pd.concat(rules, ignore_index=True),
            "underthinking": pd.concat(under, ignore_index=True),
        }

    def excluded(self) -> pd.DataFrame:
        """How many trials of the member are left out, and why."""
        items = self.items[0]["excluded"]
        counted = items.groupby(["of", "why"], sort=False).size()
        return counted.rename("n").reset_index()
