"""The command line: what it lists, and one line with exit code 2 for every bad input."""

from __future__ import annotations

import dataclasses
import importlib
import json
import os
import subprocess
import sys
import types
from pathlib import Path
from typing import Any

import pytest

from interp import cli
from interp.planning import Forecast
from interp.stages import space
from interp.study import Study, StudyConfig
from interp.tables import write_csv
from tests.figures.tables import RUN, study_tables


def call(*arguments: str, monkeypatch: pytest.MonkeyPatch) -> int:
    monkeypatch.setattr(sys, "argv", ["interp", *arguments])
    with pytest.raises(SystemExit) as stop:
        cli.main()
    return int(stop.value.code or 0)


@pytest.fixture(autouse=True)
def comparing(monkeypatch: pytest.MonkeyPatch) -> types.ModuleType:
    """Stands in for the room that reads studies of any kind: of the embedded lineage alone."""

    class Comparison:
        @classmethod
        def of_sources(cls, **given: Any) -> Any:
            return StandIn(given)

    module = types.ModuleType("interp.comparing")
    module.load_study = Study.load  # type: ignore[attr-defined]
    module.Comparison = Comparison  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "interp.comparing", module)
    return module


@dataclasses.dataclass
class StandIn:
    """A study of sources: has nothing to do, and notes down how it was made."""

    given: dict[str, Any]
    device: str = "cpu"
    n_workers: int = 2
    config: Any = dataclasses.field(
        default_factory=lambda: types.SimpleNamespace(name="mine", description="")
    )

    def nodes(self) -> list[Any]:
        return []

    def run(self, watch: Any) -> Any:
        made.append(self.given)
        return types.SimpleNamespace(tables={}, folder=Path("figures/mine"), run={})


