"""The vocabulary of evidence as shown: colours of calls and verdicts, names, cut-offs, numbers."""

from __future__ import annotations

import numpy as np
import pandas as pd

CALL_COLORS = {
    "there": "#a9cbe8",
    "between": "#f5edc8",
    "gone": "#eeb08c",
    "undefined": "#f4f4f4",
}
ZONE_COLORS = {"there": "#dceaf6", "between": "#fbf7e3", "gone": "#f9e3d6"}  # the calls, paler
VERDICT_COLORS = {
    "DESELECTED": "#1f5f9e",
    "ERASED": "#a83a17",
    "REPURPOSED": "#00695c",
    "ATTENUATED": "#7d6300",
    "NEVER-LATENT": "#6f4189",
    "SUITE NOT VALID": "#c00000",
}


def line_label(line: str) -> str:
    """A line of evidence in plain words."""
    return line.replace("_", " ").replace(".", ", ")


def cutoffs(rows: pd.DataFrame) -> str:
    """The cut-offs of one line of evidence as text; empty when it has none."""
    pairs = rows[["cut_gone", "cut_there"]].dropna().drop_duplicates()
    if pairs.empty:
        return ""
    if len(pairs) > 1:
        return "cut-offs by row"
    gone, there = pairs.iloc[0]
    at_least, at_most = "\N{GREATER-THAN OR EQUAL TO}", "\N{LESS-THAN OR EQUAL TO}"
    below, above = ("<", at_least) if gone <= there else (">", at_most)
    return f"gone {below} {gone:.2f}\nthere {above} {there:.2f}"


def lines_of(evidence: pd.DataFrame, *, decides: bool) -> list[str]:
    """The deciding or the supporting lines, in the table's order."""
    chosen = evidence.loc[evidence["decides"].astype(bool) == decides, "line"]
    return list(dict.fromkeys(chosen))


def number(value: float) -> str:
    """Two decimals with a true minus sign; a dash for no number."""
    if not np.isfinite(value):
        return "\N{EN DASH}"
    return f"{value:.2f}".replace("-", "\N{MINUS SIGN}").replace("\N{MINUS SIGN}0.00", "0.00")
