"""The command line: what it lists, and one line with exit code 2 for every bad input."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from interp import cli
from interp.stages import space


def call(*arguments: str, monkeypatch: pytest.MonkeyPatch) -> int:
    monkeypatch.setattr(sys, "argv", ["interp", *arguments])
    with pytest.raises(SystemExit) as stop:
        cli.main()
    return int(stop.value.code or 0)


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
