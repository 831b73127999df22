"""One self-contained HTML file around the figures: verdict first, then evidence, then methods.

Nothing is fetched when it is opened (figures are embedded as data URIs), everything that comes
from tables or configuration is escaped, and every number shown stands in a table file that is
named beside it.
"""

from __future__ import annotations

import base64
import platform
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import yaml
from jinja2 import Environment, PackageLoader, StrictUndefined
from PIL import Image

from interp.errors import InputError
from interp.figures.calls import cutoffs, line_label, lines_of, number
from interp.figures.registry import FIGURES, require, spec_of
from interp.figures.style import Look

VERDICTS = {
    "DESELECTED": "The child no longer abstains, but what its parent abstained on still stands "
    "in it: the parent's read-out carries over, and a few examples bring abstention back.",
    "ERASED": "The child no longer abstains, and what its parent abstained on is gone: the "
    "read-out does not carry over, and the child relearns no faster than one that never had it.",
    "ATTENUATED": "Part of it is left: the evidence falls between what is seen in members where it "
    "is known to stand and in members where it is known to be gone.",
    "REPURPOSED": "The information can be read from the child anew, but no longer in its parent's "
    "code: the parent's read-out does not carry over.",
    "NEVER-LATENT": "The ability was never there to lose: no ancestor of this member abstained.",
    "KNOWLEDGE-DRIVEN": "The child abstains less because it knows more: on what both do not know "
    "nothing has changed.",
    "NO-EFFECT": "The child abstains about as well as its parent: there is nothing to explain.",
    "INCONCLUSIVE": "The lines of evidence disagree, or their intervals are too wide to say.",
    "SUITE NOT VALID": "The tests misread members whose truth is planted, so no verdict is given.",
}
PACKAGES = ("torch", "transformers", "numpy", "pandas", "scipy", "scikit-learn", "matplotlib")
# Longer tables are shown as the text of their CSV file, which a browser holds lightly.
HTML_ROWS = 400


@dataclass(frozen=True)
class Cell:
    """One estimate of one line of evidence, as shown."""

    estimate: str
    interval: str
    call: str


@dataclass(frozen=True)
class EvidenceTable:
    """Lines of evidence side by side: header (name, cut-offs), then one row of cells a child."""

    header: list[tuple[str, str]]
    rows: list[tuple[dict[str, Any], list[Cell]]]


@dataclass(frozen=True)
class Shown:
    """One figure as the template needs it."""

    name: str
    title: str
    caption: str
    uri: str
    sources: list[str]


@dataclass(frozen=True)
class FullTable:
    """A whole table: its file, and its rows as cells or, when it is long, as CSV text."""

    name: str
    n_rows: int
    columns: list[str]
    rows: list[list[str]]
    text: str


def write_report(
    tables: Mapping[str, pd.DataFrame], out: Path, run: Mapping[str, Any], figures_dir: Path
) -> Path:
    """Write the report of a study.

    Args:
        tables: table name -> frame, as given to `draw`.
        out: the HTML file to write; its folder is created if missing.
        run: run_id, config, seed and code_version (`interp.tables.run_info`), and optionally
            `rule`, the text of the decision rule, and `figures`, the names of those to show.
        figures_dir: the folder `draw` wrote to, for the same run.

    Returns:
        `out`.

    Raises:
        InputError: a table, a column or a figure is missing, or a figure is of another run.
    """
    names = tuple(run.get("figures", FIGURES))
    require(tables, names)
    figures = [_shown(name, figures_dir, str(run["run_id"])) for name in names]
    evidence, verdict = tables["evidence"], tables["verdict"]
    html = _environment().get_template("report.html.j2").render(
        run=run,
        seeds=sorted(verdict["seed"].unique().tolist()),
        config=yaml.safe_dump(_plain(run["config"]), sort_keys=False, allow_unicode=True),
        deciding=_evidence_table(evidence, verdict, decides=True),
        supporting=_evidence_table(evidence, verdict, decides=False),
        verdicts=VERDICTS,
        present=set(verdict["verdict"]),
        claims=_claims(tables.get("claims")),
        figures=figures,
        full=[_full(name, tables[name]) for name in sorted(tables)],
        versions={"Python": platform.python_version(), **{p: version(p) for p in PACKAGES}},
    )  # fmt: skip
    out.parent.mkdir(parents=True, exist_ok=True)
    partial = out.with_name(f".{out.name}.partial")
    partial.write_text(html, encoding="utf-8", newline="\n")
    partial.replace(out)
    return out


