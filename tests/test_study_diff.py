"""Two studies: what was planted as their difference is what is said of them, and nothing else."""

from __future__ import annotations

import json
import sys
import types
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from interp import cli
from interp.differing import Change, Side, difference, table_difference
from interp.differing.changes import ABSENT, changes
from interp.errors import InputError
from interp.study import Study
from interp.tables import write_csv

CONFIG = {"name": "one", "seeds": [1], "probe": {"n_boot": 100, "mlp": True}}
RULE = "# prose\nlines:\n  transfer: {cut_gone: 0.2, cut_there: 0.7}\n"
PROBES = pd.DataFrame(
    {
        "seed": 1,
        "member": ["base"] * 2 + ["child"] * 2,
        "layer": [0, 1, 0, 1],
        "estimate": [0.5, 0.9, 0.6, 0.8],
        "lo": [0.4, 0.85, 0.5, 0.7],
        "hi": [0.6, 0.95, 0.7, 0.9],
        "certified": [False, True, False, True],
    }
)
VERDICT = pd.DataFrame(
    {
        "seed": 1,
        "member": ["base", "child"],
        "parent": ["", "base"],
        "planted": ["intact", "unknown"],
        "verdict": ["NO-EFFECT", "DESELECTED"],
    }
)


def finished(folder: Path, **changed: Any) -> Path:
    """A folder of a finished study."""
    run: dict[str, Any] = {"run_id": "0", "seed": 1, "code_version": "0.1.0+a", "rule": RULE}
    run["config"] = CONFIG | {"inputs": {"models": {"base": "f0"}}}
    tables = {"probes": PROBES, "verdict": VERDICT}
    run |= {key: value for key, value in changed.items() if key not in tables}
    folder.mkdir(parents=True)
    (folder / "run.json").write_text(json.dumps(run))
    for name, table in (tables | {k: v for k, v in changed.items() if k in tables}).items():
        write_csv(table, folder / f"{name}.csv")
    return folder


def compared(a: Path, b: Path) -> Any:
    return difference(Side.find(str(a)), Side.find(str(b)))


def test_a_study_does_not_differ_from_itself(tmp_path: Path) -> None:
    a = finished(tmp_path / "a")
    found = compared(a, a)
    assert (found.config, found.code, found.models, found.rule, found.verdicts) == ([],) * 5
    assert (found.tables, found.same) == ([], ["probes"])


def test_what_made_the_results_is_compared(tmp_path: Path) -> None:
    config = {"name": "one", "seeds": [1, 2], "probe": {"n_boot": 50}, "extra": None}
    b = finished(
        tmp_path / "b",
        config=config | {"inputs": {"models": {"base": "f1", "child": "f2"}}},
        code_version="0.1.0+b",
        rule=RULE.replace("0.2", "0.3").replace("prose", "other prose"),
    )
    found = compared(finished(tmp_path / "a"), b)
    assert found.config == [
        Change("seeds", [1], [1, 2]),
        Change("probe.n_boot", 100, 50),
        Change("probe.mlp", True, ABSENT),
        Change("extra", ABSENT, None),
    ]
    assert found.code == [Change("code", "0.1.0+a", "0.1.0+b")]
    assert found.models == [Change("base", "f0", "f1"), Change("child", ABSENT, "f2")]
    assert found.rule == [Change("lines.transfer.cut_gone", 0.2, 0.3)]


def test_true_is_not_one() -> None:
    assert changes({"a": True}, {"a": 1}) == [Change("a", True, 1)]
    assert changes({"a": {}}, {"a": 2}) == [Change("a", {}, 2)]


def test_changed_verdicts_and_rows_are_named(tmp_path: Path) -> None:
    verdict = VERDICT.assign(verdict=["NO-EFFECT", "ERASED"])
    probes = PROBES.assign(estimate=[0.5, 0.9, 0.6, 0.75], layer=[0, 1, 0, 1]).drop(index=0)
    found = compared(
        finished(tmp_path / "a"), finished(tmp_path / "b", verdict=verdict, probes=probes)
    )
    assert found.verdicts == [Change("child (seed 1)", "DESELECTED", "ERASED")]
    (table,) = found.tables
    assert (table.only_a, table.only_b, table.both) == (("1 base 0",), (), 3)
    (column,) = table.columns
    assert (column.column, column.where, column.changed) == ("estimate", "1 child 1", 1)
    assert column.largest == pytest.approx(0.05)
    assert (table.intervals, table.apart) == (3, 0)


def test_intervals_that_do_not_overlap_are_counted() -> None:
    moved = PROBES.assign(lo=[0.61, 0.5, 0.7, 0.1], hi=[0.7, 0.9, 0.8, np.nan])
    found = table_difference("probes", PROBES, moved)
    # Apart; inside; touching at 0.7, which is no gap; unknown on one side.
    assert (found.apart, found.intervals) == (1, 3)


def test_keys_are_what_tells_rows_apart_and_results_are_not() -> None:
    dose = pd.DataFrame(
        {
            "member": "a",
            "alpha": [0.5, 1.0, 0.5, 1.0],
            "group": ["x", "x", "y", "y"],
            "estimate": [1.0, 0.0, 1.0, 0.0],
            "n": [5, 5, 5, 5],
        }
    )
    found = table_difference("steering", dose, dose.assign(n=6, estimate=[1.0, 0.0, 1.0, 1.0]))
    assert found.keys == ("member", "alpha", "group")
    assert {(column.column, column.largest) for column in found.columns} == {
        ("n", 1.0),
        ("estimate", 1.0),
    }
    curve = pd.DataFrame({"member": "a", "loss": [0.51, 0.42], "step": [10, 20]})
    assert table_difference("curves", curve, curve.assign(loss=[0.5, 0.4])).keys == (
        "member",
        "step",
    )


