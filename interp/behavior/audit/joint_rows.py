"""Graded replies and the audit of their grader as rows that are resampled together."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from interp.behavior.audit.kappa import boundary_note
from interp.errors import InputError
from interp.stats import Interval, Weighted, hierarchical_bootstrap

_N_IMAGINED = 4
"""Rows added to the evaluated ones, and half as many to each label of the audit."""


@dataclass(frozen=True)
class GraderRows:
    """What is known of one source and of its grader.

    Attributes:
        observed: share of its evaluated rows that are graded positive.
        sensitivity: share of the audited positive rows that are graded so.
        specificity: share of the audited negative rows that are graded so.
        n: evaluated rows.
        true_rate: weights [B, N] of all joint rows -> corrected rate [B]; NaN where nothing tells
            it. The imagined rows count.
        note: on an observed share of 0 or 1, where no rows were added to the evaluated ones.
    """

    observed: float
    sensitivity: float
    specificity: float
    n: int
    true_rate: Weighted
    note: str


@dataclass(frozen=True)
class JointRows:
    """Evaluated rows, and audited ones below them.

    Rows are added, as Lang & Reiczigel (2014) do on both sides; they count for limits alone. To
    each label of an audit one reply graded right and one graded wrong: without them a grader that
    made no error among twenty replies is taken for one that makes none. To the evaluated replies
    of a source that stands alone two graded positive and two negative (z^2 / 2 = 1.92 of each):
    without them resamples of few positive grades are too much alike. Two sources are compared
    without those, as what they share in a unit would be lost on them.

    Attributes:
        frame: source, graded (1.0 for positive), label (True for positive; of an evaluated row it
            means nothing), audited, and imagined (one of those added).
        levels: unit of each row by the name of the level, from the top.
        pooled: whether a source's grader is known from the audited rows of all sources.
    """

    frame: pd.DataFrame
    levels: Mapping[str, np.ndarray]
    pooled: bool

    @classmethod
    def of(
        cls,
        evaluated: pd.DataFrame,
        audit: pd.DataFrame,
        sources: Sequence[Any],
        units: Sequence[str],
        pooled: bool,
    ) -> JointRows:
        """The rows that tell of some sources; the tables are those of `corrected_rates`."""
        asked = evaluated[evaluated["source"].isin(sources)]
        known = audit if pooled else audit[audit["source"].isin(sources)]
        alone = asked.drop_duplicates("source") if len(sources) == 1 else asked.iloc[:0]
        more_asked = _repeated(alone, _N_IMAGINED)
        more_known = _repeated(
            known.drop_duplicates(["label"] if pooled else ["source", "label"]), _N_IMAGINED // 2
        )
        tables = (asked, known, more_asked, more_known)
        sizes = [len(table) for table in tables]
        n_real, n_imagined = sum(sizes[:2]), sum(sizes[2:])

        def column(name: str) -> np.ndarray:
            return np.concatenate([table[name].to_numpy(object) for table in tables])

        levels = {unit: column(unit) for unit in units}
        # Units of their own, within those above them that the real rows have.
        levels[units[-1]][n_real:] = [object() for _ in range(n_imagined)]
        # Of a source, or a label, as many graded positive as negative.
        grades = [asked["graded"], known["graded"], np.arange(n_imagined) % 2]
        no_label = [np.zeros(len(table)) for table in (asked, more_asked)]
        labels = [no_label[0], known["label"], no_label[1], more_known["label"]]
        frame = pd.DataFrame(
            {
                "source": column("source"),
                "graded": np.concatenate([np.asarray(part, dtype=float) for part in grades]),
                "label": np.concatenate([np.asarray(part, dtype=bool) for part in labels]),
                "audited": np.repeat([False, True, False, True], sizes),
                "imagined": np.repeat([False, False, True, True], sizes),
            }
        )
        return cls(frame, levels, pooled)

    @property
    def n_audit(self) -> int:
        """Audited rows."""
        return int((self.frame["audited"] & ~self.frame["imagined"]).sum())

    def of_source(self, source: Any) -> GraderRows:
        """What the rows tell of one source.

        Raises:
            InputError: the audit has no row of a label, or its sensitivity and specificity sum to
                1 or less.
        """
        label_N, audited_N, imagined_N = (
            self.frame[name].to_numpy() for name in ("label", "audited", "imagined")
        )
        graded_N = self.frame["graded"].to_numpy()
        own_N = (self.frame["source"] == source).to_numpy()
        asked_N, known_N = own_N & ~audited_N, audited_N & (own_N | self.pooled)
        evaluated_N = asked_N & ~imagined_N
        share = {}
        for label in (True, False):
            found_N = known_N & ~imagined_N & (label_N == label)
            if not found_N.any():
                raise InputError(
                    f"audit of {source!r}: no reply that a person labelled {label}, so the "
                    "grader's errors on such replies are unknown; label some, or pool sources."
                )
            share[label] = float(graded_N[found_N].mean())
        check_better_than_chance(f"source {source!r}", share[True], 1 - share[False])

        of_N3 = np.stack([asked_N, known_N & label_N, known_N & ~label_N], axis=1).astype(float)
        graded_N3 = of_N3 * graded_N[:, None]

        def true_rate(weights_BN: np.ndarray) -> np.ndarray:
            with np.errstate(invalid="ignore", divide="ignore"):
                rate_B, hit_B, false_alarm_B = (weights_BN @ graded_N3 / (weights_BN @ of_N3)).T
                youden_B = hit_B - false_alarm_B
                return np.where(youden_B > 0, (rate_B - false_alarm_B) / youden_B, np.nan)

        observed, n = float(graded_N[evaluated_N].mean()), int(evaluated_N.sum())
        said = boundary_note(observed, len(set(self._unit_N[evaluated_N].tolist())))
        note = f"observed of {source}: {said}" if said and not imagined_N[asked_N].any() else ""
        return GraderRows(observed, share[True], 1 - share[False], n, true_rate, note)

    def interval(
        self, estimate: float, statistic: Weighted, *, seed: int, n_boot: int
    ) -> tuple[Interval, str]:
        """An estimate with the 95% limits of a statistic of all rows, and why it has none."""
        found = hierarchical_bootstrap(
            statistic, self.levels, n_boot=n_boot, seed=seed, strata=self._strata()
        )
        note = (
            "no limits: too few units, or a resample in which the audit lacks a label or shows a "
            "grader no better than chance"
        )
        return Interval(estimate, found.lo, found.hi), note if np.isnan(found.lo) else ""

    @property
    def _unit_N(self) -> np.ndarray:
        return list(self.levels.values())[-1]

    def _strata(self) -> list[object]:
        """Class of each row: which tables, sources and (if only audited) labels its unit has.

        So resamples keep the sizes of both tables, and the audit both labels. The labels of
        evaluated replies are what is estimated, and vary.
        """
        unit_N = self._unit_N.tolist()
        met: dict[object, set[tuple[object, ...]]] = {}
        kinds_N = self.frame[["audited", "source", "label"]].itertuples(index=False, name=None)
        for unit, kind in zip(unit_N, kinds_N, strict=True):
            met.setdefault(unit, set()).add(kind)
        classes: dict[object, object] = {}
        for unit, kinds in met.items():
            only_audited = all(audited for audited, _, _ in kinds)
            classes[unit] = frozenset(kinds if only_audited else {kind[:2] for kind in kinds})
        sizes = Counter(classes.values())
        largest = sizes.most_common(1)[0][0]
        # A unit that is the only one of its class has no spread, so it joins the most.
        return [classes[unit] if sizes[classes[unit]] > 1 else largest for unit in unit_N]


def check_better_than_chance(who: str, sensitivity: float, specificity: float) -> None:
    """Refuses a grader whose sensitivity and specificity sum to 1 or less.

    Raises:
        InputError: as said; it names both numbers.
    """
    if not sensitivity + specificity > 1:
        raise InputError(
            f"corrected rate, {who}: sensitivity {sensitivity:.3f} and specificity "
            f"{specificity:.3f} sum to 1 or less, so the grader is no better than chance and its "
            "rate says nothing; use another grader, or label more replies."
        )


def _repeated(rows: pd.DataFrame, times: int) -> pd.DataFrame:
    return rows.iloc[np.repeat(np.arange(len(rows)), times)]
