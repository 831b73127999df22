"""Synthetic tables of a study of reasoning, with the columns that its stages write, from a seed."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import product
from typing import Any

import numpy as np
import pandas as pd

PARENT = "base"
MEMBERS = (PARENT, "reason_sft_upper", "reason_sft", "reason_rl", "replaced", "tülu_$v3$")
STRATEGIES = (
    "deduction",
    "adding-knowledge",
    "uncertainty-estimation",
    "backtracking",
    "verification",
)
BUDGETS = (*(f"budget {n}" for n in (0, 5, 8, 11, 14)), "natural", "extend 1", "extend 2")
HYBRIDS = (
    "base", "think", "full", "bias_only", "random_timing", "random_vectors", "oracle",
)  # fmt: skip
GROUPS = ("known", "unknown")
N_LAYERS = 6
N_RANDOM = 10
CUTS = (0.0, 0.25, 0.5, 0.75, 1.0)

Row = dict[str, Any]


def reasoning_tables(
    seeds: Sequence[int] = (0,), members: Sequence[str] = MEMBERS
) -> dict[str, pd.DataFrame]:
    """All tables that figures of reasoning are drawn from, but those of the layer claim."""
    parts: dict[str, list[Row]] = {}
    for seed in seeds:
        make = _Maker(seed)
        for member in members:
            key = {"seed": seed, "member": member}
            for name, rows in make.tables(member).items():
                parts.setdefault(name, []).extend(key | row for row in rows)
    return {name: pd.DataFrame(rows) for name, rows in parts.items()}


class _Maker:
    """Draws rows of one seed; no two estimates are alike, so that one out of place is seen."""

    def __init__(self, seed: int) -> None:
        self.rng = np.random.default_rng(seed)

    def tables(self, member: str) -> dict[str, list[Row]]:
        """The member's rows of every table."""
        made = {
            "information_gain": self.grouped(member, ("gain", "rising"), 0, 3, arm=("own",)),
            "early_answering": self.grouped(member, ("aoc", "steps"), 0, 1),
            "early_curve": list(self.early_curve(member)),
            "perturbed": self.grouped(
                member, ("same", "right_after"), 0, 1, arm=("filler", "mistake", "paraphrase")
            ),
            "knowledge_index": self.grouped(
                member, ("ki", "ki_published", "no_knowledge", "steps"), 0, 1
            ),
            "fast_slow": self.grouped(
                member, ("C_KR", "A_slow", "delta", "r_c", "r_o"), 0, 1, groups=("known", "problem")
            ),
            "strategies": self.grouped(member, (*STRATEGIES, "other"), 0, 1),
            "decoding_rules": list(self.rules()),
            "noticed": list(self.noticed(member)),
            "budgets": [
                {"arm": arm} | row
                for arm in BUDGETS
                for row in self.rows(PARENT, ("accuracy", "abstention", "truncation"), 0, 1)
            ],
            "strategy_cosines": list(self.cosines(member)),
            "strategy_layers": list(self.layers(member)),
            "strategy_steering": list(self.steering()),
        }
        made["information_gain"] += self.grouped(PARENT, ("gain",), -1, 2, arm=("own - shuffled",))
        for row in made["strategies"]:
            row["strategy"] = row.pop("measure")
        if member != PARENT:
            made["thinking_effect"] = list(self.effects())
            made["hybrid"] = list(self.hybrid())
        for name, of in (
            ("knowledge_index", {"member": PARENT, "measure": "ki", "group": "unknown"}),
            ("fast_slow", {"member": "reason_rl", "measure": "r_c", "group": "known"}),
            ("noticed", {"member": "replaced", "measure": "answers_given_noticed"}),
        ):
            for row in made[name]:
                if all(row.get(column, member) == value for column, value in of.items()):
                    row |= dict.fromkeys(("estimate", "lo", "hi"), np.nan)  # a share of nothing
        return made

    def value(self, low: float, high: float, prefix: str = "") -> Row:
        """estimate, lo, hi."""
        lo, at, hi = np.sort(self.rng.uniform(low, high, 3))
        if prefix:
            return {prefix: at, f"{prefix}_lo": lo, f"{prefix}_hi": hi}
        return {"estimate": at, "lo": lo, "hi": hi}

    def rows(self, member: str, measures: Sequence[str], low: float, high: float) -> list[Row]:
        """Each measure by itself, and against the parent."""
        sides = ("",) if member == PARENT else ("", PARENT)
        return [
            {"against": against, "measure": measure, **self.value(low, high), "n": 40}
            for measure in measures
            for against in sides
        ]

    def grouped(
        self,
        member: str,
        measures: Sequence[str],
        low: float,
        high: float,
        groups: Sequence[str] = GROUPS,
        **of: Sequence[str],
    ) -> list[Row]:
        """The same of each group, and of the values of another column."""
        places: list[Row] = [{"group": group} for group in groups]
        for column, values in of.items():
            places = [place | {column: value} for place in places for value in values]
        return [place | row for place in places for row in self.rows(member, measures, low, high)]

    def early_curve(self, member: str) -> Iterator[Row]:
        for cut in CUTS:
            for row in self.grouped(member, ("same",), 0, 1):
                yield {"fraction": cut} | row

    def rules(self) -> Iterator[Row]:
        """Each arm by itself, and the two with a rule against the one without."""
        for group in GROUPS:
            for arm in ("none", "switch penalty", "abstention boost"):
                for measure in ("abstains", "correct", "backtracking", "truncation"):
                    for against in ("",) if arm == "none" else ("", "none"):
                        place = {"group": group, "arm": arm, "measure": measure}
                        yield place | {"against": against, **self.value(-0.5, 0.5)}

    def noticed(self, member: str) -> Iterator[Row]:
        measures = ("noticed", "answers_given_noticed", "answers_given_unnoticed")
        for group, instrument in product(
            ("known", "unknown"), ("text", "probe", "probe_soft", "both", "probe_only")
        ):
            for against in ("",) if instrument == "text" else ("", "text"):
                for measure in measures:
                    place = {"group": group, "instrument": instrument, "against": against}
                    yield place | {"measure": measure} | self.value(0, 1)

    def effects(self) -> Iterator[Row]:
        for about in ("people", "problems"):
            for effect in (
                "trained, on",
                "thinking, untrained",
                "thinking, trained",
                "interaction",
            ):
                for measure in ("accuracy", "abstention", "truncation"):
                    place = {"about": about, "effect": effect, "measure": measure}
                    yield place | self.value(-0.6, 0.6)

    def cosines(self, member: str) -> Iterator[Row]:
        """Pairs of strategies in the parent, in the child, and between the two."""
        sources = [(PARENT, PARENT)]
        if member != PARENT:
            sources += [(member, member), (PARENT, member)]
        for layer in range(N_LAYERS):
            for a, b in sources:
                for label_a in STRATEGIES:
                    for label_b in STRATEGIES:
                        if a == b and label_a >= label_b:
                            continue
                        pair = {"source_a": a, "label_a": label_a, "source_b": b}
                        place = {"label_b": label_b, "site": f"resid_post.{layer}"}
                        yield pair | place | {"corrected": self.rng.uniform(0.2, 1.05)}

    def layers(self, member: str) -> Iterator[Row]:
        for strategy in STRATEGIES:
            if (member, strategy) == ("replaced", "backtracking"):
                continue  # a member that never does it has no direction of it
            for layer in range(N_LAYERS):
                place = {"strategy": strategy, "site": f"resid_post.{layer}", "layer": layer}
                yield place | self.value(-1, 4, "exact")

    def steering(self) -> Iterator[Row]:
        """Of every strategy and of accuracy, steered and by random directions, and unsteered."""
        for measure in (*STRATEGIES, "accuracy"):
            plain = {"steered": "", "coefficient": 0.0, "kind": "none", "draw": 0}
            yield plain | {"measure": measure, **self.change(0, 0)}
            for steered in STRATEGIES:
                for coefficient in (-1.0, 1.0):
                    place = {"steered": steered, "coefficient": coefficient, "measure": measure}
                    low, high = sorted((0.0, 0.4 * coefficient))
                    yield place | {"kind": "strategy", "draw": 0} | self.change(low, high)
                    for draw in range(N_RANDOM):
                        null = {"change": self.rng.normal(0, 0.05), "estimate": 0.2}
                        ends = dict.fromkeys(("lo", "hi", "change_lo", "change_hi"), np.nan)
                        yield place | {"kind": "random", "draw": draw} | null | ends

    def change(self, low: float, high: float) -> Row:
        return self.value(0, 1) | self.value(low, high, "change")

    def hybrid(self) -> Iterator[Row]:
        for group in GROUPS:
            for arm in HYBRIDS:
                place = {"parent": PARENT, "group": group, "arm": arm, "coefficient": 1.0}
                yield place | self.value(0, 1, "accuracy") | self.value(0, 1, "recovered")
