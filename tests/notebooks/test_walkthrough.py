"""The walkthrough runs from its first cell to its last, and shows nothing of the machine."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient
from nbformat import NotebookNode

from interp.settings import figures_root
from interp.tables import write_csv
from tests.figures.tables import study_tables

SOURCE = Path(__file__).parents[2] / "notebooks" / "walkthrough.ipynb"
# Two folders deep at least, so that neither a fraction nor a closing HTML tag is taken for one.
ABSOLUTE_PATH = re.compile(r"(?<![\w.:/])(?:/|[A-Z]:\\)[\w.~-]+[/\\][\w.~-]+")


@pytest.fixture(scope="module")
def executed(
    pair: tuple[Path, Path], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[NotebookNode]:
    """The notebook after a run in an empty folder, on the micro pair and synthetic tables."""
    folder = tmp_path_factory.mktemp("walkthrough")
    notebook = nbformat.read(SOURCE, as_version=4)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("INTERP_NOTEBOOK_PARENT", str(pair[0]))
        patch.setenv("INTERP_NOTEBOOK_CHILD", str(pair[1]))
        patch.setenv("INTERP_FIGURES", str(folder / "figures"))
        for name, frame in study_tables().items():
            write_csv(frame, figures_root() / "organism" / f"{name}.csv")
        client = NotebookClient(
            notebook, timeout=240, kernel_name="python3", resources={"metadata": {"path": folder}}
        )
        yield client.execute()  # a cell that fails raises here, with its traceback


def shown(notebook: NotebookNode) -> Iterator[str]:
    for cell in notebook.cells:
        for output in cell.get("outputs", []):
            yield output.get("text", "")
            for kind, content in output.get("data", {}).items():
                if kind.startswith("text/"):
                    yield content


def test_every_cell_runs_and_the_figures_are_there(executed):
    code = [cell for cell in executed.cells if cell.cell_type == "code"]
    assert all(cell.execution_count for cell in code)
    drawn = [out for cell in code for out in cell.outputs if "image/png" in out.get("data", {})]
    assert len(drawn) == 4


def test_nothing_is_written_to_stderr_and_no_warning_is_shown(executed):
    streams = [out.name for cell in executed.cells for out in cell.get("outputs", [])
               if out.output_type == "stream"]  # fmt: skip
    assert set(streams) == {"stdout"}
    assert not [text for text in shown(executed) if re.search("warning", text, re.IGNORECASE)]


def test_no_path_of_the_machine_is_shown(executed, pair):
    home = str(Path.home())
    for text in shown(executed):
        assert not ABSOLUTE_PATH.search(text)
        assert str(pair[0].parent) not in text
        assert home == "/" or home not in text


def test_a_path_would_be_noticed():
    assert ABSOLUTE_PATH.search("saved to /home/someone/cache")
    assert ABSOLUTE_PATH.search("Path('/tmp/x/base')")
    assert not ABSOLUTE_PATH.search("<td>1/2</td>\n</tr> a / b </th></thead>")


def test_the_source_is_committed_without_outputs():
    for cell in nbformat.read(SOURCE, as_version=4).cells:
        if cell.cell_type == "code":
            assert cell.execution_count is None
            assert not cell.outputs
