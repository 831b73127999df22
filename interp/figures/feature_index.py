"""What the index of feature pages shows of each feature, and what its columns are sorted by."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from interp.features.portraits import Portrait
from interp.figures import feature_text as text
from interp.figures.feature_table import Feature

_N_RAISED = 4  # tokens in the index


@dataclass(frozen=True)
class Cell:
    """A value of the index as it is shown, and what it is sorted by."""

    shown: str
    key: str


def index_of(features: Sequence[Feature]) -> dict[str, Any]:
    """What the template of the index is given."""
    models = list(dict.fromkeys(model for feature in features for model in feature.portraits))
    evidence = [
        [Cell(text.entry(v), text.sort_key(v)) for v in feature.evidence.values()]
        for feature in features
    ]
    return {
        "rows": [
            {
                "feature": feature,
                "strongest": _strongest_token(feature),
                "raised": _raised(feature),
                "models": [_overall(feature.portraits.get(model)) for model in models],
                "evidence": cells,
            }
            for feature, cells in zip(features, evidence, strict=True)
        ],
        "columns": [
            (column.replace("_", " "), all(_is_number(cell.key) for cell in cells))
            for column, cells in zip(features[0].evidence, zip(*evidence, strict=True), strict=True)
        ],
        "models": models,
        "sources": {str(feature.site): feature.source for feature in features},
    }


def _overall(one: Portrait | None) -> tuple[Cell, Cell]:
    """Share of tokens that fire, and maximum, of one model in the index."""
    if one is None:
        return Cell(text.NONE, ""), Cell(text.NONE, "")
    return (
        Cell(text.percent(one.overall.token_rate), repr(one.overall.token_rate)),
        Cell(text.digits(one.overall.maximum), repr(one.overall.maximum)),
    )


def _strongest_token(feature: Feature) -> str | None:
    fire = [one for one in feature.portraits.values() if one.examples]
    if not fire:
        return None
    example = max(fire, key=lambda one: one.overall.maximum).examples[0]
    return example.tokens[example.peak]


def _raised(feature: Feature) -> list[str]:
    """The tokens raised most in the first model that says so."""
    said = (one.effects for one in feature.portraits.values() if one.effects is not None)
    effects = next(said, None)
    return [] if effects is None else [effect.text for effect in effects.top[:_N_RAISED]]


def _is_number(key: str) -> bool:
    try:
        float(key or "nan")
    except ValueError:
        return False
    return True
