"""What a person sees while a study runs: finished stages as lines, running ones as bars."""

from __future__ import annotations

import os
import time
from collections.abc import Iterable
from dataclasses import astuple
from pathlib import Path
from types import TracebackType

import pandas as pd
from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeElapsedColumn
from rich.table import Table

from interp.progress import Progress as Report
from interp.prompts.datasets import Check, Dataset, is_there
from interp.selfcheck import Line
from interp.stages.graph import Event


class Display:
    """Live progress on a terminal; plain lines elsewhere (a log, a Slurm file).

    Args:
        title: of the run.
    """

    def __init__(self, title: str) -> None:
        self._console = Console(highlight=False)
        self._title = title
        self._bars = Progress(
            TextColumn("  {task.description:44}"),
            BarColumn(bar_width=24),
            TextColumn("{task.fields[steps]:>10}"),
            TimeElapsedColumn(),
            console=self._console,
            transient=True,
        )
        self._tasks: dict[str, TaskID] = {}
        self._started: dict[str, float] = {}
        self._cached = 0
        self._begin = time.monotonic()

    def __enter__(self) -> Display:
        """Starts the live part."""
        self._console.print(f"[bold]{self._title}[/bold]")
        self._bars.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Ends the live part, also after an error."""
        self._bars.stop()

    def watch(self, what: Event | Report) -> None:
        """Shows an event or a report of progress."""
        if isinstance(what, Report):
            if what.task in self._tasks:
                self._bars.update(
                    self._tasks[what.task],
                    completed=what.done,
                    total=what.total,
                    steps=f"{what.done}/{what.total}",
                )
        elif what.state == "cached":
            self._cached += 1
        elif what.state == "started":
            self._started[what.label] = time.monotonic()
            self._tasks[what.label] = self._bars.add_task(what.label, total=None, steps="")
        else:
            seconds = time.monotonic() - self._started[what.label]
            self._bars.remove_task(self._tasks.pop(what.label))
            self._console.print(f"  [green]done[/green] {what.label:44} {seconds:6.1f} s")

    def verdicts(self, verdict: pd.DataFrame) -> None:
        """Prints the verdict table."""
        table = Table(title="Verdicts", title_justify="left", show_edge=False)
        for column in ("seed", "member", "parent", "planted", "verdict"):
            table.add_column(column)
        for row in verdict.itertuples(index=False):
            table.add_row(str(row.seed), row.member, row.parent or "-", row.planted, row.verdict)
        self._console.print(table)

    def done(self, folder: Path) -> None:
        """Prints where the results are and how long it took."""
        seconds = time.monotonic() - self._begin
        cached = f", {self._cached} stages from the cache" if self._cached else ""
        self._console.print(f"{os.path.relpath(folder)}  ({seconds:.0f} s{cached})")


def check_table(lines: Iterable[Line]) -> Line | None:
    """Prints the lines of a self-check as they come; returns the first that does not hold."""
    console = Console(highlight=False, soft_wrap=True)
    console.print(f"[bold]      {'check':40} {'error':>8} {'allowed':>8}  found[/bold]")
    failed = None
    for line in lines:
        mark = "[green]ok  [/green]" if line.passed else "[red]FAIL[/red]"
        error, bound = ("" if n is None else f"{n:.1e}" for n in (line.error, line.bound))
        name = escape(f"{line.name:40}")
        console.print(f"{mark}  {name} {error:>8} {bound:>8}  {escape(line.result)}")
        failed = failed or (None if line.passed else line)
    return failed


def dataset_list(datasets: Iterable[Dataset], folder: Path | None) -> None:
    """Prints what is known of datasets, and which are in a folder, if there is one."""
    console = Console(highlight=False, soft_wrap=True)
    for dataset in datasets:
        there = ""
        if folder is not None:
            held = is_there(dataset.name, folder)
            there = "[green]there[/green]" if held else "[yellow]not there[/yellow]"
        known = dataset.known
        rows = (
            f"{known.rows} rows, {known.should_abstain} to abstain on" if known else "not counted"
        )
        console.print(f"[bold]{escape(f'{dataset.name:36}')}[/bold] {rows:36} {there}".rstrip())
        console.print(f"    {escape(', '.join(dataset.scenarios) or 'no scenario')}")
        console.print(f"    {escape(f'{dataset.url} ({dataset.licence}), in {dataset.folder}/')}")
        if dataset.caution:
            console.print(f"    {escape(dataset.caution)}")


def dataset_checks(checks: Iterable[Check]) -> list[str]:
    """Prints checks of datasets as they come; returns the names of those that do not agree."""
    console = Console(highlight=False, soft_wrap=True)
    console.print(f"[bold]      {'dataset':36} {'rows':>14} {'abstain':>14} {'pairs':>14}[/bold]")
    failed = []
    for check in checks:
        if check.found is None:
            console.print(f"-     {escape(f'{check.name:36}')} {'not there':>14}")
            continue
        both = zip(astuple(check.found), astuple(check.known or check.found), strict=True)
        cells = [f"{n}" if n == m else f"{n} of {m}" for n, m in both]
        mark = "[green]ok  [/green]" if check.passed else "[red]FAIL[/red]"
        mark = mark if check.known else "-   "
        counts = " ".join(f"{cell:>14}" for cell in cells)
        console.print(f"{mark}  {escape(f'{check.name:36}')} {counts}")
        failed += [] if check.passed else [check.name]
    return failed
