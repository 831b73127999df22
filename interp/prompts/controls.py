"""Controls of minimal pairs: a clause less that was not needed, and length by itself."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from difflib import SequenceMatcher
from math import isinf
from typing import Any

import numpy as np
import pandas as pd

from interp.errors import InputError
from interp.prompts.clauses import Clause, irrelevant_clauses
from interp.prompts.promptset import PromptSet
from interp.prompts.targets import levels_of
from interp.prompts.words import word_counts, words_of
from interp.stats import hierarchical_bootstrap, weighted_auroc

CONTROL = "irrelevant_clause_deleted"
# Words that an unanswerable half may add to what is left of its answerable one, such as a capital
# letter's "the" or an "if" that had to go over to the question.
_ADDED = 2


@dataclass(frozen=True, eq=False)
class Controls:
    """Answerable problems from which a clause is gone.

    Attributes:
        prompts: the control rows alone.
        counts: one row a dataset: dataset, pairs (minimal pairs), lacking (those whose unanswerable
            half lacks a clause), irrelevant (of these, with an irrelevant clause of any length),
            produced (of these, with one of about the length of what is lacking).
    """

    prompts: PromptSet
    counts: pd.DataFrame


def irrelevant_clause_controls(
    prompts: PromptSet, *, within: float = 2.0, min_words: int = 3
) -> Controls:
    """The answerable half of minimal pairs, without a clause that its answer does not need.

    What is unanswerable for want of a clause is also shorter, and reads as though something were
    gone. In these controls something is gone too, and they can still be answered: a read-out that
    calls them unanswerable reads the gap and not what it does.

    A pair is taken if its unanswerable half lacks a clause of its answerable one: it is at least
    `min_words` shorter, and all of its words but two stand in the answerable half in their order.
    What is cut is the clause among `interp.prompts.clauses.irrelevant_clauses` (which states when
    one is irrelevant) nearest in words to what is lacking. Where none is within the factor, the
    pair gets no control; a pair whose unanswerable half is the bare question hardly ever does.
    Most pairs get none: the counts say how many.

    Args:
        prompts: with minimal pairs. Of a pair with several rows of a kind the first is taken;
            controls in it (`meta["control"]`) are passed over.
        within: most times that the cut clause may be longer or shorter than what is lacking;
            infinity for any length.
        min_words: fewest words that are a clause; 0 takes every pair, whatever it lacks.

    Returns:
        The control rows, each as its answerable half is but for the text, the `prompt_id`
        ("ID/irrelevant_clause_deleted") and `meta`: "control", "control_of" (the id of the
        answerable half), "deleted" (the clause), "deleted_words" and "missing_words".

    Raises:
        InputError: no minimal pair, `within` below 1 or `min_words` below 0.
    """
    if not within >= 1 or min_words < 0:
        raise InputError(
            f"irrelevant-clause controls: within={within}, min_words={min_words}; expected at "
            "least 1 and at least 0"
        )
    counted: dict[str, Counter[str]] = {}
    records = []
    for answerable, unanswerable in _pairs(prompts):
        counts = counted.setdefault(answerable["dataset"], Counter())
        counts["pairs"] += 1
        missing = _n_missing(_last_text(answerable), _last_text(unanswerable))
        if missing < min_words:
            continue
        counts["lacking"] += 1
        clauses = irrelevant_clauses(_last_text(answerable))
        counts["irrelevant"] += bool(clauses)
        fitting = [one for one in clauses if _is_about(_n_words(one), missing, within)]
        if fitting:
            counts["produced"] += 1
            chosen = min(fitting, key=lambda one: abs(_n_words(one) - missing))
            records.append(_control(answerable, chosen, missing))
    if not counted:
        raise InputError(
            "irrelevant-clause controls: no minimal pair among the prompts; expected an answerable "
            "and an unanswerable one with the same pair_id"
        )
    names = ["pairs", "lacking", "irrelevant", "produced"]
    rows = [{"dataset": name} | {key: of[key] for key in names} for name, of in counted.items()]
    return Controls(PromptSet.from_records(records), pd.DataFrame(rows))


def length_control(prompts: PromptSet, *, seed: int = 0, n_boot: int = 1000) -> pd.DataFrame:
    """What length alone tells: the AUROC of the number of words for `should_abstain`.

    A read-out of internal states has to be compared with it, and with 1 less it: where the
    unanswerable prompts are the shorter ones it is below .5.

    Args:
        prompts: of both classes.
        seed: of the bootstrap.
        n_boot: resamples of the pairs.

    Returns:
        Columns dataset (each that has both classes, then "all"), estimate, lo, hi (95%,
        `hierarchical_bootstrap` over pairs), n (rows), words_abstain and words_answer (medians).

    Raises:
        InputError: all prompts are of one class.
    """
    labels_N = prompts.labels
    if labels_N.all() or not labels_N.any():
        raise InputError(
            f"length control: all {len(prompts)} prompts have one should_abstain; expected both"
        )
    words_N = word_counts(prompts)
    pair_N = levels_of(prompts, ["pair"])["pair"]
    dataset_N = prompts.frame["dataset"].to_numpy()
    rows = []
    for name in [*dict.fromkeys(dataset_N), None]:
        at = np.ones(len(prompts), dtype=bool) if name is None else dataset_N == name
        words_M, labels_M = words_N[at], labels_N[at]
        if labels_M.all() or not labels_M.any():
            continue
        value = hierarchical_bootstrap(
            weighted_auroc(words_M, labels_M),
            {"pair": pair_N[at]},
            n_boot=n_boot,
            seed=seed,
            strata=labels_M,
        )
        medians = {
            "words_abstain": float(np.median(words_M[labels_M])),
            "words_answer": float(np.median(words_M[~labels_M])),
        }
        place = {"dataset": "all" if name is None else name}
        rows.append(place | value.columns() | {"n": len(words_M)} | medians)
    return pd.DataFrame(rows)


def _pairs(prompts: PromptSet) -> Iterator[tuple[Mapping[str, Any], Mapping[str, Any]]]:
    """The first answerable and the first unanswerable row of each pair that has both."""
    first: dict[str, dict[bool, Mapping[str, Any]]] = {}
    for row in prompts.frame.to_dict("records"):
        if "control" not in row["meta"]:
            first.setdefault(row["pair_id"], {}).setdefault(bool(row["should_abstain"]), row)
    for halves in first.values():
        if len(halves) == 2:
            yield halves[False], halves[True]


def _n_missing(answerable: str, unanswerable: str) -> int:
    """Words that the unanswerable text is short of; 0 if it says something else besides."""
    whole, left = words_of(answerable), words_of(unanswerable)
    if len(whole) <= len(left):
        return 0
    matcher = SequenceMatcher(None, whole, left, autojunk=False)
    added = len(left) - sum(block.size for block in matcher.get_matching_blocks())
    return len(whole) - len(left) if added <= _ADDED else 0


def _is_about(n_words: int, missing: int, within: float) -> bool:
    return isinf(within) or missing <= within * n_words <= within**2 * missing


def _control(row: Mapping[str, Any], clause: Clause, missing: int) -> dict[str, Any]:
    text = clause.cut_from(_last_text(row))
    meta = {
        **row["meta"],
        "control": CONTROL,
        "control_of": row["prompt_id"],
        "deleted": clause.text,
        "deleted_words": _n_words(clause),
        "missing_words": missing,
    }
    control = {**row, "prompt_id": f"{row['prompt_id']}/{CONTROL}", "meta": meta}
    if row["text"] is not None:
        return {**control, "text": text}
    return {**control, "messages": [*row["messages"][:-1], {"role": "user", "content": text}]}


def _last_text(row: Mapping[str, Any]) -> str:
    return row["messages"][-1]["content"] if row["text"] is None else row["text"]


def _n_words(clause: Clause) -> int:
    return len(words_of(clause.text))
