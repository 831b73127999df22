"""What a study that judges nobody found, in a few short tables at the head of its report."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import pandas as pd

from interp.figures.calls import number
from interp.figures.report_verdict import text

MOST_ROWS = 60
"""Of a table at the head; all of it stands below."""
_NUMBERS = ("estimate", "lo", "hi")


@dataclass(frozen=True)
class Overview:
    """A short table: file, heading, sentence, columns, rows, and how many rows there are."""

    table: str
    title: str
    sentence: str
    columns: list[str]
    rows: list[list[str]]
    total: int


_SHOWN: dict[str, tuple[str, str, tuple[str, ...]]] = {
    "kinds": ("What replies are", "Share of replies of each kind.", ()),
    "abstention": (
        "Abstention as a decision",
        "Recall: abstains where it is due. Over-abstention: abstains where there is an answer.",
        (),
    ),
    "detection": (
        "How well abstention tells questions apart",
        "AUROC of the abstention scores, and sensitivity and criterion of the replies.",
        (),
    ),
    "knowledge": ("Abstention by what a model knows", "Told apart by its replies elsewhere.", ()),
    "probes_selected": (
        "What can be read out at the chosen layer",
        "The layer of each fold was chosen on its training part.",
        ("seed", "member", "target", "estimate", "p_adjusted", "n"),
    ),
    "features": (
        "Features",
        "Picked on the development split; the table has the best of every layer and position.",
        ("seed", "member", "layer", "position", "latent", "auroc", "passes"),
    ),
    "feature_diff": (
        "What became of the parent's features",
        "Read in each child through the parent's dictionary.",
        ("seed", "member", "rank", "layer", "latent", "auroc_parent", "auroc_child", "class"),
    ),
    "layer_claims": (
        "The layer claim",
        "Whether early layers keep all that the parent held and late blocks do more.",
        ("seed", "member", "target", "verdict", "difference"),
    ),
}


def overview_of(tables: Mapping[str, pd.DataFrame]) -> list[Overview]:
    """Those of the tables that there are, intervals written into their estimate's cell."""
    found = []
    for name, (title, sentence, columns) in _SHOWN.items():
        frame = tables.get(name)
        if frame is None or frame.empty:
            continue
        if "picked" in frame and frame["picked"].any():
            frame = frame[frame["picked"].astype(bool)]
        short = _wide(frame) if not columns else _narrow(frame, columns)
        rows = [[text(value) for value in row] for row in short.itertuples(index=False, name=None)]
        heads = [str(column).replace("_", " ") for column in short.columns]
        found.append(Overview(name, title, sentence, heads, rows[:MOST_ROWS], len(rows)))
    return found


def _narrow(frame: pd.DataFrame, columns: tuple[str, ...]) -> pd.DataFrame:
    """The columns that there are; an estimate takes its interval along."""
    found = {}
    for name in (column for column in columns if column in frame):
        lo, hi = ("lo", "hi") if name == "estimate" else (f"{name}_lo", f"{name}_hi")
        found[name] = _with_interval(frame, name, lo, hi) if lo in frame else frame[name]
    return pd.DataFrame(found)


def _wide(frame: pd.DataFrame) -> pd.DataFrame:
    """A column a measure, where there are measures in rows."""
    across = next((name for name in ("measure", "kind") if name in frame), None)
    if across is None or not set(_NUMBERS) <= set(frame):
        return frame
    keys = [name for name in frame if name not in (*_NUMBERS, across, "n")]
    said = frame.assign(_said=_with_interval(frame, *_NUMBERS)).fillna(dict.fromkeys(keys, ""))
    wide = said.drop_duplicates([*keys, across]).pivot(index=keys, columns=across, values="_said")
    order = (
        pd.MultiIndex.from_frame(said[keys]).unique() if len(keys) > 1 else said[keys[0]].unique()
    )
    return wide.reindex(index=order, columns=list(dict.fromkeys(said[across]))).reset_index()


def _with_interval(frame: pd.DataFrame, name: str, lo: str, hi: str) -> list[str]:
    triples = zip(frame[name], frame[lo], frame[hi], strict=True)
    return [
        f"{number(x)} [{number(low)}, {number(high)}]" if pd.notna(x) else ""
        for x, low, high in triples
    ]
