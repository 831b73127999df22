"""AbstentionBench's table read again: known figures on the real file, and made tables."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from interp.behavior.published.abstentionbench import (
    COLUMNS,
    PAIRS,
    changes,
    mean_changes,
    means,
    read_performance,
)
from interp.errors import InputError

REAL = Path(__file__).parents[4] / "shared/data/abstentionbench/analysis/abstention_performance.csv"
real = pytest.mark.skipif(not REAL.is_file(), reason="the public file is not on this machine")


def made(models: dict[str, list[float]], **changed: object) -> pd.DataFrame:
    rows = [
        {
            "model_name_formatted": model,
            "scenario_label": "false premise" if number % 2 else "underspecified context",
            "dataset_name_formatted": f"set {number}",
            "post_training_stage": "NA",
            "precision": 0.5,
            "recall": recall,
            "f1_score": 0.5,
        }
        | changed
        for model, recalls in models.items()
        for number, recall in enumerate(recalls)
    ]
    return pd.DataFrame(rows)


def written(folder: Path, table: pd.DataFrame) -> Path:
    path = folder / "table.csv"
    table.to_csv(path, index=False)
    return path


@real
def test_the_published_drop_of_24_points() -> None:
    table = read_performance(REAL)
    assert table["model"].nunique() == 20
    change = mean_changes(table).set_index("child")
    assert change["estimate"].round(3).tolist() == [-0.193, -0.290, -0.241]
    assert change["datasets"].tolist() == [31, 31, 31]
    assert change.loc[[child for _, child in PAIRS], "fell"].tolist() == [29, 29]
    assert change.loc["all", "lo"] == pytest.approx(-0.294, abs=0.01)
    assert change.loc["all", "hi"] == pytest.approx(-0.186, abs=0.01)
    # Over scenarios, of which one holds 13 of the datasets, another interval: as the module says.
    over = change.loc["all", ["scenarios_lo", "scenarios_hi"]].astype(float)
    assert over.tolist() == pytest.approx([-0.276, -0.157], abs=0.005)
    # No single dataset carries it.
    assert change.loc["all", "most"] < -0.22


@real
def test_published_means_and_the_base_models() -> None:
    mean = means(read_performance(REAL)).set_index("model")["estimate"].round(3)
    known = {
        "Llama 3.3 70B Instruct": 0.668,
        "DeepSeek R1 Distill Llama 70B": 0.475,
        "Qwen2.5 32B": 0.731,
        "S1.1 32B": 0.441,
        "Llama 3.1 70B Base": 0.473,
        "Llama 3.1 8B Base": 0.441,
    }
    assert mean[list(known)].to_dict() == known


@real
def test_one_family_alone_has_a_base_model() -> None:
    table = read_performance(REAL)
    base = sorted(model for model in set(table["model"]) if "Base" in model)
    assert base == ["Llama 3.1 70B Base", "Llama 3.1 8B Base"]


def test_limits_over_scenarios_are_wider_where_scenarios_differ(tmp_path: Path) -> None:
    """Eight scenarios of three datasets each: all alike within, so 24 datasets are 8 numbers."""
    drops = np.random.default_rng(0).normal(0.3, 0.1, 8)
    table = made({"a": [0.9] * 24, "b": [0.9 - drop for drop in np.repeat(drops, 3)]})
    table["scenario_label"] = [f"scenario {k}" for k in np.repeat(range(8), 3)] * 2
    read = read_performance(written(tmp_path, table))
    row = mean_changes(read, pairs=[("a", "b")], n_boot=2000).iloc[0]
    half = 2.365 * drops.std(ddof=1) / np.sqrt(8)
    assert row["scenarios_hi"] - row["scenarios_lo"] == pytest.approx(2 * half, rel=0.2)
    assert row["hi"] - row["lo"] < 0.75 * (row["scenarios_hi"] - row["scenarios_lo"])


@real
def test_precision_rises_in_both_pairs() -> None:
    change = mean_changes(read_performance(REAL), "precision")
    assert (change["estimate"] > 0).all()


def test_a_change_is_the_difference_on_common_datasets(tmp_path: Path) -> None:
    table = read_performance(
        written(tmp_path, made({"a": [0.9, 0.8, 0.7], "b": [0.5, 0.9, np.nan]})), fewest=1
    )
    found = changes(table, pairs=[("a", "b")])
    assert found["dataset"].tolist() == ["set 0", "set 1"]
    assert found["change"].tolist() == pytest.approx([-0.4, 0.1])
    (pair, _) = mean_changes(table, pairs=[("a", "b")], n_boot=200).to_dict("records")
    assert pair["estimate"] == pytest.approx(-0.15)
    assert (pair["fell"], pair["datasets"]) == (1, 2)
    assert sorted([pair["least"], pair["most"]]) == pytest.approx([-0.4, 0.1])


def test_pairs_are_drawn_together(tmp_path: Path) -> None:
    """Two equal pairs are one: their mean has the interval of either."""
    recalls = np.random.default_rng(0).random((2, 25)).tolist()
    models = dict(zip("abcd", [*recalls, *recalls], strict=True))
    table = read_performance(written(tmp_path, made(models)))
    first, second, both = mean_changes(table, pairs=[("a", "b"), ("c", "d")], n_boot=300).to_dict(
        "records"
    )
    for name in ("estimate", "lo", "hi"):
        assert first[name] == pytest.approx(second[name]) == pytest.approx(both[name])


def test_means_within_scenarios_cover_all_datasets(tmp_path: Path) -> None:
    table = read_performance(written(tmp_path, made({"a": [0.2, 0.4, 0.6]})), fewest=1)
    found = means(table, by="scenario", n_boot=50).set_index("scenario")
    assert found["estimate"].to_dict() == pytest.approx(
        {"underspecified context": 0.4, "false premise": 0.4}
    )
    assert found["datasets"].sum() == 3


def test_fragments_of_runs_are_left_out(tmp_path: Path) -> None:
    path = written(tmp_path, made({"whole": [0.5] * 20, "fragment": [1.0] * 3}))
    assert set(read_performance(path)["model"]) == {"whole"}
    with pytest.raises(InputError, match="no model has 40 datasets"):
        read_performance(path, fewest=40)


@pytest.mark.parametrize("column", COLUMNS)
def test_a_missing_column_is_named(tmp_path: Path, column: str) -> None:
    table = made({"a": [0.5] * 20}).rename(columns={column: f"{column}s"})
    with pytest.raises(InputError, match=rf"no column '{column}' \(did you mean '{column}s'\?\)"):
        read_performance(written(tmp_path, table))


def test_what_is_no_rate_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"row 3: recall 1\.5; expected 0 to 1"):
        read_performance(written(tmp_path, made({"a": [0.5, 1.5]})), fewest=1)
    for strange in ("0,9", "oops", "NA"):
        table = made({"a": [0.5, 0.5]}).astype({"recall": object})
        table.loc[1, "recall"] = strange
        with pytest.raises(InputError, match=f"row 3: recall is '{strange}'; expected a number"):
            read_performance(written(tmp_path, table), fewest=1)
    with pytest.raises(InputError, match="a has the dataset set 0 twice"):
        read_performance(written(tmp_path, pd.concat([made({"a": [0.5]})] * 2)), fewest=1)
    with pytest.raises(InputError, match="cannot be read as a table"):
        read_performance(tmp_path / "none.csv")


def test_unknown_names_are_named(tmp_path: Path) -> None:
    table = read_performance(written(tmp_path, made({"alpha": [0.5] * 20})))
    with pytest.raises(InputError, match=r"no model 'alhpa' \(did you mean 'alpha'\?\)"):
        means(table, models=["alhpa"])
    with pytest.raises(InputError, match="'accuracy' is no measure"):
        means(table, "accuracy")
