"""The methods paragraph says what the configuration says, and only of what left a table."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import pandas as pd
import pytest

from interp.figures.report_methods import listed, methods_of
from interp.figures.report_overview import overview_of
from interp.figures.report_sources import WORKS, works_of
from interp.stages.intervene import InterventionSettings
from interp.stages.pairing import TransferSettings
from interp.stages.probe import ProbeSettings
from interp.stages.relearn import RelearnSettings
from interp.verdict.rule import load_rule, rule_text
from tests.figures.tables import RUN

Tables = Mapping[str, pd.DataFrame]


def said(tables: Tables, **config: Any) -> dict[str, str]:
    return dict(methods_of({**RUN, "rule": rule_text(), "config": config}, tables))


def test_every_stage_is_told_with_its_settings(small: Tables) -> None:
    probe = ProbeSettings(n_splits=7, n_boot=321, n_shuffles=99, mlp=False)
    transfer = TransferSettings(n_splits=6, margin=0.07)
    intervention = InterventionSettings(alphas=(0.25, 3.0), n_random=13)
    relearn = RelearnSettings(n_examples=(4, 16), steps=11, lr=2e-4)
    text = said(
        small,
        probe=probe.model_dump(mode="json"),
        transfer=transfer.model_dump(mode="json"),
        intervention=intervention.model_dump(mode="json"),
        relearn=relearn.model_dump(mode="json"),
        models={"base": "models/base", "child": {"source": "models/child", "parent": "base"}},
    )
    assert text["Models"] == "Models: base (models/base) and child (models/child, child of base)."
    for part in ("Linear probes were", "7 folds", "99 shuffles", "321 resamples", "layers 0 to 1"):
        assert part in text["Probes"]
    assert "6 folds" in text["Transfer"]
    assert "within 0.07" in text["Transfer"]
    assert "0.25 and 3 times" in text["Interventions"]
    assert "13 random directions" in text["Interventions"]
    for part in ("4 and 16 examples", "11 steps", "0.0002"):
        assert part in text["Relearning"]
    for name, line in load_rule().lines.items():
        shown = f"{name.replace('_', ' ')} (gone below" in text["Verdict"]
        assert shown == line.decides
    assert RUN["run_id"] in text["Software"]


def test_what_left_no_table_is_not_told(small: Tables) -> None:
    settings = {
        "probe": ProbeSettings().model_dump(mode="json"),
        "relearn": RelearnSettings().model_dump(mode="json"),
    }
    text = said({"probes": small["probes"]}, **settings)
    assert set(text) == {"Probes", "Software"}


def test_settings_of_another_version_are_left_out_and_not_guessed(small: Tables) -> None:
    text = said(small, probe={"kind": "linear"}, relearn={"steps": 5}, transfer=3)
    assert "folds" not in text["Probes"]
    assert "Relearning" not in text
    assert "Transfer" not in text


@pytest.mark.parametrize(
    ("values", "text"),
    [([], ""), (["a"], "a"), ([1.0, 2.5], "1 and 2.5"), (["a", "b", 3], "a, b and 3")],
)
def test_words_in_a_row(values: list[Any], text: str) -> None:
    assert listed(values) == text


def test_works_are_those_behind_the_tables_that_are_there() -> None:
    keys = [work.key for work in works_of(["features", "dictionaries", "no such table"])]
    assert keys == sorted(keys)
    assert "ferrando2024entity" in keys
    assert "deeb2024unlearning" not in keys
    assert works_of([]) == []


def test_entries_are_well_formed_and_named_once() -> None:
    assert len({work.key for work in WORKS}) == len(WORKS)
    for work in WORKS:
        assert work.bibtex.count("{") == work.bibtex.count("}")
        assert work.bibtex.startswith(f"@misc{{{work.key},")
        assert work.place.startswith("arXiv:") == bool(work.link)
        if work.link:
            assert re.fullmatch(r"https://arxiv\.org/abs/\d{4}\.\d{5}", work.link)


def test_an_overview_puts_measures_side_by_side_with_their_intervals() -> None:
    rows = [
        {"seed": 0, "member": m, "dataset": "all", "measure": measure, "estimate": x, "lo": x - 0.1,
         "hi": x + 0.1, "n": 9}
        for m, shift in (("child", 0.2), ("base", 0.0))
        for measure, x in (("recall", 0.5 + shift), ("f1", 0.4 + shift))
    ]  # fmt: skip
    (table,) = overview_of({"abstention": pd.DataFrame(rows), "curves": pd.DataFrame(rows)})
    assert table.columns == ["seed", "member", "dataset", "recall", "f1"]
    assert table.rows == [
        ["0", "child", "all", "0.70 [0.60, 0.80]", "0.60 [0.50, 0.70]"],
        ["0", "base", "all", "0.50 [0.40, 0.60]", "0.40 [0.30, 0.50]"],
    ]
    assert table.total == 2
