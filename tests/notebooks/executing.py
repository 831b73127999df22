"""How notebooks are executed and read: on a micro pair, in an empty folder, with stored tables."""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient
from nbformat import NotebookNode

CHECKOUT = Path(__file__).parents[2]
SOURCES = {path.stem: path for path in sorted((CHECKOUT / "notebooks").glob("*.ipynb"))}
READ = ("organism", "organism_features", "reasoning")
"""Finished studies that notebooks read tables of."""
# Two folders deep at least, so that neither a fraction nor a closing HTML tag is taken for one.
ABSOLUTE_PATH = re.compile(r"(?<![\w.:/])(?:/|[A-Z]:\\)[\w.~-]+[/\\][\w.~-]+")


def source(name: str) -> NotebookNode:
    """A notebook as it is committed."""
    return nbformat.read(SOURCES[name], as_version=4)


def execute(name: str, pair: tuple[Path, Path], folder: Path) -> NotebookNode:
    """A notebook after a run in an empty folder; a cell that fails raises with its traceback."""
    notebook = source(name)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("INTERP_NOTEBOOK_PARENT", str(pair[0]))
        patch.setenv("INTERP_NOTEBOOK_CHILD", str(pair[1]))
        patch.setenv("INTERP_FIGURES", str(folder / "figures"))
        patch.delenv("INTERP_CACHE", raising=False)
        for study in READ:
            tables = (folder / "figures" / study, CHECKOUT / "figures" / study)
            tables[0].mkdir(parents=True)
            for path in (*tables[1].glob("*.csv"), tables[1] / "run.json"):
                shutil.copy(path, tables[0])
        client = NotebookClient(
            notebook, timeout=240, kernel_name="python3", resources={"metadata": {"path": folder}}
        )
        return client.execute()


def code_of(notebook: NotebookNode) -> list[NotebookNode]:
    """The cells that are run."""
    return [cell for cell in notebook.cells if cell.cell_type == "code"]


def shown(notebook: NotebookNode) -> Iterator[str]:
    """All text that the outputs show."""
    for cell in code_of(notebook):
        for output in cell.outputs:
            yield output.get("text", "")
            for kind, content in output.get("data", {}).items():
                if kind.startswith("text/"):
                    yield content


def check_every_cell_ran(notebook: NotebookNode, n_figures: int) -> None:
    """Each cell has its number, and as many figures are there as the notebook draws."""
    cells = code_of(notebook)
    assert all(cell.execution_count for cell in cells)
    drawn = [out for cell in cells for out in cell.outputs if "image/png" in out.get("data", {})]
    assert len(drawn) == n_figures


def check_nothing_is_complained_of(notebook: NotebookNode) -> None:
    """Nothing goes to stderr, and no warning is shown."""
    streams = {
        (out.name, out.text)
        for cell in code_of(notebook)
        for out in cell.outputs
        if out.output_type == "stream" and out.name != "stdout"
    }
    assert not streams
    assert not [text for text in shown(notebook) if re.search("warning", text, re.IGNORECASE)]


def check_nothing_is_given_away(notebook: NotebookNode, pair: tuple[Path, Path]) -> None:
    """No path of the machine is shown."""
    home = str(Path.home())
    for text in shown(notebook):
        assert not ABSOLUTE_PATH.search(text)
        assert str(pair[0].parent) not in text
        assert home == "/" or home not in text


def seen(notebook: NotebookNode) -> list[str]:
    """The sentences on what was seen, each computed from the numbers above it."""
    return [text for text in shown(notebook) if text.startswith("**Seen.**")]