def _environment() -> Environment:
    return Environment(
        loader=PackageLoader("interp.figures", package_path="."),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )


def _shown(name: str, folder: Path, run_id: str) -> Shown:
    spec, path = spec_of(name), folder / f"{name}.png"
    if not path.is_file():
        raise InputError(
            f"{path}: the report needs this figure and it is missing. Draw the figures first "
            "(`interp figures`) into the same folder."
        )
    with Image.open(path) as image:
        drawn_by = image.info.get("Run")
    if drawn_by != run_id:
        raise InputError(
            f"{path}: drawn by run {drawn_by}, but the report is of run {run_id}. Draw the figures "
            "again from this run's tables."
        )
    data = base64.b64encode(path.read_bytes()).decode("ascii")
    sources = [f"{table}.csv" for table in spec.tables]
    return Shown(name, spec.title, spec.caption, f"data:image/png;base64,{data}", sources)


def _claims(claims: pd.DataFrame | None) -> list[dict[str, str]]:
    """What was found of each claim over all seeds: call and sentence, those that decide first."""
    if claims is None:
        return []
    overall = claims[claims["sentence"] != ""]
    ordered = overall.sort_values("decides", ascending=False, kind="stable")
    return [
        {"call": str(row["call"]), "sentence": str(row["sentence"]), "decides": str(row["decides"])}
        for row in ordered.to_dict("records")
    ]


def _evidence_table(
    evidence: pd.DataFrame, verdict: pd.DataFrame, *, decides: bool
) -> EvidenceTable:
    lines = lines_of(evidence, decides=decides)
    cells = {(r.seed, r.member, r.line): r for r in evidence.itertuples()}
    rank = {member: i for i, member in enumerate(Look.of(verdict).styles)}
    ordered = verdict.assign(rank=verdict["member"].map(rank)).sort_values(["rank", "seed"])
    rows = [
        (
            {k: _text(v) for k, v in row.items()},
            [_cell(cells.get((row["seed"], row["member"], line))) for line in lines],
        )
        for row in ordered.to_dict("records")
    ]
    header = [(line_label(line), cutoffs(evidence[evidence["line"] == line])) for line in lines]
    return EvidenceTable(header, rows)


def _cell(row: Any) -> Cell:
    if row is None:
        return Cell("not measured", "", "undefined")
    if not np.isfinite(row.estimate):
        return Cell("undefined", "", "undefined")
    return Cell(number(row.estimate), f"{number(row.lo)} to {number(row.hi)}", str(row.call))


def _full(name: str, frame: pd.DataFrame) -> FullTable:
    columns = [str(c) for c in frame.columns]
    if len(frame) > HTML_ROWS:
        text = frame.to_csv(index=False, float_format="%.6g", lineterminator="\n")
        return FullTable(name, len(frame), columns, [], text)
    rows = [[_text(v) for v in row] for row in frame.itertuples(index=False, name=None)]
    return FullTable(name, len(frame), columns, rows, "")


def _text(value: Any) -> str:
    """A table value with six significant digits, as in the CSV files; empty for no value."""
    if value is None or value is pd.NA:
        return ""
    if isinstance(value, float):
        return f"{value:.6g}" if np.isfinite(value) else ""
    return str(value)


def _plain(value: Any) -> Any:
    """The value made of the types YAML knows, other things as their text."""
    if isinstance(value, Mapping):
        return {str(k): _plain(v) for k, v in value.items()}
    if isinstance(value, (list, tuple, set, frozenset)):
        return [_plain(v) for v in value]
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    return str(value)
