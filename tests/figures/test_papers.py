"""Styles of papers: widths, type, and files that are the same every time."""

from __future__ import annotations

import re
from itertools import pairwise
from pathlib import Path
from xml.etree import ElementTree

import matplotlib as mpl
import pytest

from interp.errors import InputError
from interp.figures import draw
from interp.figures.fitting import lines_of
from interp.figures.papers import Paper, active, drawn_for, papers
from interp.figures.registry import spec_of
from interp.figures.style import PAGE_IN, across, page_in
from tests.figures.printed import assert_printable, drawn_in, tables_of_every_kind
from tests.figures.tables import RUN

NAMES = [paper.name for paper in papers()]
# One laid out by hand, a forest, one with names at its lines' ends, and the paper's first.
FEW = ("verdict", "ablation", "relearn", "summary")
FORMATS = ("pdf", "png", "svg")


@pytest.fixture(scope="module")
def twice(tmp_path_factory: pytest.TempPathFactory) -> tuple[list[Path], list[Path]]:
    """The same figures, drawn two times in all formats."""
    paper = Paper.load("neurips", serif=True)
    first, again = (
        draw(
            tables_of_every_kind(), tmp_path_factory.mktemp(folder), RUN, names=FEW,
            formats=FORMATS, paper=paper,
        )
        for folder in ("first", "again")
    )  # fmt: skip
    return first, again


def of_format(paths: list[Path], ending: str) -> list[Path]:
    return [path for path in paths if path.suffix == f".{ending}"]


def test_widths_are_those_of_the_style_files() -> None:
    widths = {paper.name: paper.width_in for paper in papers()}
    assert widths["neurips"] == widths["iclr"] == 5.5
    assert widths["icml-column"] == (widths["icml"] - 0.25) / 2
    assert widths["acl"] == pytest.approx(16.0 / 2.54, abs=0.005)
    assert widths["acl-column"] == pytest.approx(7.7 / 2.54, abs=0.005)
    assert all(paper.source and paper.floor_pt == 5.5 for paper in papers())


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("figure", ["ablation", "support", "claim_brier_ranks"])
def test_every_style_is_printed_at_its_width_and_never_too_small(name: str, figure: str) -> None:
    assert_printable(figure, name)


def test_panels_go_into_further_rows_where_the_page_is_narrow() -> None:
    assert (page_in(), across(4)) == (PAGE_IN, 4)
    with drawn_for(Paper.load("icml-column")):
        assert (page_in(), across(4), across(2, 2.4), across(1)) == (3.25, 2, 1, 1)
    assert active() is None
    assert len(set(rows_of("behavior", None))) == 2
    assert len(set(rows_of("behavior", Paper.load("icml-column")))) == 4


def rows_of(name: str, paper: Paper | None) -> list[float]:
    return [round(float(ax.get_position().y0), 3) for ax in drawn_in(name, paper).axes]


def test_a_style_changes_no_settings_and_ends_with_its_block() -> None:
    before = dict(mpl.rcParams)
    drawn_in("ablation", Paper.load("acl", serif=True))
    assert dict(mpl.rcParams) == before
    assert drawn_in("ablation", None).get_size_inches()[0] == PAGE_IN


def test_serifs_are_asked_for() -> None:
    for serif, family in ((False, "DejaVu Sans"), (True, "STIXGeneral")):
        figure = drawn_in("ablation", Paper.load("neurips", serif=serif))
        labels = [ax.xaxis.label for ax in figure.axes]
        assert {label.get_fontfamily()[0] for label in labels} == {family}


def test_each_format_is_the_same_every_time(twice: tuple[list[Path], list[Path]]) -> None:
    assert [path.name for path in twice[0]] == [f"{n}.{kind}" for n in FEW for kind in FORMATS]
    for path, same in zip(*twice, strict=True):
        assert path.read_bytes() == same.read_bytes(), path.name


def test_fonts_are_embedded_as_truetype(twice: tuple[list[Path], list[Path]]) -> None:
    for path in of_format(twice[0], "pdf"):
        content = path.read_bytes()
        assert b"/FontFile2" in content
        assert b"/Type3" not in content
        assert b"STIXGeneral" in content
        width = re.search(rb"/MediaBox \[ 0 0 ([\d.]+)", content)
        assert width is not None
        assert float(width[1]) == 5.5 * 72


def test_svg_is_whole_and_loads_nothing(twice: tuple[list[Path], list[Path]]) -> None:
    for path in of_format(twice[0], "svg"):
        text = path.read_text(encoding="utf-8")
        root = ElementTree.fromstring(text)
        assert root.get("width") == "396pt"
        assert "<!DOCTYPE" not in text
        assert "<!ENTITY" not in text
        assert "@import" not in text
        for element in root.iter():
            assert not element.tag.endswith(("}script", "}text", "}foreignObject"))
            for name, value in element.attrib.items():
                if name.endswith("href"):
                    assert value.startswith("#"), value
                assert "url(" not in value or "url(#" in value
        assert "0123456789ab" in text  # the run
        assert spec_of(path.stem).title.split(":")[0] in text


def test_a_papers_figures_come_without_tables(
    twice: tuple[list[Path], list[Path]], tmp_path: Path
) -> None:
    assert {path.suffix for path in twice[0][0].parent.iterdir()} == {".pdf", ".png", ".svg"}
    tables = {name: tables_of_every_kind()[name] for name in ("ablation", "behavior")}
    drawn = draw(tables, tmp_path, RUN, names=["ablation"], formats=["svg"])
    assert [path.name for path in drawn] == ["ablation.svg", "ablation.csv", "behavior.csv"]


def test_unknown_names_are_refused_before_anything_is_drawn(tmp_path: Path) -> None:
    tables = tables_of_every_kind()
    with pytest.raises(InputError, match="no paper style 'nature'; there are neurips, iclr, icml"):
        Paper.load("nature")
    with pytest.raises(InputError, match="no figure format 'eps'; there are pdf, png, svg"):
        draw(tables, tmp_path / "out", RUN, names=["ablation"], formats=["pdf", "eps"])
    with pytest.raises(InputError, match="no figure format was given; there are pdf, png, svg"):
        draw(tables, tmp_path / "out", RUN, names=["ablation"], formats=[])
    with pytest.raises(InputError, match="no figure 'pie'; there are verdict, evidence"):
        draw(tables, tmp_path / "out", RUN, names=["pie"])
    assert not (tmp_path / "out").exists()


def test_names_break_at_underscores_and_no_part_is_lost() -> None:
    said = "reason_sft_upper: last token of the prompt"
    for chars in range(4, len(said) + 1):
        lines = lines_of(said, chars)
        assert "".join(lines).replace(" ", "") == said.replace(" ", "")
        longest = max(len(part) for part in re.findall(r"[^_ ]+_?", said))
        assert max(map(len, lines)) <= max(chars, longest)
        # Greedy: the next part would not have fitted.
        for line, following in pairwise(lines):
            part = re.findall(r"[^_ ]+_?", following)[0]
            assert len(line) + len(part) + (not line.endswith("_")) > chars
    assert lines_of("never", 3) == ["never"]
