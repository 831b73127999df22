"""What a person and a log are told while a study runs."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from interp import _display
from interp._display import Display
from interp._shown import duration, size, time_left
from interp.planning import Forecast, Task
from interp.progress import Progress
from interp.stages.graph import Event
from interp.stages.jobs import JobState
from interp.stages.timing import Usual


class Clock:
    """A clock that is set by hand."""

    def __init__(self) -> None:
        self.now = 0.0

    def monotonic(self) -> float:
        return self.now

    @staticmethod
    def strftime(_: str) -> str:
        return "now"


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(_display, "time", clock)
    return clock


def three() -> Forecast:
    usual = Usual(seconds=120)
    kinds = {"train a": "train", "train b": "train", "ask a": "ask"}
    tasks = [
        Task(f"{kind}/{i}", kind, (), label, False, usual)
        for i, (label, kind) in enumerate(kinds.items())
    ]
    return Forecast(tuple(tasks), 1, 0)


def test_a_log_has_finished_stages_and_how_far_it_is_once_a_minute(
    clock: Clock, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    log = tmp_path / "logs" / "mine.log"
    with Display("mine", three(), log) as display:
        display.watch(Event("ask a", "cached"))
        display.watch(Event("train a", "started"))
        for second in range(1, 121):
            clock.now = float(second)
            display.watch(Progress("train a", second, 120))
        display.watch(Event("train a", "done"))
        for label in ("train b", "ask b"):
            display.watch(Event(label, "cached"))
        clock.now = 181.0
        display.watch(Progress("draw", 1, 2))
        display.done(tmp_path)
    assert log.read_text().splitlines() == [
        "now  mine: begins",
        "now  train 0/2, ask 1/1 (cached 1); about 3 min left",
        "now  train 0/2, ask 1/1 (cached 1); about 2 min left",
        f"now  done {'train a':44}  120.0 s",
        "now  train 2/2 (cached 1), ask 1/1 (cached 1); all stages done",
        f"now  mine: done, {tmp_path} (181 s, 3 stages from the cache)",
    ]
    # Where nothing can be rewritten, the same lines are all there is.
    shown = capsys.readouterr().out
    assert shown.count("left") == 2
    assert re.search(r"done train a +120\.0 s", shown)


def test_a_log_says_how_a_run_was_stopped_and_keeps_earlier_ones(
    clock: Clock, tmp_path: Path
) -> None:
    log = tmp_path / "mine.log"
    log.write_text("earlier\n")
    with pytest.raises(ValueError, match="why"), Display("mine", three(), log):
        raise ValueError("why")
    assert log.read_text().splitlines() == [
        "earlier",
        "now  mine: begins",
        "now  mine: stopped, ValueError why",
    ]


def test_without_a_forecast_there_is_no_estimate(
    clock: Clock, capsys: pytest.CaptureFixture[str]
) -> None:
    with Display("organism") as display:
        display.watch(Event("train a", "started"))
        clock.now = 500.0
        display.watch(Event("train a", "done"))
    assert "left" not in capsys.readouterr().out


@pytest.mark.parametrize(
    ("seconds", "said"),
    [
        (0, "0 s"),
        (99.4, "99 s"),
        (100, "2 min"),
        (3569, "59 min"),
        (3580, "1 h 0 min"),
        (12_000, "3 h 20 min"),
        (48 * 3600 - 1, "2 d 0 h"),
        (100 * 3600, "4 d 4 h"),
    ],
)
def test_durations_are_said_in_the_units_people_wait_in(seconds: float, said: str) -> None:
    assert duration(seconds) == said
    assert time_left(seconds, False) == f"about {said} left"
    assert time_left(seconds, True) == f"at least {said} left"


def test_sizes() -> None:
    assert [size(n) for n in (0, 5400, 4e5, 9.9e6, 1.2e7, 3.14e9)] == [
        "0 kB",
        "5 kB",
        "0.4 MB",
        "9.9 MB",
        "12 MB",
        "3.1 GB",
    ]


def test_where_a_job_is_is_told_to_a_log_once_for_each_change(tmp_path: Path) -> None:
    log = tmp_path / "mine.log"
    waits = JobState("train a", 0, 1, "pending", "7_0", "", "Resources")
    runs = JobState("train a", 0, 1, "running", "7_0", "n1", "")
    with Display("mine", three(), log) as display:
        display.watch(Event("train a", "started"))
        for state in (waits, waits, runs, runs, runs):
            display.watch(state)
    lines = [line for line in log.read_text(encoding="utf-8").splitlines() if "job 7_0" in line]
    assert [line.partition("pending")[2] for line in lines[:1]] == [" train a, job 7_0 (Resources)"]
    assert lines[1].endswith("running train a, job 7_0 (n1)")
    assert len(lines) == 2
