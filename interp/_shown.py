"""What a person is shown before a study runs, and of two studies: tables and plain sentences."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from interp.differing import Change, Difference, TableDifference
from interp.planning import Forecast, Row

MOST_ROWS = 5
"""Rows of a table that only one study has, and columns that differ, which are named."""
LONGEST = 100
"""Characters of a setting that are shown."""


def plan(forecast: Forecast) -> None:
    """Prints what a study is going to take: stages, time and space."""
    console = Console(highlight=False, soft_wrap=True)
    table = Table(show_edge=False, pad_edge=False)
    table.add_column("stage")
    for column in ("how many", "cached", "time", "disk"):
        table.add_column(column, justify="right")
    for row in forecast.rows:
        table.add_row(row.kind, str(row.total), str(row.cached), *_expected(row))
    console.print(table)
    workers = f"{forecast.workers} worker{'s' if forecast.workers > 1 else ''}"
    time = _at_least(duration(forecast.seconds), forecast.unmeasured)
    alone = duration(sum(row.seconds for row in forecast.rows))
    beside = f", {alone} one stage after the other" if forecast.workers > 1 else ""
    console.print(f"time: {time} with {workers}{beside}{_why(forecast.unmeasured, 'measured')}")
    space = _at_least(size(forecast.bytes), forecast.unweighed)
    console.print(
        f"disk: {space} at the peak, {size(forecast.free)} free"
        + _why(forecast.unweighed, "weighed")
    )
    if forecast.bytes > forecast.free:
        console.print("[red]the disk is too small for that; set INTERP_CACHE to another one[/red]")


def _expected(row: Row) -> tuple[str, str]:
    """Time and space of a kind of stage, one stage after the other."""
    if not row.to_do:
        return "-", "-"
    time = _at_least(duration(row.seconds), row.unmeasured)
    space = _at_least(size(row.bytes), row.unweighed)
    return (
        "unknown" if row.unmeasured == row.to_do else time,
        "unknown" if row.unweighed == row.to_do else space,
    )


def _at_least(text: str, unknown: int) -> str:
    return f"at least {text}" if unknown else text


def _why(unknown: int, how: str) -> str:
    stages = "1 stage has" if unknown == 1 else f"{unknown} stages have"
    return f" ({stages} never been {how} here)" if unknown else ""


def time_left(seconds: float, at_least: bool) -> str:
    """How long a run still takes, in words."""
    return f"{'at least' if at_least else 'about'} {duration(seconds)} left"


def duration(seconds: float) -> str:
    """Such as "40 s", "12 min", "3 h 20 min" or "2 d 4 h"."""
    if seconds < 99.5:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    if minutes < 60:
        return f"{minutes} min"
    if minutes < 48 * 60:
        return f"{minutes // 60} h {minutes % 60} min"
    hours = round(seconds / 3600)
    return f"{hours // 24} d {hours % 24} h"


def size(n_bytes: float) -> str:
    """Such as "0 kB", "12 kB", "0.4 MB", "12 MB" or "3.1 GB"."""
    if n_bytes >= 1e9:
        return f"{n_bytes / 1e9:.1f} GB"
    if n_bytes < 1e5:
        return f"{n_bytes / 1e3:.0f} kB"
    return f"{n_bytes / 1e6:.{1 if n_bytes < 9.95e6 else 0}f} MB"


# --- two studies ---------------------------------------------------------------------------------


def differences(found: Difference) -> None:
    """Prints what differs between two studies."""
    console = Console(highlight=False, soft_wrap=True)

    def say(line: str) -> None:
        console.print(escape(line))

    console.print(f"[bold]{escape(found.a.name)} -> {escape(found.b.name)}[/bold]")
    _changed(console, "config", found.config)
    if not found.compared:
        lone = [side.name for side in (found.a, found.b) if side.tables is None]
        say(f"results: not compared, {' and '.join(lone)} has not been run as it stands")
        return
    _changed(console, "code", found.code)
    _changed(console, "models", found.models)
    _changed(console, "rule", found.rule)
    if found.verdicts is not None:
        _changed(console, "verdicts", found.verdicts)
    for name, lone in ((found.a.name, found.only_a), (found.b.name, found.only_b)):
        if lone:
            say(f"tables only in {name}: {', '.join(lone)}")
    if found.same:
        say(f"tables the same: {', '.join(found.same)}")
    for table in found.tables:
        console.print(f"[bold]table {escape(table.name)}[/bold]")
        for line in _lines(table, found.a.name, found.b.name):
            say(f"  {line}")


def _changed(console: Console, what: str, changes: Sequence[Change]) -> None:
    console.print(f"[bold]{what}[/bold]" + ("" if changes else ": the same"))
    for change in changes:
        console.print(escape(f"  {change.key}: {_value(change.old)} -> {_value(change.new)}"))


def _value(value: Any) -> str:
    shown = " ".join(str(value).split())
    return shown if len(shown) <= LONGEST else f"{shown[:LONGEST]}..."


def _lines(table: TableDifference, a: str, b: str) -> Iterable[str]:
    yield f"{_rows(table.both)} in both, matched on {', '.join(table.keys) or 'their order'}"
    for name, missing in ((a, table.missing_b), (b, table.missing_a)):
        if missing:
            yield f"columns only in {name}: {', '.join(missing)}"
    for name, rows in ((a, table.only_a), (b, table.only_b)):
        if rows:
            more = f"; and {len(rows) - MOST_ROWS} more" if len(rows) > MOST_ROWS else ""
            yield f"{_rows(len(rows))} only in {name}: {'; '.join(rows[:MOST_ROWS])}{more}"
    for column in table.columns[:MOST_ROWS]:
        if np.isnan(column.largest):
            yield f"{column.column}: {_rows(column.changed)} changed, first {column.where}"
        else:
            yield (
                f"{column.column}: differs by up to {column.largest:.3g} ({column.where}), "
                f"{_rows(column.changed)} changed"
            )
    if len(table.columns) > MOST_ROWS:
        yield "also " + ", ".join(column.column for column in table.columns[MOST_ROWS:])
    if table.intervals and table.columns:
        yield f"intervals: {table.apart} of {table.intervals} do not overlap"


def _rows(n: int) -> str:
    return "1 row" if n == 1 else f"{n} rows"
