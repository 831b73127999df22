"""`interp published`: what it writes and says, and one line for what is wrong."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pandas as pd
import pytest

from interp import cli
from interp.behavior.published.abstentionbench import COLUMNS
from interp.publishing import republished
from tests.behavior import published_replies as made
from tests.behavior.published_replies import REAL

TABLES = {
    "abstentionbench": ["changes", "mean_changes", "means", "means_by_scenario", "three_way"],
    "mip": ["abstain_rates", "changes", "lengths", "noticed", "noticed_by_length"],
    "umwp": ["changes", "noticed", "noticed_by_length", "outcomes", "transitions"],
}


@pytest.fixture(autouse=True)
def few_resamples(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(republished, "N_BOOT", 30)


def call(*arguments: object, monkeypatch: pytest.MonkeyPatch) -> int:
    monkeypatch.setattr(sys, "argv", ["interp", "published", *map(str, arguments)])
    with pytest.raises(SystemExit) as stop:
        cli.main()
    return int(stop.value.code or 0)


def folder_of(name: str, root: Path) -> Path:
    if name == "umwp":
        outputs = [made.BOXED_GAP, r"\boxed{4}"] * 4
        return made.umwp_traces(root, dict.fromkeys(made.UMWP_FILES, outputs))
    if name == "mip":
        replies = [("It is 4.", 1), (made.GAP, 0)] * 4
        return made.mip(root, {"Qwen32": replies, "s1.1": replies[::-1]})
    values = ["false premise" if number % 2 else "underspecified context" for number in range(20)]
    table = pd.DataFrame(
        [model, values[number], f"set {number}", "NA", 0.5, 0.1 * place + 0.01 * number, 0.4]
        for place, model in enumerate(
            dict.fromkeys([*republished.STAGES, "Llama 3.1 70B Base", "DeepSeek"])
        )
        for number in range(20)
    )
    table.columns = pd.Index(COLUMNS)
    table["recall"] = table["recall"].clip(upper=1)
    path = root / republished.ABSTENTIONBENCH
    path.parent.mkdir(parents=True)
    table.to_csv(path, index=False)
    return root


@pytest.mark.parametrize("name", TABLES)
def test_tables_and_the_figure_are_written_and_the_main_numbers_said(
    name, tmp_path, monkeypatch, capsys
):
    folder, out = folder_of(name, tmp_path / "data"), tmp_path / "out"
    assert call(name, folder, "--out", out, monkeypatch=monkeypatch) == 0
    written = {path.name for path in (out / name).iterdir()}
    tables = {f"{table}.csv" for table in TABLES[name]}
    assert written == {*tables, f"{name}.pdf", f"{name}.png", "run.json"}
    assert not any(pd.read_csv(out / name / table).empty for table in tables)
    run = json.loads((out / name / "run.json").read_text())
    assert run["run_id"].encode() in (out / name / f"{name}.png").read_bytes()
    *lines, last = capsys.readouterr().out.strip().split("\n")
    assert last.endswith(f"out/{name}")
    assert lines
    assert all("[" in line for line in lines)


def test_by_default_results_go_below_the_figures(tmp_path, monkeypatch):
    monkeypatch.setenv("INTERP_FIGURES", str(tmp_path / "figures"))
    folder = folder_of("umwp", tmp_path / "data")
    assert call("umwp", folder, monkeypatch=monkeypatch) == 0
    assert (tmp_path / "figures/published/umwp/outcomes.csv").is_file()
    # No finished study: `interp figures` passes it by.
    assert not list((tmp_path / "figures").glob("*/run.json"))


def test_other_input_is_another_run_and_the_same_is_the_same(tmp_path, monkeypatch):
    def stamp(folder: Path, out: str) -> str:
        republished.republish("umwp", folder, tmp_path / out)
        return (tmp_path / out / "umwp/run.json").read_text()

    folder = folder_of("umwp", tmp_path / "data")
    first = stamp(folder, "a")
    assert stamp(folder, "b") == first
    for name in ("outcomes.csv", "changes.csv", "umwp.pdf", "umwp.png"):
        paths = [tmp_path / out / "umwp" / name for out in "ab"]
        assert paths[0].read_bytes() == paths[1].read_bytes()
    monkeypatch.setattr(republished, "save", lambda *_: None)
    outputs = dict.fromkeys(made.UMWP_FILES, [made.BOXED_GAP] * 8)
    assert stamp(made.umwp_traces(tmp_path / "other", outputs), "c") != first


def test_few_datasets_have_a_mean_without_limits(tmp_path):
    folder = folder_of("abstentionbench", tmp_path)
    path = folder / republished.ABSTENTIONBENCH
    table = pd.read_csv(path)
    rare = table["dataset_name_formatted"].isin([f"set {number}" for number in range(5)])
    table.loc[rare, "scenario_label"] = "stale"
    table.to_csv(path, index=False)
    republished.republish("abstentionbench", folder, tmp_path / "out")
    found = pd.read_csv(tmp_path / "out/abstentionbench/means_by_scenario.csv")
    assert found.loc[found["scenario"] == "stale", "estimate"].notna().all()
    assert found.loc[found["scenario"] == "stale", ["lo", "hi"]].isna().all(axis=None)
    assert found.loc[found["scenario"] != "stale", ["lo", "hi"]].notna().all(axis=None)


@pytest.mark.parametrize("name", TABLES)
def test_a_missing_file_is_one_line_and_exit_code_2(name, tmp_path, monkeypatch, capsys):
    assert call(name, tmp_path / "none", monkeypatch=monkeypatch) == 2
    assert capsys.readouterr().err == (
        f"interp: {tmp_path / 'none'}: no such folder; expected one that holds a folder a dataset\n"
    )
    assert call(name, tmp_path, monkeypatch=monkeypatch) == 2
    shown = capsys.readouterr().err
    assert shown.startswith("interp: ")
    assert shown.count("\n") == 1
    assert "it is published at https://github.com/" in shown


def test_unknown_results_are_named(tmp_path):
    with pytest.raises(republished.InputError, match=r"'mpi' \(did you mean 'mip'\?\)"):
        republished.republish("mpi", tmp_path, tmp_path)


@pytest.mark.skipif(
    not (REAL / "sum_umwp_reasoning_outputs").is_dir(),
    reason="the public traces are not on this machine",
)
def test_the_published_numbers_are_said(tmp_path, monkeypatch, capsys):
    assert call("umwp", REAL, "--out", tmp_path, monkeypatch=monkeypatch) == 0
    shown = capsys.readouterr().out
    # False alarms are told by length; there are none up to 150 words.
    assert "(any),    1-150 words 0.000" in shown
    for number in ("0.423 [0.369, 0.480]", "0.637 [0.581, 0.689]", "0.010 [", "0.020 [", "+0.213"):
        assert number in shown


@pytest.mark.skipif(not REAL.is_dir(), reason="the public labelled replies are not on this machine")
def test_the_grader_s_agreement_is_written_by_source(tmp_path, monkeypatch, capsys):
    assert call("grader", REAL, "--out", tmp_path, monkeypatch=monkeypatch) == 0
    agreement = pd.read_csv(tmp_path / "grader" / "agreement.csv")
    kappa = agreement[agreement["measure"] == "kappa"].set_index("source")["estimate"]
    assert list(kappa.index) == ["mip", "umwp_traces", "triviaqa", "xstest", "truthfulqa"]
    assert kappa["umwp_traces"] > 0.99
    assert kappa["mip"] > 0.75
    assert "mip          kappa" in capsys.readouterr().out


@pytest.mark.skipif(not REAL.is_dir(), reason="the public labelled traces are not on this machine")
def test_the_agreement_of_labels_with_tags_is_written_on_traces_kept_apart(
    tmp_path, monkeypatch, capsys
):
    assert call("strategies", REAL, "--out", tmp_path, monkeypatch=monkeypatch) == 0
    folder = tmp_path / "strategies"
    agreement = pd.read_csv(folder / "agreement.csv")
    kappa = agreement[agreement["measure"] == "kappa"].set_index("source")["estimate"]
    assert list(kappa.index) == ["rules", "classifier", "rules, all tags", "classifier, all tags"]
    assert kappa["rules"] == pytest.approx(0.35, abs=0.01)
    assert kappa["classifier"] == pytest.approx(0.40, abs=0.01)
    confusion = pd.read_csv(folder / "confusion.csv")
    # Ten of the twenty traces, each of their chunks once.
    assert set(confusion.groupby("source")["n"].sum()) == {1362}
    assert "classifier, verification" in capsys.readouterr().out
