"""The report is one safe file that holds the figures and the tables' numbers."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from interp.errors import InputError
from interp.figures import FIGURES, write_report
from interp.figures.registry import save
from interp.figures.style import new_figure
from tests.figures.tables import RUN

Tables = Mapping[str, pd.DataFrame]
EVIL = "<script>alert('x')</script>"


class Page(HTMLParser):
    """Tags, addresses and visible text of a page."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: set[str] = set()
        self.attributes: list[tuple[str, str]] = []
        self.text = ""
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.attributes += [(name, value or "") for name, value in attrs]

    def handle_data(self, data: str) -> None:
        self.text += data


@pytest.fixture(scope="module")
def figures_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Stand-ins for the drawn figures: the report embeds what lies there."""
    folder = tmp_path_factory.mktemp("figures")
    for name, spec in FIGURES.items():
        save(new_figure(1, 1), folder / name, spec.title, RUN["run_id"])
    return folder


def page(tables: Tables, run: Mapping[str, Any], figures_dir: Path, out: Path) -> Page:
    return Page(write_report(tables, out, run, figures_dir).read_text(encoding="utf-8"))


def written(tables: Tables, figures_dir: Path, folder: Path) -> str:
    out = write_report(tables, folder / "report.html", RUN, figures_dir)
    return out.read_text(encoding="utf-8")


def test_the_report_asks_for_nothing_outside_itself(
    one_seed: Tables, figures_dir: Path, tmp_path: Path
) -> None:
    shown = page(one_seed, RUN, figures_dir, tmp_path / "report.html")
    assert not shown.tags & {"script", "link", "iframe", "object", "embed", "base"}
    addresses = [v for n, v in shown.attributes if n in {"src", "href", "srcset", "action", "data"}]
    assert all(a.startswith(("data:image/png;base64,", "#")) for a in addresses)
    html = (tmp_path / "report.html").read_text(encoding="utf-8")
    assert "://" not in html
    assert "url(" not in html
    assert "@import" not in html
    embedded = [base64.b64decode(a.split(",")[1]) for a in addresses if a.startswith("data:")]
    assert embedded == [(figures_dir / f"{name}.png").read_bytes() for name in FIGURES]


def test_inner_links_lead_somewhere(one_seed: Tables, figures_dir: Path, tmp_path: Path) -> None:
    shown = page(one_seed, RUN, figures_dir, tmp_path / "report.html")
    ids = {value for name, value in shown.attributes if name == "id"}
    assert {value[1:] for name, value in shown.attributes if name == "href"} <= ids


def test_every_evidence_number_and_verdict_is_shown(
    one_seed: Tables, figures_dir: Path, tmp_path: Path
) -> None:
    text = page(one_seed, RUN, figures_dir, tmp_path / "report.html").text
    text = text.replace("\N{MINUS SIGN}", "-")
    for row in one_seed["evidence"].itertuples():
        interval = f"{row.estimate:.2f}{row.lo:.2f} to {row.hi:.2f}"
        assert interval.replace("-0.00", "0.00") in text
    for row in one_seed["verdict"].itertuples():
        assert row.verdict in text
    for name in one_seed:
        assert f"{name}.csv" in text
    for part in ("kind: linear", "widest gap of the controls", RUN["run_id"], RUN["code_version"]):
        assert part in text


def test_long_tables_are_shown_whole(one_seed: Tables, figures_dir: Path, tmp_path: Path) -> None:
    text = page(one_seed, RUN, figures_dir, tmp_path / "report.html").text
    steering = one_seed["steering"]
    assert len(steering) > 400
    lines = steering.to_csv(index=False, float_format="%.6g").splitlines()
    assert all(line in text for line in (lines[0], lines[1], lines[-1]))


def test_names_and_configuration_are_escaped(
    small: Tables, figures_dir: Path, tmp_path: Path
) -> None:
    tables = {name: frame.copy() for name, frame in small.items()}
    for name, frame in tables.items():
        tables[name] = frame.replace({"member": {"reason_sft_upper": EVIL}})
    tables["evidence"]["call"] = '"><script>'
    tables["evidence"]["line"] = EVIL
    tables["verdict"]["verdict"] = EVIL
    run = {**RUN, "config": {EVIL: EVIL}, "rule": EVIL, "code_version": EVIL}
    shown = page(tables, run, figures_dir, tmp_path / "report.html")
    assert "script" not in shown.tags
    assert EVIL in shown.text


def test_claims_are_said_first_and_those_that_decide_nothing_last(
    one_seed: Tables, figures_dir: Path, tmp_path: Path
) -> None:
    rows = [
        {"call": call, "sentence": sentence, "decides": decides}
        for call, sentence, decides in (
            ("undecided", "Beside it: undecided, <script>alert(1)</script>.", False),
            ("holds", "Ternary reward restores abstention: holds. All three seeds.", True),
            ("holds", "", True),  # of one seed
        )
    ]
    tables = {**one_seed, "claims": pd.DataFrame(rows)}
    html = written(tables, figures_dir, tmp_path)
    section = html[html.index('id="claims"') : html.index('id="verdict-table"')]
    assert section.count("<li>") == 2
    assert section.index("Ternary reward restores") < section.index("Beside it: undecided")
    assert "&lt;script&gt;alert(1)" in section
    assert "<script>" not in section
    assert 'id="claims"' not in written(one_seed, figures_dir, tmp_path)


def test_a_run_without_a_rule_has_no_rule_section(
    small: Tables, figures_dir: Path, tmp_path: Path
) -> None:
    run = {key: value for key, value in RUN.items() if key != "rule"}
    assert "The decision rule" not in page(small, run, figures_dir, tmp_path / "r.html").text
    assert "The decision rule" in page(small, RUN, figures_dir, tmp_path / "r.html").text


def test_the_same_tables_give_the_same_report(
    small: Tables, figures_dir: Path, tmp_path: Path
) -> None:
    first = write_report(small, tmp_path / "a.html", RUN, figures_dir)
    second = write_report(small, tmp_path / "b.html", RUN, figures_dir)
    assert first.read_bytes() == second.read_bytes()


def test_a_figure_of_another_run_is_refused(
    small: Tables, figures_dir: Path, tmp_path: Path
) -> None:
    other = {**RUN, "run_id": "ffffffffffff"}
    with pytest.raises(InputError, match=r"verdict\.png: drawn by run 0123456789ab"):
        write_report(small, tmp_path / "report.html", other, figures_dir)
    assert not (tmp_path / "report.html").exists()


def test_a_missing_figure_is_refused(small: Tables, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"verdict\.png: the report needs this figure"):
        write_report(small, tmp_path / "report.html", RUN, tmp_path)


def test_a_missing_table_is_refused(small: Tables, figures_dir: Path, tmp_path: Path) -> None:
    tables = {name: frame for name, frame in small.items() if name != "evidence"}
    with pytest.raises(InputError, match="'evidence'"):
        write_report(tables, tmp_path / "report.html", RUN, figures_dir)
