"""`interp data`: what is listed, what is counted, and one line for what is wrong."""

from __future__ import annotations

import sys

import pytest

from interp import cli
from interp.prompts.datasets import datasets
from tests.prompts.datasets.published import MAKERS


def call(*arguments, monkeypatch):
    monkeypatch.setattr(sys, "argv", ["interp", "data", *map(str, arguments)])
    with pytest.raises(SystemExit) as stop:
        cli.main()
    return int(stop.value.code or 0)


def test_the_list_says_where_each_is_published_and_whether_it_is_there(
    tmp_path, monkeypatch, capsys
):
    assert call("list", monkeypatch=monkeypatch) == 0
    shown = capsys.readouterr().out
    for dataset in datasets():
        assert dataset.name in shown
        assert f"{dataset.url} ({dataset.licence})" in shown
    assert "there" not in shown.replace("there is no", "")
    MAKERS["umwp"](tmp_path)
    assert call("list", tmp_path, monkeypatch=monkeypatch) == 0
    heads = [line for line in capsys.readouterr().out.split("\n") if line.endswith("there")]
    assert [line.split()[0] for line in heads if not line.endswith("not there")] == ["umwp"]
    assert len(heads) == len(datasets())


def test_the_check_counts_and_fails_where_counts_differ(tmp_path, monkeypatch, capsys):
    MAKERS["umwp"](tmp_path)
    assert call("check", tmp_path, monkeypatch=monkeypatch) == 2
    shown = capsys.readouterr()
    (line,) = [line for line in shown.out.split("\n") if " umwp " in line]
    assert line.split() == [
        "FAIL",
        "umwp",
        *["3", "of", "5200", "1", "of", "2600", "1", "of", "2600"],
    ]
    assert shown.out.count("not there") == len(datasets()) - 1
    assert shown.err == f"interp: {tmp_path}: not as published: umwp\n"


def test_counts_that_agree_pass(tmp_path, monkeypatch, capsys):
    from interp.prompts.datasets import Check, Counts

    monkeypatch.setattr(
        "interp.prompts.datasets.check_dataset",
        lambda name, folder: Check(name, Counts(3, 1, 1), Counts(3, 1, 1)),
        raising=False,
    )
    assert call("check", tmp_path, monkeypatch=monkeypatch) == 0
    lines = capsys.readouterr().out.strip().split("\n")[1:]
    assert {tuple(line.split()[::2]) for line in lines} == {("ok", "3", "1")}


@pytest.mark.parametrize("command", ["list", "check"])
def test_a_folder_that_does_not_exist_is_one_line(command, tmp_path, monkeypatch, capsys):
    assert call(command, tmp_path / "nowhere", monkeypatch=monkeypatch) == 2
    shown = capsys.readouterr().err
    assert shown.startswith(f"interp: {tmp_path / 'nowhere'}: no such folder")
    assert shown.count("\n") == 1


def test_a_broken_file_is_one_line_after_what_was_counted(tmp_path, monkeypatch, capsys):
    MAKERS["selfaware"](tmp_path)
    MAKERS["umwp"](tmp_path, category=7)
    assert call("check", tmp_path, monkeypatch=monkeypatch) == 2
    shown = capsys.readouterr()
    assert " selfaware " in shown.out
    assert "StandardDataset.jsonl, line 3: `category` is 7" in shown.err


def test_counts_that_nobody_published_are_shown_without_a_verdict(tmp_path, monkeypatch, capsys):
    MAKERS["alcuna"](tmp_path)
    assert call("check", tmp_path, monkeypatch=monkeypatch) == 0
    (line,) = [one for one in capsys.readouterr().out.split("\n") if " alcuna " in one]
    assert line.split() == ["-", "alcuna", "2", "1", "0"]
    assert call("list", monkeypatch=monkeypatch) == 0
    (line,) = [one for one in capsys.readouterr().out.split("\n") if one.startswith("alcuna")]
    assert line.split() == ["alcuna", "not", "counted"]
