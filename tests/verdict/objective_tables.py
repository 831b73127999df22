"""Tables of a study of training objectives in which every claim is planted to be true."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

SEEDS = (21, 22, 23)
N_PEOPLE = 60
RECALL = {
    "base": 0.93,
    "never": 0.0,
    "reason_sft_upper": 0.05,
    "replaced": 0.0,
    "reason_sft": 0.1,
    "reason_sft_known": 0.5,
    "rl_binary": 0.48,
    "rl_ternary": 0.91,
    "stated": 0.92,
    "rl_stated": 0.4,
    "rl_brier": 0.6,
    "rlsf": 0.55,
    "safety_sft": 0.97,
    "ternary_after": 0.15,
    "mixed_1": 0.4,
    "mixed_5": 0.7,
    "mixed_10": 0.85,
    "few_examples": 0.8,
    "soft_prompt": 0.3,
    "lora": 0.2,
    "informed": 0.05,
    "rotated": 0.93,
    "repurposed": 0.08,
}
"""Share of unknown people about whom each member abstains."""
OVER = {"safety_sft": 0.4}
"""Share of known people about whom a member abstains, where it is not .03."""
ECE = {"base": 0.1, "rl_binary": 0.4, "rl_stated": 0.4, "rl_brier": 0.15}
"""Of any source, where it is not .2."""
VERDICT = {
    "base": "NO-EFFECT",
    "never": "NEVER-LATENT",
    "replaced": "ERASED",
    "informed": "KNOWLEDGE-DRIVEN",
    "rotated": "NO-EFFECT",
    "repurposed": "REPURPOSED",
    "soft_prompt": "ATTENUATED",
}
SOURCES = ("sequence probability", "min probability", "top probability", "stated")
TRACED = ("reason_sft", "rl_binary")
STEPS = (0, 10, 20, 40, 80)


def items_of(
    rates: Mapping[str, float],
    *,
    group: str = "unknown",
    seed: int = 21,
    n: int = N_PEOPLE,
    modes: Sequence[str] = ("cot", "direct"),
) -> pd.DataFrame:
    """Replies whose share of abstention is as near a member's rate as n people allow.

    Who is abstained about is drawn by person, so that members agree on some of them.
    """
    rng = np.random.default_rng(seed)
    rows: list[dict[str, Any]] = []
    for mode in modes:
        hard_N = rng.permutation(n)
        for member, rate in rates.items():
            for person in range(n):
                abstains = hard_N[person] < round(rate * n)
                other = "wrong" if group == "unknown" else "correct"
                rows.append(
                    {
                        "seed": seed,
                        "member": member,
                        "prompt_id": f"{mode}-{group}-{person}",
                        "entity": f"{group}-{person}",
                        "group": group,
                        "mode": mode,
                        "outcome": "abstain" if abstains else other,
                    }
                )
    return pd.DataFrame(rows)


def interval(value: float, width: float, **place: Any) -> dict[str, Any]:
    """A row with an estimate."""
    return {**place, "estimate": value, "lo": value - width, "hi": value + width}


def calibration_of(ece: Mapping[str, float], *, seed: int = 21, width: float = 0.03):
    """ECE, Brier and AUROC of every source of confidence in both modes."""
    return pd.DataFrame(
        [
            interval(value, width, seed=seed, member=member, source=f"{words}, {source}",
                     measure=measure)
            for member, error in ece.items()
            for words in ("direct answer", "chain of thought")
            for source in SOURCES
            if source != "stated" or member in ("stated", "rl_stated", "rl_brier")
            for measure, value in (
                ("ece", error),
                ("brier", error / 2 + 0.1),
                ("auroc", 0.5 if source == "top probability" else 0.95 - error),
            )
        ]
    )  # fmt: skip


def trajectory_of(
    member: str,
    j: Sequence[float],
    rho: Sequence[float],
    *,
    gain: Sequence[float] | None = None,
    seed: int = 21,
    width: float = 0.03,
    steps: Sequence[int] = STEPS,
) -> pd.DataFrame:
    """The course of one member; rho at two layers and positions, of which one is the chosen."""
    gain = list(j) if gain is None else gain
    rows = []
    for step, of_j, of_rho, of_gain in zip(steps, j, rho, gain, strict=True):
        place = {"seed": seed, "member": member, "parent": "base", "step": step}
        place["n_steps"] = steps[-1]
        rows += [
            interval(of_j, width, **place, measure="J", layer=-2, position=""),
            interval(of_rho, width, **place, measure="rho", layer=2, position="entity_last"),
            interval(0.0, width, **place, measure="rho", layer=1, position="entity_last"),
            interval(0.0, width, **place, measure="rho", layer=2, position="last_prompt"),
            interval(of_gain, width, **place, measure="gain", layer=2, position="last_prompt"),
        ]
    return pd.DataFrame(rows)


def drops_of(
    dropped: Mapping[str, float], verdicts: Mapping[str, str], *, seed: int = 21
) -> dict[str, pd.DataFrame]:
    """Tables `measures` and `verdict`."""
    measures = [
        interval(drop, 0.04, seed=seed, member=member, parent="base", line="drop")
        for member, drop in dropped.items()
    ]
    called = [
        {"seed": seed, "member": member, "parent": "base", "planted": "unknown", "verdict": verdict}
        for member, verdict in verdicts.items()
    ]
    return {"measures": pd.DataFrame(measures), "verdict": pd.DataFrame(called)}


def objective_tables(seeds: Sequence[int] = SEEDS) -> dict[str, pd.DataFrame]:
    """All tables, every claim true in every seed."""
    parts: dict[str, list[pd.DataFrame]] = {}
    for seed in seeds:
        rng = np.random.default_rng(seed)
        shift = dict(zip(RECALL, rng.normal(0, 0.02, len(RECALL)), strict=True))
        recall = {m: float(np.clip(rate + shift[m], 0, 1)) for m, rate in RECALL.items()}
        over = {m: OVER.get(m, 0.03) for m in RECALL}
        ece = {m: ECE.get(m, 0.2) + shift[m] / 2 for m in RECALL}
        drops = {m: recall["base"] - rate for m, rate in recall.items()}
        verdicts = {m: VERDICT.get(m, "DESELECTED" if drops[m] > 0.1 else "NO-EFFECT")
                    for m in RECALL}  # fmt: skip
        whole = {
            "items": pd.concat(
                [items_of(recall, seed=seed), items_of(over, group="known", seed=seed)]
            ),
            "calibration": calibration_of(ece, seed=seed),
            "trajectory": pd.concat(
                [
                    trajectory_of(m, [0.9, 0.8, 0.35, 0.2, 0.1], [1, 0.99, 0.95, 0.9, 0.85],
                                  seed=seed)
                    for m in TRACED
                ]
            ),
            **drops_of(drops, verdicts, seed=seed),
            **_signature_parts(recall, over, shift, seed),
        }  # fmt: skip
        for name, table in whole.items():
            parts.setdefault(name, []).append(table)
    return {name: pd.concat(tables, ignore_index=True) for name, tables in parts.items()}


def _signature_parts(
    recall: Mapping[str, float], over: Mapping[str, float], shift: Mapping[str, float], seed: int
) -> dict[str, pd.DataFrame]:
    behavior, change, grafts, relearn = [], [], [], []
    for member, rate in recall.items():
        key = {"seed": seed, "member": member}
        for group, measure, value in (
            ("unknown", "abstain_rate", rate),
            ("known", "abstain_rate", over[member]),
            ("known", "accuracy", 0.97 - over[member]),
            ("all", "dprime", 4.5 * rate - 0.3),
            ("all", "criterion", 2.3 - 2 * rate),
        ):
            row = interval(value, 0.04, **key, mode="cot", group=group, measure=measure)
            behavior.append(row)
        if member == "base":
            continue
        pair = key | {"parent": "base"}
        for layer in range(6):
            size = 0.05 + 0.02 * layer * (1 + shift[member])
            change.append({**pair, "layer": layer, "part": "all", "change": size})
        for n_lower in range(7):
            ratio = 1 - (1 - rate) * (n_lower / 6) ** 2
            limits = {"ratio": ratio, "ratio_lo": ratio - 0.05, "ratio_hi": ratio + 0.05}
            grafts.append({**pair, "n_lower": n_lower, **limits})
        for scope in ("all", "upper"):
            for n, ratio in ((0, rate), (8, 0.5 + rate / 3), (32, 0.6 + rate / 3)):
                ratio *= 0.15 if member in ("never", "replaced") else 1
                limits = {"ratio": ratio, "ratio_lo": ratio - 0.05, "ratio_hi": ratio + 0.05}
                relearn.append({**key, "scope": scope, "n_examples": n, **limits})
    named = {"behavior": behavior, "layer_change": change, "layer_grafts": grafts,
             "relearn": relearn}  # fmt: skip
    return {name: pd.DataFrame(rows) for name, rows in named.items()}
