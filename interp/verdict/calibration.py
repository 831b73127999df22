"""Cut-offs from the two ends that are known by construction, on seeds used for nothing else."""

from __future__ import annotations

import pandas as pd

from interp.errors import InputError
from interp.verdict.rule import Calibration


def cut_offs(measures: pd.DataFrame, calibration: Calibration) -> pd.DataFrame:
    """The cut-offs of each line of evidence that separates the two ends.

    Over the calibration seeds, the room between the highest value of the erased end and the lowest
    value of the deselected end is cut in three: the lower third (and below) is `gone`, the upper
    third (and above) is `there`, the middle is `between`. A line whose ends overlap gets no
    cut-offs (NaN) and cannot decide.

    Args:
        measures: tidy table with seed, member, line, estimate.
        calibration: which seeds and members stand for the two ends.

    Returns:
        One row a line: line, erased_max, deselected_min, cut_gone, cut_there.

    Raises:
        InputError: a calibration seed or member is missing from the table.
    """
    wanted = {
        (seed, member)
        for seed in calibration.seeds
        for member in (*calibration.deselected, *calibration.erased)
    }
    present = set(zip(measures["seed"], measures["member"], strict=True))
    if missing := sorted(wanted - present):
        raise InputError(
            f"the calibration table lacks {missing}; run `interp study {calibration.study}` first"
        )
    used = measures[measures["seed"].isin(calibration.seeds)]
    rows = []
    for line, of_line in used.groupby("line", sort=True):
        by_end = {
            end: of_line.loc[of_line["member"].isin(members), "estimate"]
            for end, members in (
                ("erased", calibration.erased),
                ("deselected", calibration.deselected),
            )
        }
        low, high = by_end["erased"].max(), by_end["deselected"].min()
        third = (high - low) / 3 if high > low else float("nan")
        rows.append(
            {
                "line": line,
                "erased_max": low,
                "deselected_min": high,
                "cut_gone": low + third,
                "cut_there": high - third,
            }
        )
    return pd.DataFrame(rows)
