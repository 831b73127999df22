"""What holds of every notebook as it stands, and the first four executed."""

from __future__ import annotations

import ast
import importlib

import pytest

from tests.notebooks.executing import (
    ABSOLUTE_PATH,
    SOURCES,
    check_every_cell_ran,
    check_nothing_is_complained_of,
    check_nothing_is_given_away,
    code_of,
    execute,
    seen,
    source,
)

FIGURES = {
    "01_quickstart": 2,
    "02_capture_and_positions": 0,
    "03_probing_with_controls": 3,
    "04_features_and_model_diff": 2,
}
"""How many figures each draws."""
GROUND = ("interp.errors", "interp.progress", "interp.settings", "interp.study", "interp.tables")
"""Modules beside the rooms that notebooks use."""


@pytest.fixture(scope="module", params=FIGURES)
def executed(request, pair, tmp_path_factory):
    return request.param, execute(request.param, pair, tmp_path_factory.mktemp(request.param))


def test_every_cell_runs_and_the_figures_are_there(executed):
    name, notebook = executed
    check_every_cell_ran(notebook, FIGURES[name])


def test_nothing_is_written_to_stderr_and_no_warning_is_shown(executed):
    check_nothing_is_complained_of(executed[1])


def test_no_path_of_the_machine_is_shown(executed, pair):
    check_nothing_is_given_away(executed[1], pair)


def test_what_was_seen_is_said(executed):
    assert len(seen(executed[1])) >= 3


def test_a_path_would_be_noticed():
    assert ABSOLUTE_PATH.search("saved to /home/someone/cache")
    assert ABSOLUTE_PATH.search("Path('/tmp/x/base')")
    assert not ABSOLUTE_PATH.search("<td>1/2</td>\n</tr> a / b </th></thead>")


def test_there_are_eight_in_the_order_they_are_read():
    assert [name[:2] for name in SOURCES] == [f"0{number}" for number in range(1, 9)]


@pytest.mark.parametrize("name", SOURCES)
def test_the_source_is_committed_without_outputs(name):
    for cell in code_of(source(name)):
        assert cell.execution_count is None
        assert not cell.outputs


@pytest.mark.parametrize("name", SOURCES)
def test_a_notebook_has_a_title_a_question_what_to_expect_and_ends_with_its_limits(name):
    cells = source(name).cells
    first, last = cells[0], cells[-1]
    assert first.cell_type == last.cell_type == "markdown"
    assert first.source.startswith(f"# {int(name[:2])}. ")
    assert "**Question.**" in first.source
    assert "**What one would see if" in first.source
    assert "## What this does not show" in last.source
    limits = last.source.partition("## What this does not show")[2]
    assert limits.count("\n- ") >= 3


@pytest.mark.parametrize("name", SOURCES)
def test_only_what_is_public_is_imported(name):
    for cell in code_of(source(name)):
        python = "\n".join(line for line in cell.source.splitlines() if not line.startswith("%"))
        for node in ast.walk(ast.parse(python)):
            if not isinstance(node, ast.ImportFrom) or not str(node.module).startswith("interp"):
                continue
            if node.module == "interp.comparing":
                continue  # of which `load_study` is public; it may be missing
            module = importlib.import_module(str(node.module))
            public = vars(module) if node.module in GROUND else module.__all__
            assert {alias.name for alias in node.names} <= set(public)
