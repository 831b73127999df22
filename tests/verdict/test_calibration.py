"""Cut-offs come from the calibration table by the stated arithmetic, and the rule carries them."""

import math
from pathlib import Path

import pandas as pd
import pytest

from interp.errors import InputError
from interp.verdict.calibration import cut_offs
from interp.verdict.rule import Calibration, load_rule

CALIBRATION = Calibration(
    study="x", seeds=[1, 2], deselected=["up"], erased=["gone", "never"], method="thirds"
)
COMMITTED = Path(__file__).parents[2] / "figures"


def table(values: dict[tuple[int, str, str], float]) -> pd.DataFrame:
    return pd.DataFrame(
        [
            {"seed": seed, "member": member, "line": line, "estimate": value}
            for (seed, member, line), value in values.items()
        ]
    )


def full(line: str, up: tuple[float, float], gone: tuple[float, float]) -> dict:
    return {
        (seed, member, line): values[seed - 1]
        for seed in (1, 2)
        for member, values in (("up", up), ("gone", gone), ("never", (-9.0, -9.0)))
    }


def test_thirds_of_the_room_between_the_extremes() -> None:
    found = cut_offs(table(full("a", (0.9, 1.0), (0.3, 0.1))), CALIBRATION).iloc[0]
    assert found["erased_max"] == 0.3
    assert found["deselected_min"] == 0.9
    assert found["cut_gone"] == pytest.approx(0.5)
    assert found["cut_there"] == pytest.approx(0.7)


def test_overlapping_ends_get_no_cut_offs() -> None:
    found = cut_offs(table(full("a", (0.4, 0.8), (0.5, 0.1))), CALIBRATION).iloc[0]
    assert math.isnan(found["cut_gone"])
    assert math.isnan(found["cut_there"])


def test_other_seeds_and_members_have_no_say() -> None:
    values = full("a", (0.9, 1.0), (0.3, 0.1))
    more = values | {(3, "gone", "a"): 5.0, (1, "sft", "a"): -5.0}
    pd.testing.assert_frame_equal(
        cut_offs(table(values), CALIBRATION), cut_offs(table(more), CALIBRATION)
    )


def test_a_missing_seed_is_named() -> None:
    values = {key: value for key, value in full("a", (1, 1), (0, 0)).items() if key[0] == 1}
    with pytest.raises(InputError, match=r"\(2, 'gone'\)"):
        cut_offs(table(values), CALIBRATION)


def test_the_shipped_cut_offs_are_those_of_the_calibration_study() -> None:
    rule = load_rule()
    measured = pd.read_csv(COMMITTED / rule.calibration.study / "measures.csv")
    expected = cut_offs(measured, rule.calibration).set_index("line")
    for name in rule.deciding():
        line, row = rule.lines[name], expected.loc[name]
        assert line.cut_gone == pytest.approx(row["cut_gone"], abs=5e-4)
        assert line.cut_there == pytest.approx(row["cut_there"], abs=5e-4)


def test_no_judged_seed_was_used_to_calibrate() -> None:
    from interp.study import studies

    used = set(load_rule().calibration.seeds)
    for config in studies():
        if config.purpose == "verdict":
            assert not used & set(config.seeds)
