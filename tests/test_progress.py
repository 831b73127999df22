"""Reports reach the one who shows them, and a line says how far and how long."""

from __future__ import annotations

import pytest

from interp import progress
from interp.progress import Progress, listen, report, show_progress


@pytest.fixture(autouse=True)
def no_listener(monkeypatch):
    monkeypatch.setattr(progress, "_listeners", [])


def test_a_report_without_a_listener_is_nothing(capsys):
    report(Progress("capture", 1, 2))
    assert capsys.readouterr() == ("", "")


def test_the_last_listener_hears_all(capsys):
    heard = []
    show_progress()
    listen(heard.append)
    report(Progress("capture", 1, 2))
    assert heard == [Progress("capture", 1, 2)]
    assert capsys.readouterr().err == ""


def test_the_line_counts_and_estimates_what_is_left(capsys, monkeypatch):
    clock = iter([0.0, 10.0, 30.0, 40.0])
    monkeypatch.setattr(progress.time, "monotonic", lambda: next(clock))
    show_progress()
    for done in (1, 2, 4):
        report(Progress("capture base", done, 4))
    report(Progress("capture child", 1, 2))
    lines = capsys.readouterr().err.split("\r")
    assert "capture base: 2/4, 10 s left" in lines[2]
    assert lines[3].startswith("capture base: 4/4, 30 s")
    assert lines[3].endswith("\n")
    assert "capture child: 1/2, 0 s left" in lines[4]
