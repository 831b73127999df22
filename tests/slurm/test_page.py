"""The page about clusters: its numbers are what its block prints, its `infra` is a valid one."""

from __future__ import annotations

import contextlib
import io
import re
from pathlib import Path

import yaml

from interp.stages.infra import Infra

PAGE = (Path(__file__).parents[2] / "docs" / "cluster.md").read_text(encoding="utf-8")


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", PAGE, re.DOTALL | re.MULTILINE)


def test_the_table_is_what_the_block_prints() -> None:
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        exec(compile(blocks("python")[0], "cluster.md", "exec"), {})
    assert printed.getvalue() == blocks("text")[0]


def test_its_infra_is_a_valid_one() -> None:
    infra = Infra.model_validate(yaml.safe_load(blocks("yaml")[0])["infra"])
    assert infra.cluster == "slurm"
    assert infra.device("auto") == "cuda"
