"""Files: the same tables give the same bytes, with the run id inside and the tables beside."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pandas as pd
import pytest
from PIL import Image

from interp.errors import InputError
from interp.figures import FIGURES, draw
from tests.figures.tables import RUN

Tables = Mapping[str, pd.DataFrame]


@pytest.fixture(scope="module")
def drawn(small: Tables, tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    paths: list[Path] = draw(small, tmp_path_factory.mktemp("drawn"), RUN)
    return paths


def test_every_figure_and_table_is_written_and_nothing_else(
    drawn: list[Path], small: Tables
) -> None:
    names = {f"{name}.{kind}" for name in FIGURES for kind in ("pdf", "png")}
    names |= {f"{table}.csv" for table in small}
    assert {path.name for path in drawn} == names
    assert {path.name for path in drawn[0].parent.iterdir()} == names


def test_redrawing_gives_the_same_bytes(drawn: list[Path], small: Tables, tmp_path: Path) -> None:
    for first, second in zip(drawn, draw(small, tmp_path, RUN), strict=True):
        assert first.read_bytes() == second.read_bytes(), first.name


def test_files_carry_the_run_id_and_embed_truetype(drawn: list[Path]) -> None:
    for path in drawn:
        if path.suffix == ".pdf":
            content = path.read_bytes()
            assert b"/Keywords (0123456789ab)" in content
            assert b"run 0123456789ab" in content
            assert b"/CreationDate" not in content
            assert b"/FontFile2" in content  # TrueType, not Type 3 outlines
            assert b"/Type3" not in content
        if path.suffix == ".png":
            with Image.open(path) as image:
                assert image.info["Run"] == "0123456789ab"
                assert image.info["dpi"] == pytest.approx((200, 200), abs=0.1)


def test_csv_copies_hold_the_tables(drawn: list[Path], small: Tables) -> None:
    for path in drawn:
        if path.suffix == ".csv":
            frame = small[path.stem]
            copy = pd.read_csv(path, keep_default_na=True)
            assert list(copy.columns) == list(frame.columns)
            pd.testing.assert_frame_equal(copy, frame, check_dtype=False, rtol=1e-5, atol=1e-9)


def test_a_missing_table_is_named_and_nothing_is_written(small: Tables, tmp_path: Path) -> None:
    tables = {name: frame for name, frame in small.items() if name != "graft"}
    with pytest.raises(InputError, match=r"'graft'.*n_layers"):
        draw(tables, tmp_path / "out", RUN)
    assert not (tmp_path / "out").exists()


def test_a_missing_column_is_named(small: Tables, tmp_path: Path) -> None:
    tables = {**small, "probes": small["probes"].drop(columns=["layer", "hi"])}
    with pytest.raises(InputError, match=r"'probes' lacks the column\(s\) hi, layer"):
        draw(tables, tmp_path, RUN)


def test_an_empty_table_is_named(small: Tables, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="'relearn' has no rows"):
        draw({**small, "relearn": small["relearn"].head(0)}, tmp_path, RUN)
