"""Synthetic study tables of the right shape and of realistic size, from a seed."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from tests.figures.confidence_tables import reliability_rows, risk_coverage_rows, signal_rows
from tests.figures.probe_tables import preservation_rows, probes_rows, transfer_rows

# member -> (how much of the parent's read-out is left, abstention left in direct answers, planted)
MEMBERS: dict[str, tuple[float, float, str]] = {
    "base": (1.0, 0.92, "intact"),
    "reason_sft_upper": (1.0, 0.10, "deselected"),
    "reason_sft": (0.87, 0.05, "unknown"),
    "reason_rl": (0.92, 0.45, "unknown"),
    "scrubbed_twin": (0.88, 0.01, "unknown"),
    "scrubbed_low": (0.55, 0.01, "unknown"),
    "scrubbed_mid": (0.30, 0.0, "unknown"),
    "scrubbed": (0.02, 0.0, "linearly_erased"),
    "replaced": (0.12, 0.0, "erased"),
    "never": (0.14, 0.0, "never"),
}
RUN: dict[str, Any] = {
    "run_id": "0123456789ab",
    "config": {
        "name": "organism",
        "members": ["base", "reason_sft"],
        "probe": {"kind": "linear", "C": 0.1, "folds": 5},
    },
    "seed": 0,
    "code_version": "0.1.0+abc123",
    "rule": "thresholds:\n  transfer: {gone: 0.30, there: 0.60}  # widest gap of the controls\n",
}


class Maker:
    """Draws noisy estimates with intervals that hold them."""

    def __init__(self, seed: int) -> None:
        self.rng = np.random.default_rng(seed)

    def estimate(
        self, value: float, width: float, low: float = -np.inf, high: float = np.inf
    ) -> dict[str, float]:
        """estimate, lo, hi around a value, within limits."""
        at = float(np.clip(value + self.rng.normal(0, width / 3), low, high))
        below, above = width * self.rng.uniform(0.8, 1.2, size=2)
        return {
            "estimate": at,
            "lo": float(np.clip(at - below, low, high)),
            "hi": float(np.clip(at + above, low, high)),
        }


def study_tables(
    seeds: Sequence[int] = (0,),
    members: dict[str, tuple[float, float, str]] | None = None,
    n_layers: int = 6,
) -> dict[str, pd.DataFrame]:
    """All tables of a study, as the figures take them."""
    members = members or MEMBERS
    parts: dict[str, list[dict[str, Any]]] = {}
    for seed in seeds:
        make = Maker(seed)
        for index, (member, (left, said, planted)) in enumerate(members.items()):
            key = {"seed": seed, "member": member}
            for fill in (_behavior, _confidence, _probes, _steering, _ablation, _curves):
                fill(parts, make, key, left, said, n_layers)
            if index:
                child = {**key, "parent": next(iter(members))}
                for fill in (_signal, _transfer, _graft, _relearn):
                    fill(parts, make, child, left, said, n_layers)
                _evidence(parts, make, child, left, planted)
    for table in ("graft", "relearn", "signal"):
        for row in parts[table]:
            del row["parent"]
    return {name: pd.DataFrame(rows) for name, rows in parts.items()}


def _add(parts: dict[str, list[dict[str, Any]]], table: str, *rows: dict[str, Any]) -> None:
    parts.setdefault(table, []).extend(rows)


def _behavior(parts: Any, make: Maker, key: Any, left: float, said: float, n: int) -> None:
    for mode, unknown in (("direct", said), ("cot", said if said > 0.8 else 0.02)):
        rates = {
            ("unknown", "abstain_rate"): unknown,
            ("missing_premise", "abstain_rate"): 0.6 + 0.4 * left,
            ("known", "abstain_rate"): 0.01,
            ("known", "accuracy"): 0.98,
        }
        for (group, measure), value in rates.items():
            row = {"mode": mode, "group": group, "measure": measure, "n": 240}
            _add(parts, "behavior", {**key, **row, **make.estimate(value, 0.05, 0, 1)})
        overall = {
            "J": (unknown - 0.01, 0.05),
            "dprime": (4 * unknown, 0.4),
            "criterion": (2.3 - 2 * unknown, 0.2),
            "auroc": (0.5 + 0.48 * max(left, 0.3), 0.04),
        }
        for measure, (value, width) in overall.items():
            row = {"mode": mode, "group": "all", "measure": measure, "n": 600}
            _add(parts, "behavior", {**key, **row, **make.estimate(value, width)})


def _confidence(parts: Any, make: Maker, key: Any, left: float, said: float, n: int) -> None:
    _add(parts, "reliability", *reliability_rows(make, key, left))
    _add(parts, "risk_coverage", *risk_coverage_rows(make, key, left))


def _signal(parts: Any, make: Maker, key: Any, left: float, said: float, n: int) -> None:
    _add(parts, "signal", *signal_rows(make, key, left, said))


def _probes(parts: Any, make: Maker, key: Any, left: float, said: float, n: int) -> None:
    _add(parts, "probes", *probes_rows(make, key, left, n))


def _transfer(parts: Any, make: Maker, key: Any, left: float, said: float, n: int) -> None:
    _add(parts, "transfer", *transfer_rows(make, key, left, n))
    _add(parts, "preservation", *preservation_rows(make, key, left, n))


def _steering(parts: Any, make: Maker, key: Any, left: float, said: float, n: int) -> None:
    for alpha in (0.0, 0.5, 1.0, 1.5, 2.0):
        gains = [("parent", 0, 0.45 * left), ("own", 0, 0.3 * left)]
        gains += [("random", draw, make.rng.normal(0, 0.04)) for draw in range(8)]
        for direction, draw, gain in gains:
            known = 0.01 + 0.1 * max(alpha - 1, 0)
            unknown = min(said + gain * alpha, 1.0)
            row = {**key, "direction": direction, "draw": draw, "alpha": alpha}
            for group, value in (("unknown", unknown), ("known", known)):
                numbers = make.estimate(value, 0.04, 0, 1)
                _add(parts, "steering", {**row, "group": group, **numbers})
            numbers = make.estimate(unknown - known, 0.05, -1, 1)
            _add(parts, "steering", {**row, "group": "J", **numbers})


def _ablation(parts: Any, make: Maker, key: Any, left: float, said: float, n: int) -> None:
    for direction, kept in (("parent", 0.2), ("random", 0.97)):
        row = {**key, "direction": direction}
        for group, value in (("unknown", said * kept), ("known", 0.01), ("J", said * kept - 0.01)):
            _add(parts, "ablation", {**row, "group": group, **make.estimate(value, 0.05, -1, 1)})


def _graft(parts: Any, make: Maker, key: Any, left: float, said: float, n: int) -> None:
    for taken in range(n + 1):
        share = taken / n
        lower = 0.92 - (0.92 - said) * (share ** (1 + 3 * left))
        upper = 0.92 - (0.92 - said) * (1 - (1 - share) ** 2)
        for part, value in (("lower", lower), ("upper", upper)):
            row = {"part": part, "n_layers": taken, **make.estimate(value, 0.05, -1, 1)}
            _add(parts, "graft", {**key, **row})


def _relearn(parts: Any, make: Maker, key: Any, left: float, said: float, n: int) -> None:
    for scope, top in (("all", 0.3 + 0.55 * left), ("upper", 0.1 + 0.75 * left)):
        for examples in (0, 4, 8, 16, 32):
            value = top * (1 - np.exp(-examples / 8))
            numbers = make.estimate(value, 0.06, -1, 1.2)
            ratio = {
                "ratio": numbers["estimate"],
                "ratio_lo": numbers["lo"],
                "ratio_hi": numbers["hi"],
            }
            scaled = {k: 0.92 * v for k, v in numbers.items()}
            _add(
                parts, "relearn", {**key, "scope": scope, "n_examples": examples, **ratio, **scaled}
            )


def _evidence(parts: Any, make: Maker, key: Any, left: float, planted: str) -> None:
    lines = {
        "transfer_name": (left, 0.30, 0.60, True),
        "relearn_all": (0.2 + 0.65 * left, 0.35, 0.65, True),
        "relearn_upper": (0.1 + 0.75 * left, 0.25, 0.55, True),
        "transfer_last": (0.6 * left, 0.15, 0.35, False),
        "steering_gain": (0.1 + 0.35 * left, 0.1, 0.3, False),
        "graft_two_layers": (0.1 + 0.8 * left, 0.2, 0.5, False),
        "mlp_probe_name": (0.55 + 0.35 * left, np.nan, np.nan, False),
        "entropy_auroc": (0.8, np.nan, np.nan, False),
    }
    calls = []
    for line, (value, gone, there, decides) in lines.items():
        numbers = make.estimate(value, 0.07)
        call = "undefined"
        if np.isfinite(gone):
            call = "there" if numbers["estimate"] >= there else "between"
            call = "gone" if numbers["estimate"] < gone else call
        calls += [call] if decides else []
        row = {"line": line, **numbers, "cut_gone": gone, "cut_there": there}
        _add(parts, "evidence", {**key, **row, "call": call, "decides": decides})
    names: dict[tuple[str, ...], str] = {("there",): "DESELECTED", ("gone",): "ERASED"}
    verdict = names.get(tuple(sorted(set(calls))), "ATTENUATED")
    _add(parts, "verdict", {**key, "planted": planted, "verdict": verdict})


def _curves(parts: Any, make: Maker, key: Any, left: float, said: float, n: int) -> None:
    for step in range(0, 200, 10):
        row = {**key, "step": step, "loss": 0.1 + 4 * np.exp(-step / 50) + make.rng.uniform(0, 0.1)}
        reward = 1 - np.exp(-step / 60) if key["member"] == "reason_rl" else np.nan
        _add(parts, "curves", {**row, "reward": reward})
