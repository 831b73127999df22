"""What a person sees while a study runs: finished stages as lines, running ones as bars."""

from __future__ import annotations

import math
import os
import time
from collections.abc import Iterable
from dataclasses import astuple
from pathlib import Path
from threading import Lock
from types import TracebackType

import pandas as pd
from rich.console import Console, Group
from rich.live import Live
from rich.markup import escape
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeElapsedColumn
from rich.table import Table
from rich.text import Text

from interp._shown import time_left
from interp.planning import Forecast, Remaining
from interp.progress import Progress as Report
from interp.prompts.datasets import Check, Dataset, is_there
from interp.selfcheck import Line
from interp.stages.graph import Event
from interp.stages.jobs import JobState

STATUS_SECONDS = 60.0
"""Between two plain lines that say how far a run is."""


class Display:
    """Live progress on a terminal; plain lines elsewhere (a log, a Slurm file).

    Args:
        title: of the run.
        forecast: of its stages, which progress and the time left are told from.
        log: file that plain lines are added to: each finished stage, and at most once a minute how
            far the run is.
    """

    def __init__(
        self, title: str, forecast: Forecast | None = None, log: Path | None = None
    ) -> None:
        self._console = Console(highlight=False)
        self._title = title
        self._bars = Progress(
            TextColumn("  {task.description:44}"),
            BarColumn(bar_width=24),
            TextColumn("{task.fields[steps]:>10}"),
            TimeElapsedColumn(),
            console=self._console,
        )
        self._remaining = Remaining(forecast) if forecast else None
        self._tasks: dict[str, TaskID] = {}
        self._started: dict[str, float] = {}
        self._jobs: dict[str, str] = {}
        self._cached = 0
        self._begin = time.monotonic()
        self._said_at = self._begin
        self._log = log
        self._left = ""
        self._left_at = -math.inf
        self._lock = Lock()  # the live part is drawn by a thread of its own
        self._live = Live(get_renderable=self._view, console=self._console, transient=True)

    def __enter__(self) -> Display:
        """Starts the live part."""
        self._console.print(f"[bold]{escape(self._title)}[/bold]")
        self._note(f"{self._title}: begins")
        self._live.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Ends the live part, also after an error."""
        self._live.stop()
        if error is not None:
            self._note(f"{self._title}: stopped, {type(error).__name__} {error}".rstrip())

    def watch(self, what: Event | Report) -> None:
        """Shows an event, a report of progress, or where a job of a cluster is."""
        now = time.monotonic()
        if isinstance(what, JobState):
            self._job(what)
        elif isinstance(what, Report):
            if what.task in self._tasks:
                self._bars.update(
                    self._tasks[what.task],
                    completed=what.done,
                    total=what.total,
                    steps=f"{what.done}/{what.total}",
                )
        elif isinstance(what, Event):
            if self._remaining is not None:
                with self._lock:
                    self._remaining.seen(what, now)
            self._event(what, now)
        if now - self._said_at >= STATUS_SECONDS:
            self._said_at = now
            self._say(self._status(now))

    def _job(self, what: JobState) -> None:
        """Where a stage's job is; a log is told each change once."""
        if what.task in self._tasks:
            self._bars.update(self._tasks[what.task], steps=what.state)
        place = " ".join(part for part in (what.node, what.reason) if part)
        said = f"{what.state} {what.task}, job {what.job}" + (f" ({place})" if place else "")
        if self._jobs.get(what.task) != said:
            self._jobs[what.task] = said
            self._note(said)

    def _event(self, what: Event, now: float) -> None:
        if what.state == "cached":
            self._cached += 1
        elif what.state == "started":
            self._started[what.label] = now
            self._tasks[what.label] = self._bars.add_task(what.label, total=None, steps="")
        else:
            seconds = now - self._started[what.label]
            self._bars.remove_task(self._tasks.pop(what.label))
            line = f"{what.label:44} {seconds:6.1f} s"
            self._console.print(f"  [green]done[/green] {escape(line)}")
            self._note(f"done {line}")

    def _view(self) -> Group:
        """What is rewritten in place: how far all stages are, and the bars of those that run."""
        now = time.monotonic()
        if now - self._left_at >= 1:  # laying out the stages still to come takes a moment
            self._left, self._left_at = self._status(now), now
        return Group(Text(self._left, style="dim"), self._bars) if self._left else Group(self._bars)

    def _status(self, now: float) -> str:
        if self._remaining is None:
            return ""
        with self._lock:
            counts, left = self._remaining.counts, self._remaining.seconds(now)
        shown = [
            f"{count.kind} {count.done}/{count.total}"
            + (f" (cached {count.cached})" if count.cached else "")
            for count in counts
        ]
        ended = all(count.done == count.total for count in counts)
        return f"{', '.join(shown)}; {'all stages done' if ended else time_left(*left)}"

    def _say(self, line: str) -> None:
        """A plain line, for a log and where nothing can be rewritten."""
        if line:
            if not self._console.is_terminal:
                self._console.print(f"  {escape(line)}", soft_wrap=True)
            self._note(line)

    def _note(self, line: str) -> None:
        if self._log is not None:
            self._log.parent.mkdir(parents=True, exist_ok=True)
            with self._log.open("a", encoding="utf-8") as file:
                file.write(f"{time.strftime('%Y-%m-%d %H:%M:%S')}  {line}\n")

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
        self._note(f"{self._title}: done, {folder} ({seconds:.0f} s{cached})")


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
