"""True rates behind graded ones: corrected for the grader's errors, known from an audit."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from interp.behavior.audit.audited import AUDIT_COLUMNS, one_kind, read_classes
from interp.behavior.audit.joint_rows import JointRows, check_better_than_chance
from interp.behavior.tables import check_columns
from interp.errors import InputError
from interp.stats import Interval, Weighted

EVALUATED_COLUMNS = ("prompt_id", "source", "graded")


def rogan_gladen(rate: float, sensitivity: float, specificity: float) -> float:
    """The true rate behind a graded one: (rate + spec - 1) / (sens + spec - 1), not clipped.

    Source: Rogan & Gladen 1978.

    Args:
        rate: share of replies graded positive.
        sensitivity: share of truly positive replies that are graded so.
        specificity: share of truly negative replies that are graded so.

    Raises:
        InputError: a share outside [0, 1], or sensitivity and specificity that sum to 1 or less.
    """
    for name, share in (("rate", rate), ("sensitivity", sensitivity), ("specificity", specificity)):
        if not 0 <= share <= 1:
            raise InputError(f"corrected rate: the {name} is {share}; expected a share in [0, 1].")
    check_better_than_chance("the grader", sensitivity, specificity)
    return (rate + specificity - 1) / (sensitivity + specificity - 1)


def corrected_rates(
    evaluated: pd.DataFrame,
    audit: pd.DataFrame,
    *,
    units: Sequence[str],
    pooled: bool = False,
    seed: int = 0,
    n_boot: int = 1000,
) -> pd.DataFrame:
    """The true share of positive replies of each source, from graded ones and an audit.

    Evaluated and audited rows are resampled together, by unit, so that the interval holds the
    audit's uncertainty beside that of the rate; a unit in both is drawn for both. For the limits
    alone, to each label of the audit one reply graded right and one graded wrong are added, and to
    the evaluated replies two of each grade, as Lang & Reiczigel (2014) do: a grader without an
    error in the audit may still err, and a rate of which 60 replies show nothing may not be 0. Of
    60 replies, an audit of 200, a sensitivity of .9 and specificities of .97 to 1, the limits held
    the true rate of .01 in .93 to .99 of 200 trials, and .05 in .94 to .96; resampling the replies
    as they are, in .43 to .88 and .92. The audit must be of replies like
    the evaluated ones: a grader's errors differ between kinds of questions, so recall is corrected
    by an audit of questions that call for abstention.

    Args:
        evaluated: one row a reply: prompt_id, source (such as the model), graded (true where the
            grader says it abstains), and the units.
        audit: the same columns, with label (true where a person says it abstains). Replies may be
            in both tables.
        units: columns of the units that intervals are over, from the top, e.g. ("pair_id",). Equal
            names in the two tables are one unit.
        pooled: takes sensitivity and specificity from the audit's rows of all sources; otherwise
            each source has those of its own rows.
        seed: of the bootstrap.
        n_boot: resamples.

    Returns:
        Columns source; estimate, lo, hi (95%, `hierarchical_bootstrap`), within [0, 1]; clipped,
        whether any of them was moved there; raw, raw_lo, raw_hi, as they were, of which raw has no
        bias to first order; observed (the graded rate), sensitivity, specificity; n, n_audit (rows
        of each); and note: why there are no limits.

    Raises:
        InputError: no rows or units, a missing column, a value that is not true or false, a source
            whose audit has no row of a label, or sensitivity + specificity of 1 or less.
    """
    rows = []
    for source in _sources(evaluated, audit, units):
        joint = JointRows.of(evaluated, audit, (source,), units, pooled)
        known = joint.of_source(source)
        raw = rogan_gladen(known.observed, known.sensitivity, known.specificity)
        value, note = joint.interval(raw, known.true_rate, seed=seed, n_boot=n_boot)
        grader = {"sensitivity": known.sensitivity, "specificity": known.specificity}
        rows.append(
            {"source": source}
            | _bounded(value, 0.0, 1.0)
            | {"observed": known.observed}
            | grader
            | {"n": known.n, "n_audit": joint.n_audit, "note": note}
        )
    return pd.DataFrame(rows)


def corrected_differences(
    evaluated: pd.DataFrame,
    audit: pd.DataFrame,
    contrasts: Sequence[tuple[Any, Any]],
    *,
    units: Sequence[str],
    pooled: bool = False,
    seed: int = 0,
    n_boot: int = 1000,
) -> pd.DataFrame:
    """Differences of two sources' true rates, paired by unit.

    Args:
        evaluated: as for `corrected_rates`.
        audit: as for `corrected_rates`.
        contrasts: pairs of sources, each giving the first less the second, e.g. child and parent.
        units: as for `corrected_rates`; a unit in both sources is drawn for both.
        pooled: both sources share one sensitivity and specificity, drawn once for the two; the
            grader then errs alike on both, which is to be known, not hoped.
        seed: of the bootstrap.
        n_boot: resamples.

    Returns:
        Columns first, second; estimate, lo, hi (95%), within [-1, 1]; clipped; raw, raw_lo, raw_hi;
        observed (difference of the graded rates); n, n_audit; all as in `corrected_rates`, but that
        no replies are added to the evaluated ones; and note: why there are no limits, or that all
        of a source's replies, or none, are graded positive, which makes limits too narrow.

    Raises:
        InputError: as `corrected_rates`, or a contrast names a source that is not there.
    """
    known = _sources(evaluated, audit, units)
    rows = []
    for first, second in contrasts:
        for source in (first, second):
            if source not in known:
                raise InputError(
                    f"corrected differences: no evaluated replies of {source!r}; there are "
                    f"{', '.join(map(repr, known))}."
                )
        joint = JointRows.of(evaluated, audit, (first, second), units, pooled)
        one, other = joint.of_source(first), joint.of_source(second)
        raw = [rogan_gladen(x.observed, x.sensitivity, x.specificity) for x in (one, other)]
        value, note = joint.interval(
            raw[0] - raw[1],
            _difference(one.true_rate, other.true_rate),
            seed=seed,
            n_boot=n_boot,
        )
        rows.append(
            {"first": first, "second": second}
            | _bounded(value, -1.0, 1.0)
            | {"observed": one.observed - other.observed, "n": one.n + other.n}
            | {"n_audit": joint.n_audit, "note": _joined(note, one.note, other.note)}
        )
    return pd.DataFrame(rows)


def _sources(evaluated: pd.DataFrame, audit: pd.DataFrame, units: Sequence[str]) -> list[Any]:
    """The evaluated sources in order of appearance, once both tables are known to be good."""
    check_columns("evaluated replies", evaluated, (*EVALUATED_COLUMNS, *units), units)
    check_columns("audited replies", audit, (*AUDIT_COLUMNS, *units), units)
    _, kind = one_kind(evaluated, "graded")
    label_N, _ = read_classes(audit)
    if kind is str or isinstance(label_N[0], str):
        raise InputError(
            "corrected rates: labels or grades are names of classes; make them true or false "
            "first, e.g. items['graded'].isin(ABSTAINING_KINDS)."
        )
    return evaluated["source"].drop_duplicates().tolist()


def _bounded(value: Interval, least: float, most: float) -> dict[str, Any]:
    raw = value.columns()
    kept = {name: float(np.clip(number, least, most)) for name, number in raw.items()}
    moved = any(kept[name] != number for name, number in raw.items() if not np.isnan(number))
    return kept | {"clipped": moved} | value.columns("raw")


def _difference(first: Weighted, second: Weighted) -> Weighted:
    return lambda weights_BN: first(weights_BN) - second(weights_BN)


def _joined(*notes: str) -> str:
    return "; ".join(note for note in notes if note)
