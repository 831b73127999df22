"""Synthetic tables of the confidence stage: `reliability`, `risk_coverage` and `signal`."""

from __future__ import annotations

from typing import Any

SOURCES = ("direct answer, top probability", "chain of thought, top probability")


def reliability_rows(make: Any, key: dict[str, Any], left: float) -> list[dict[str, Any]]:
    """Ten bins, most answers in the last; the less is left, the further below the diagonal."""
    rows = []
    for source in SOURCES:
        for k in range(2, 10):
            confidence = (k + 0.5) / 10
            place = {"source": source, "bin": k, "edge_lo": k / 10, "edge_hi": (k + 1) / 10}
            counts = {"n": 20 + 60 * (k == 9), "units": 18, "confidence": confidence}
            accuracy = confidence ** (1 + 2 * (1 - min(left, 1)))
            rows.append({**key, **place, **counts, **make.estimate(accuracy, 0.1, 0, 1)})
    return rows


def risk_coverage_rows(make: Any, key: dict[str, Any], left: float) -> list[dict[str, Any]]:
    """Risk that rises with coverage to the error rate."""
    return [
        {**key, "source": source, "coverage": coverage, "n": 300}
        | make.estimate((1 - 0.7 * min(left, 1)) * coverage**2, 0.04, 0, 1)
        for source in (*SOURCES, "direct answer, P(IK)", "chain of thought, P(IK)")
        for coverage in (0.05, 0.25, 0.5, 0.75, 1.0)
    ]


def signal_rows(make: Any, key: dict[str, Any], left: float, said: float) -> list[dict[str, Any]]:
    """Change of AUROC, criterion and d' of a child."""
    changes = {
        "auroc": (0.5 * min(left - 1, 0), 0.03, "reduced"),
        "criterion": (2 * (1 - said), 0.2, "answers more"),
        "dprime": (-4 * (1 - said), 0.4, "not read"),
    }
    return [
        {**key, "mode": mode, "measure": measure, "reading": reading, "n": 520}
        | make.estimate(value, width)
        for mode in ("direct", "cot")
        for measure, (value, width, reading) in changes.items()
    ]
