"""One self-contained HTML file around the figures: verdict first, then evidence, then methods.

Nothing is fetched when it is opened (figures are embedded as data URIs), everything that comes
from tables or configuration is escaped, only the two scripts named by their hash may run, and every
number shown stands in a table file that is named beside it. With scripts off all of it can be read.

Figures are embedded as PNG. As SVG with text as paths the figures of a study of three seeds weigh
as much (4.3 against 4.5 MB), but a figure of many points weighs ten times as much (ablation: 869
against 80 kB) and no bound holds; the vector file of each figure is the PDF beside the report.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
import yaml
from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup
from PIL import Image

from interp.errors import InputError
from interp.figures.registry import FIGURES, require, spec_of
from interp.figures.report_explorer import Explorer
from interp.figures.report_methods import methods_of
from interp.figures.report_overview import overview_of
from interp.figures.report_sources import works_of
from interp.figures.report_strips import SIGNS
from interp.figures.report_verdict import VERDICTS, claims_of, evidence_table, glance, text

PROMPTS = "prompts.json"
"""Beside the figures: questions and replies, as from `prompts_json`."""
# Longer tables are shown as the text of their CSV file, which a browser holds lightly.
HTML_ROWS = 400


@dataclass(frozen=True)
class Shown:
    """One figure as the template needs it."""

    name: str
    title: str
    caption: str
    uri: str
    size: tuple[int, int]
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
    """Write the report of a study; a section stands where its tables do.

    Args:
        tables: table name -> frame, as given to `draw`.
        out: the HTML file to write; its folder is created if missing. Feature pages in `pages/`
            beside it are linked.
        run: run_id, config, seed and code_version (`interp.tables.run_info`), and optionally
            `rule`, the text of the decision rule, `versions` of the packages it ran with, and
            `figures`, the names of those to show.
        figures_dir: the folder `draw` wrote to, for the same run; may hold `prompts.json`.

    Returns:
        `out`. Equal inputs give equal bytes, on any machine.

    Raises:
        InputError: a table, a column or a figure is missing, or a figure or `prompts.json` is of
            another run.
    """
    names = tuple(run.get("figures", FIGURES))
    require(tables, names)
    run_id = str(run["run_id"])
    figures = [_shown(name, figures_dir, run_id) for name in names]
    scripts = {name: _script(name) for name in ("zoom", "explorer")}
    html = _environment().get_template("report.html.j2").render(
        run=run,
        name=_named(run, "name"),
        description=_named(run, "description"),
        seeds=_seeds(run, tables),
        config=yaml.safe_dump(_plain(run["config"]), sort_keys=False, allow_unicode=True),
        versions=run.get("versions") or {},
        figures=figures,
        claims=claims_of(tables.get("claims")),
        overview=[] if "verdict" in tables else overview_of(tables),
        skipped=tables["skipped"].fillna("").to_dict("records") if "skipped" in tables else [],
        pages=_pages(out.parent / "pages"),
        explorer=_explorer(figures_dir / PROMPTS, run_id),
        methods=methods_of(run, tables),
        works=works_of(tables),
        full=[_full(name, tables[name]) for name in sorted(tables)],
        scripts=scripts,
        hashes=[_hash(script) for script in scripts.values()],
        **_judged(tables),
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


def _judged(tables: Mapping[str, pd.DataFrame]) -> dict[str, Any]:
    """What the template says of verdicts; nothing of a study that judges nobody."""
    if not {"verdict", "evidence"} <= set(tables):
        return {"judged": False}
    evidence, verdict, reasons = tables["evidence"], tables["verdict"], tables.get("reasons")
    return {
        "judged": True,
        "glance": glance(verdict),
        "deciding": evidence_table(evidence, verdict, reasons, decides=True),
        "supporting": evidence_table(evidence, verdict, reasons, decides=False),
        "verdicts": VERDICTS,
        "present": set(verdict["verdict"]),
    }


def _script(name: str) -> Markup:
    return Markup(_environment().get_template(f"report_{name}.html.j2").render(signs=SIGNS))


def _hash(script: str) -> str:
    """A script as the page's policy names it."""
    return base64.b64encode(hashlib.sha256(script.encode("utf-8")).digest()).decode("ascii")


def _shown(name: str, folder: Path, run_id: str) -> Shown:
    spec, path = spec_of(name), folder / f"{name}.png"
    if not path.is_file():
        raise InputError(
            f"{path}: the report needs this figure and it is missing. Draw the figures first "
            "(`interp figures`) into the same folder."
        )
    with Image.open(path) as image:
        drawn_by, size = image.info.get("Run"), image.size
    if drawn_by != run_id:
        raise InputError(
            f"{path}: drawn by run {drawn_by}, but the report is of run {run_id}. Draw the figures "
            "again from this run's tables."
        )
    data = base64.b64encode(path.read_bytes()).decode("ascii")
    sources = [f"{table}.csv" for table in spec.tables]
    uri = f"data:image/png;base64,{data}"
    return Shown(name, spec.title, spec.caption, uri, size, sources)


def _explorer(path: Path, run_id: str) -> Explorer | None:
    if not path.is_file():
        return None
    return Explorer.of(path.read_text(encoding="utf-8"), run_id, str(path))


def _pages(folder: Path) -> list[str]:
    """Files of feature pages, by layer and latent; the index is not among them."""
    if not (folder / "index.html").is_file():
        return []
    pages = [path.stem for path in folder.glob("*-*.html")]
    return sorted(pages, key=lambda page: [int(n) if n.isdigit() else 0 for n in page.split("-")])


def _named(run: Mapping[str, Any], key: str) -> str:
    config = run["config"]
    return str(config.get(key) or "") if isinstance(config, Mapping) else ""


def _seeds(run: Mapping[str, Any], tables: Mapping[str, pd.DataFrame]) -> list[Any]:
    """Of the run, or of the tables of a run of several."""
    if run.get("seed") is not None:
        return [run["seed"]]
    found = {str(seed) for table in tables.values() if "seed" in table for seed in table["seed"]}
    return sorted(int(seed) for seed in found if seed.isdigit())


def _full(name: str, frame: pd.DataFrame) -> FullTable:
    columns = [str(c) for c in frame.columns]
    if len(frame) > HTML_ROWS:
        rows = frame.to_csv(index=False, float_format="%.6g", lineterminator="\n")
        return FullTable(name, len(frame), columns, [], rows)
    cells = [[text(v) for v in row] for row in frame.itertuples(index=False, name=None)]
    return FullTable(name, len(frame), columns, cells, "")


def _plain(value: Any) -> Any:
    """The value made of the types YAML knows, other things as their text."""
    if isinstance(value, Mapping):
        return {str(k): _plain(v) for k, v in value.items()}
    if isinstance(value, (list, tuple, set, frozenset)):
        return [_plain(v) for v in value]
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    return str(value)