def test_rows_that_nothing_tells_apart_are_matched_in_order() -> None:
    draws = pd.DataFrame({"member": "a", "estimate": [0.1, 0.2, 0.3]})
    found = table_difference("draws", draws, draws.iloc[:2])
    assert (found.both, found.only_a, found.columns) == (2, ("a (3)",), ())


def test_gaps_infinities_and_words_are_compared() -> None:
    a = pd.DataFrame({"key": ["a", "b", "c"], "estimate": [np.inf, np.nan, 1.5], "call": "there"})
    b = a.assign(estimate=[np.inf, 2.0, 1.5], call=["there", "gone", "there"], new=1)
    found = table_difference("t", a, b)
    assert {(c.column, c.changed, c.where) for c in found.columns} == {
        ("estimate", 1, "a"),
        ("call", 1, "b"),
    }
    assert found.missing_a == ("new",)
    assert table_difference("t", a, a).same
    empty = a.iloc[:0]
    assert table_difference("t", empty, empty).same
    assert table_difference("t", empty, a).only_b == ("a", "b", "c")


@given(data=st.data(), n=st.integers(1, 12))
def test_a_planted_difference_is_found_whatever_the_order(data: st.DataObject, n: int) -> None:
    rng = np.random.default_rng(data.draw(st.integers(0, 999)))
    a = pd.DataFrame(
        {
            "seed": rng.integers(0, 3, n),
            "member": rng.choice(["x", "y"], n),
            "measure": [f"m{i}" for i in range(n)],
            "estimate": rng.normal(size=n),
        }
    )
    at = data.draw(st.integers(0, n - 1))
    by = data.draw(st.floats(0.01, 5))
    b = a.copy()
    b.loc[at, "estimate"] += by
    b = b.sample(frac=1, random_state=data.draw(st.integers(0, 99)))
    gone = data.draw(st.integers(0, n - 1))
    found = table_difference("t", a, b.drop(index=gone))
    key = " ".join(str(a.loc[gone, name]) for name in ("seed", "member", "measure"))
    assert (found.only_a, found.only_b, found.both) == ((key,), (), n - 1)
    if gone == at:
        assert found.columns == ()
    else:
        (column,) = found.columns
        assert column.largest == pytest.approx(by)
        assert column.where.endswith(f"m{at}")


# --- which study is meant -------------------------------------------------------------------------


def test_a_finished_study_is_found_by_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("INTERP_FIGURES", str(tmp_path))
    finished(tmp_path / "mine")
    assert Side.find("mine").config == CONFIG
    with pytest.raises(InputError, match=r"'mien' is no finished study \(did you mean 'mine'\?\)"):
        Side.find("mien")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (None, r"no run\.json in it, so this is no folder of a finished study"),
        ("{", "not readable"),
        ("[]", "says nothing of a config, so this is no finished study"),
        ('{"config": 3}', "says nothing of a config"),
    ],
)
def test_what_is_no_study_is_refused(tmp_path: Path, text: str | None, message: str) -> None:
    if text is not None:
        (tmp_path / "run.json").write_text(text)
    with pytest.raises(InputError, match=message):
        Side.find(str(tmp_path))


def test_a_file_stands_for_its_settings_and_for_results_of_an_equal_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    room = types.ModuleType("interp.comparing")
    room.load_study = Study.load  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "interp.comparing", room)
    monkeypatch.setenv("INTERP_FIGURES", str(tmp_path / "figures"))
    from interp import configs

    text = configs.locate("organism", "studies").read_text()
    usual, long = tmp_path / "usual.yaml", tmp_path / "long.yaml"
    usual.write_text(text)
    long.write_text(f"{text}relearn: {{steps: 999}}\n")
    found = compared(usual, long)
    assert [change.key for change in found.config] == ["relearn.steps"]
    assert found.config[0].new == 999
    assert not found.compared
    config = Study.load("organism", device="cpu").config.model_dump(mode="json")
    finished(tmp_path / "figures" / "organism", config=config)
    assert Side.find(str(usual)).tables is not None
    assert Side.find(str(long)).tables is None


def test_the_command_says_it_all_and_ends_well(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    a = finished(tmp_path / "a")
    b = finished(
        tmp_path / "b",
        code_version="0.1.0+b",
        probes=PROBES.assign(estimate=[0.5, 0.9, 0.6, 0.1], lo=[0.4, 0.85, 0.5, 0.0]),
        verdict=VERDICT.assign(verdict="ERASED"),
    )
    monkeypatch.setattr(sys, "argv", ["interp", "study", "diff", str(a), str(b)])
    with pytest.raises(SystemExit) as stop:
        cli.main()
    assert not stop.value.code
    shown = " ".join(capsys.readouterr().out.split())
    for said in (
        "config: the same",
        "code: 0.1.0+a -> 0.1.0+b",
        "child (seed 1): DESELECTED -> ERASED",
        "4 rows in both, matched on seed, member, layer",
        "estimate: differs by up to 0.7 (1 child 1), 1 row changed",
        "intervals: 0 of 4 do not overlap",
    ):
        assert said in shown
