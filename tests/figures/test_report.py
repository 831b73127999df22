"""The report is one safe file that holds the figures and the tables' numbers."""

from __future__ import annotations

import base64
import platform
import re
from collections.abc import Mapping
from hashlib import sha256
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
    """Tags, addresses, scripts and visible text of a page."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str]] = []
        self.text = ""
        self.scripts: list[str] = []
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        if tag == "script":
            self.scripts.append("")
        self.attributes += [(name, value or "") for name, value in attrs]

    def handle_data(self, data: str) -> None:
        if self.tags[-1:] == ["script"] and self.cdata_elem == "script":
            self.scripts[-1] += data
        elif self.cdata_elem != "style":
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
    assert not set(shown.tags) & {"link", "iframe", "object", "embed", "base", "form"}
    fetched = {"src", "srcset", "action", "formaction", "data", "poster", "background"}
    addresses = [v for n, v in shown.attributes if n in fetched]
    assert all(a.startswith("data:image/png;base64,") for a in addresses)
    links = [v for n, v in shown.attributes if n == "href" and not v.startswith("#")]
    assert links
    assert all(link.startswith("https://arxiv.org/abs/") for link in links)
    html = (tmp_path / "report.html").read_text(encoding="utf-8")
    assert html.count("://") == len(links)
    assert "url(" not in html
    assert "@import" not in html
    embedded = [base64.b64decode(a.split(",")[1]) for a in addresses if a.startswith("data:")]
    assert embedded == [(figures_dir / f"{name}.png").read_bytes() for name in FIGURES]


def test_inner_links_lead_somewhere(one_seed: Tables, figures_dir: Path, tmp_path: Path) -> None:
    shown = page(one_seed, RUN, figures_dir, tmp_path / "report.html")
    ids = {value for name, value in shown.attributes if name == "id"}
    inner = {v[1:] for n, v in shown.attributes if n == "href" and v.startswith("#")}
    assert inner
    assert inner <= ids


def test_only_the_scripts_of_the_page_itself_may_run(
    one_seed: Tables, figures_dir: Path, tmp_path: Path
) -> None:
    shown = page(one_seed, RUN, figures_dir, tmp_path / "report.html")
    policy = next(value for _, value in shown.attributes if "default-src" in value)
    allowed = set(re.findall(r"'sha256-([^']+)'", policy))
    hashes = {base64.b64encode(sha256(s.encode()).digest()).decode() for s in shown.scripts}
    assert allowed == hashes
    assert len(hashes) == 2
    assert "default-src 'none'" in policy
    assert "unsafe-inline" not in policy.split("script-src")[1]


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
    ours = page(small, RUN, figures_dir, tmp_path / "plain.html").scripts
    assert shown.scripts == ours
    assert shown.text.count(EVIL) > 10


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


def test_the_reasons_stand_under_each_verdict(
    small: Tables, figures_dir: Path, tmp_path: Path
) -> None:
    reasons = pd.DataFrame(
        [
            {"seed": 0, "member": "reason_sft_upper", "verdict": "DESELECTED", "reason": reason}
            for reason in ("transfer is there", EVIL)
        ]
    )
    skipped = pd.DataFrame(
        [{"member": "child", "parent": "base", "stage": "graft", "reason": "24 and 28 layers"}]
    )
    tables = {**small, "reasons": reasons, "skipped": skipped}
    html = written(tables, figures_dir, tmp_path)
    table = html[html.index('class="evidence"') : html.index("</table>")]
    row = table[table.index('<tr class="reasons">') :]
    assert row.index("transfer is there") < row.index("&lt;script&gt;")
    assert table.index("DESELECTED") < table.index("transfer is there")
    # The member's cell spans its row and that of its reasons, the base's its own alone.
    assert 'rowspan="2"><code>reason_sft_upper' in table
    text = Page(html).text
    assert text.index("What was not done") < text.index("24 and 28 layers")
    plain = written(small, figures_dir, tmp_path)
    assert 'class="reasons"' not in plain
    assert "What was not done" not in plain


def test_a_study_without_a_verdict_has_a_report(
    small: Tables, figures_dir: Path, tmp_path: Path
) -> None:
    kinds = pd.DataFrame(
        [
            {
                "seed": 0, "member": m, "elicitation": "chat", "kind": kind,
                "estimate": x, "lo": x - 0.1, "hi": x + 0.1, "n": 40,
            }
            for m in ("base", "child") for kind, x in (("answer", 0.7), ("abstain", 0.3))
        ]
    )  # fmt: skip
    config = {"name": "my_questions", "description": "Two models, forty questions.", "seed": 3}
    run = {**RUN, "config": config, "figures": ["probes"]}
    tables = {"kinds": kinds, "probes": small["probes"]}
    text = page(tables, run, figures_dir, tmp_path / "report.html").text
    assert "My questions" in text
    assert "Two models, forty questions." in text
    assert "0.70 [0.60, 0.80]" in text
    assert "Deselected or erased?" not in text
    assert "What the verdicts mean" not in text
    assert "Figure 1. What can be read out, by layer" in text


def test_feature_pages_beside_the_report_are_linked(
    small: Tables, figures_dir: Path, tmp_path: Path
) -> None:
    (tmp_path / "pages").mkdir()
    for name in ("index", "10-3", "2-41"):
        (tmp_path / f"pages/{name}.html").touch()
    shown = page(small, RUN, figures_dir, tmp_path / "report.html")
    links = [v for n, v in shown.attributes if n == "href" and v.startswith("pages/")]
    assert links == ["pages/index.html", "pages/2-41.html", "pages/10-3.html"]
    assert all((tmp_path / link).is_file() for link in links)


def test_versions_are_those_of_the_run_and_not_of_who_draws(
    small: Tables, figures_dir: Path, tmp_path: Path
) -> None:
    run = {**RUN, "versions": {"Python": "3.99", "torch": "9.9.9"}}
    text = page(small, run, figures_dir, tmp_path / "report.html").text
    assert "9.9.9" in text
    assert "3.99" in text
    without = page(small, RUN, figures_dir, tmp_path / "report.html").text
    assert "wrote down no versions" in without
    assert platform.python_version() not in text + without
