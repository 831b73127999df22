"""The columns of the signature's table: which measures it shows, and how."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Column:
    """One measure.

    Attributes:
        group: as in the table.
        measure: as in the table.
        name: heading.
        digits: decimals of its numbers.
        from_base: coloured by its difference from the base.
        room: width, in those of a column whose numbers are like .42.
    """

    group: str
    measure: str
    name: str
    digits: int = 2
    from_base: bool = True
    room: float = 1.0


SHOWN = (
    Column("behaviour", "recall", "recall"),
    Column("behaviour", "over_abstention", "over-\nabst."),
    Column("behaviour", "accuracy", "accu-\nracy"),
    Column("behaviour", "dprime", "d\N{PRIME}", 1, room=1.1),
    Column("behaviour", "criterion", "c", 1, room=1.4),
    Column("sequence probability", "ece", "ECE"),
    Column("sequence probability", "auroc", "AUC"),
    Column("min probability", "auroc", "AUC"),
    Column("stated", "ece", "ECE"),
    Column("stated", "auroc", "AUC"),
    Column("layers", "change_centre", "centre", 1, from_base=False, room=0.95),
    Column("layers", "half_lost_at", "half\nlost", 0, from_base=False, room=1.1),
    Column("relearning", "32, all", "32,\nall", from_base=False),
    Column("relearning", "32, upper", "32,\nupper", from_base=False),
    Column("relearning", "examples_to_half", "to\nhalf", 0, from_base=False, room=1.2),
)
"""Measures of the figure; the table has more (Brier scores, other doses and confidences)."""
HEADINGS = {
    "behaviour": "behaviour",
    "sequence probability": "sequence p",
    "min probability": "least p",
    "stated": "stated",
    "layers": "layers",
    "relearning": "relearning",
}