made: list[dict[str, Any]] = []


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["study", "missing.yaml"], "missing.yaml: no such file"),
        (["study", "organisms"], "did you mean 'organism'?"),
        (
            ["study", "organism", "--device", "cuda"],
            "finds 0 CUDA device(s) here; use --device cpu",
        ),
        (["organism", "train", "bse"], "no member 'bse'"),
        (["lineages", "organsim"], "did you mean 'organism'?"),
        (["figures", "nothing_here"], "holds no finished study"),
        (["study", "run"], "missing: --parent, --child, --questions"),
        (["study", "--base", "b", "--parent", "p", "--child", "c"], "missing: --questions"),
        (["study", "organism", "--child", "c", "--name", "n"], "leave out --child, --name"),
        (["study", "diff", "no_such", "organism"], "'no_such' is no finished study"),
    ],
)
def test_bad_input_is_one_line_and_exit_code_2(
    arguments: list[str],
    message: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    if "cuda" in arguments:
        import torch

        if torch.cuda.is_available():
            pytest.skip("this machine has a CUDA device")
    assert call(*arguments, monkeypatch=monkeypatch) == 2
    shown = capsys.readouterr().err
    assert message in shown
    assert shown.startswith("interp: ")
    assert "Traceback" not in shown


def test_a_full_disk_is_said_before_work_starts(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(space, "FREE_BYTES", 2**62)
    assert call("study", "organism", "--device", "cpu", monkeypatch=monkeypatch) == 2
    assert "set INTERP_CACHE to another disk" in capsys.readouterr().err


def test_a_disk_that_fills_up_is_said_and_nothing_is_lost(tmp_path: Path) -> None:
    """A real file system of 12 MB, on which a training save does not fit."""
    mount = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=12m", "tmpfs", str(tmp_path)],
        capture_output=True,
        check=False,
    )
    if mount.returncode != 0:
        pytest.skip("mounting a small file system needs root")
    try:
        script = (
            "from interp import cli; from interp.stages import space; space.FREE_BYTES = 0\n"
            "import sys; sys.argv = ['interp', 'organism', 'train', 'base', '--device', 'cpu']\n"
            "from interp.organism.objectives import RECIPES\n"
            "base = RECIPES['base']\n"
            "often = base.optimisation.model_copy(update={'save_every': 5})\n"
            "RECIPES['base'] = base.model_copy(update={'optimisation': often})\n"
            "if __name__ == '__main__': cli.main()\n"
        )
        main = tmp_path.parent / "fill.py"
        main.write_text(script)
        (tmp_path / "ballast").write_bytes(b"0" * (9 * 2**20))
        done = subprocess.run(
            [sys.executable, str(main)],
            env={**os.environ, "INTERP_CACHE": str(tmp_path / "cache")},
            capture_output=True,
            text=True,
            timeout=240,
            check=False,
        )
    finally:
        subprocess.run(["umount", str(tmp_path)], check=True)
    assert done.returncode == 2, done.stderr[-2000:]
    assert "no space left on the disk" in done.stderr


def test_listings(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    assert call("lineages", monkeypatch=monkeypatch) == 0
    assert "organism" in capsys.readouterr().out
    assert call("lineages", "organism", monkeypatch=monkeypatch) == 0
    shown = capsys.readouterr().out
    assert "replaced" in shown
    assert "deselected" not in shown  # the planted truth stands in manifests only
    assert call("studies", monkeypatch=monkeypatch) == 0
    assert "organism_seeds" in capsys.readouterr().out


# --- studies --------------------------------------------------------------------------------------


def test_a_study_of_sources_is_made_of_the_options(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    made.clear()
    options = ["--base", "B", "--parent", "P", "--child", "R", "--questions", "q.csv"]
    assert call("study", *options, "--workers", "3", monkeypatch=monkeypatch) == 0
    assert made == [
        {
            "base": "B",
            "parent": "P",
            "child": "R",
            "questions": Path("q.csv"),
            "name": None,
            "device": "auto",
            "cluster": None,
            "workers": 3,
        }
    ]
    assert "figures/mine" in capsys.readouterr().out
    rest = [*options[2:], "--name", "own", "--cluster", "slurm"]
    assert call("study", *rest, monkeypatch=monkeypatch) == 0
    assert (made[1]["base"], made[1]["name"], made[1]["cluster"]) == (None, "own", "slurm")


def test_a_plan_is_shown_and_nothing_runs(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    monkeypatch.setenv("INTERP_CACHE", str(tmp_path / "cache"))
    for place in (["organism", "--plan"], ["--plan", "organism"]):
        options = [*place, "--device", "cpu", "--workers", "2"]
        assert call("study", *options, monkeypatch=monkeypatch) == 0
        shown = capsys.readouterr().out
        rows = {line.split()[0]: line.split()[2::2] for line in shown.splitlines() if "│" in line}
        assert rows["train"][:2] == ["8", "0"]
        assert rows["relearn"][:2] == ["7", "0"]
        assert "with 2 workers" in shown
        assert "free" in shown
    assert not (tmp_path / "cache").exists()
    made.clear()
    pair = ["--parent", "P", "--child", "R", "--questions", "q.csv"]
    assert call("study", *pair, "--plan", monkeypatch=monkeypatch) == 0
    assert made == []


@pytest.mark.parametrize("seconds", [None, 5400.0])
def test_a_plan_never_invents_a_number(
    seconds: float | None, capsys: pytest.CaptureFixture[str]
) -> None:
    from interp._shown import plan
    from interp.planning import Task
    from interp.stages.timing import Usual

    known = Task("a/1", "a", (), "a", False, Usual(seconds=60, bytes=2e9))
    other = None if seconds is None else Usual(seconds=seconds)
    tasks = (known, Task("b/1", "b", (), "b", False, other), Task("c/1", "c", (), "c", True, other))
    plan(Forecast(tasks, 1, 10**9))
    lines = [line.split() for line in capsys.readouterr().out.splitlines()]
    of_b = " ".join(next(line for line in lines if line[:1] == ["b"]))
    assert ("unknown" in of_b.split("│")[3]) == (seconds is None)
    assert "unknown" in of_b.split("│")[4]  # nobody has weighed it either way
    text = "\n".join(" ".join(line) for line in lines)
    assert ("time: at least 60 s with 1 worker (1 stage" in text) == (seconds is None)
    assert ("time: 1 h 31 min with 1 worker\n" in text) == (seconds is not None)
    assert "disk: at least 2.0 GB at the peak, 1.0 GB free (1 stage" in text
    assert "the disk is too small" in text


def test_help_of_a_study_names_both_commands(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert call("study", "--help", monkeypatch=monkeypatch) == 0
    shown = capsys.readouterr().out
    assert "run " in shown
    assert "diff " in shown
    assert call("study", "run", "--help", monkeypatch=monkeypatch) == 0
    assert "--plan" in capsys.readouterr().out


def test_no_study_is_called_like_a_command() -> None:
    from interp import configs

    assert not {"run", "diff"} & set(configs.packaged("studies"))
    assert StudyConfig.model_fields["name"].is_required()


@pytest.mark.skipif(
    not (Path(cli.__file__).parent / "comparing").is_dir(), reason="the room is not there yet"
)
def test_the_stand_in_has_the_names_of_the_room(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "interp.comparing")
    room = importlib.import_module("interp.comparing")
    assert callable(room.load_study)
    assert callable(room.Comparison.of_sources)


def finished_study(folder: Path) -> None:
    """A study's tables and stamp, as `publish` leaves them."""
    folder.mkdir(parents=True)
    for name, frame in study_tables().items():
        write_csv(frame, folder / f"{name}.csv")
    (folder / "run.json").write_text(json.dumps(RUN), encoding="utf-8")


def test_a_figure_is_drawn_for_a_paper_beside_the_houses(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("INTERP_FIGURES", str(tmp_path))
    finished_study(tmp_path / "mine")
    before = sorted(path.name for path in (tmp_path / "mine").iterdir())
    asked = ("--style", "neurips", "--only", "graft", "--format", "svg", "--format", "pdf")
    assert call("figures", "mine", *asked, monkeypatch=monkeypatch) == 0
    drawn = sorted(path.name for path in (tmp_path / "mine" / "neurips").iterdir())
    assert drawn == ["graft.pdf", "graft.svg"]
    after = sorted(path.name for path in (tmp_path / "mine").iterdir())
    assert after == sorted([*before, "neurips"])


@pytest.mark.parametrize(
    ("option", "message"),
    [
        (("--style", "neurisp"), "no paper style 'neurisp'; there are neurips"),
        (("--only", "graph"), "graph"),
        (("--format", "gif"), "gif"),
    ],
)
def test_an_unknown_style_figure_or_format_is_named(
    option: tuple[str, str],
    message: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("INTERP_FIGURES", str(tmp_path))
    finished_study(tmp_path / "mine")
    assert call("figures", "mine", *option, monkeypatch=monkeypatch) == 2
    assert message in capsys.readouterr().err
