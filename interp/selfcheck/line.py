"""One line of a self-check."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Line:
    """One line of the check.

    Attributes:
        name: what was checked.
        passed: whether it holds.
        result: what was found, or why it does not hold.
        error: largest difference measured, as a share of the largest activation; None where
            nothing is measured.
        bound: most that it may be.
    """

    name: str
    passed: bool
    result: str
    error: float | None = None
    bound: float | None = None
