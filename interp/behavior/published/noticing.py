r"""Whether a reply says on its way that a premise is missing, whatever it concludes.

MiP-Overthinking (arXiv 2504.06514) asks GPT-4o of every paragraph whether it doubts an unspecified
condition. Here it is a rule that can be read: a reply notices if one of its sentences

- says that something is not given, stated, mentioned or defined ("does not say how many"),
- says that there is not enough information, or none, or no relation,
- calls something missing, undefined, unclear, ambiguous, incomplete or unrelated,
- asks for something, or says that it would have to be known ("let me know how many"),
- says that something cannot be determined, calculated, solved or answered, or
- assumes something ("assuming", "suppose", "let's say"), which is counted apart,

unless the same sentence denies it ("I don't see any missing information", "no other fees are
mentioned"). A rule of words: it hears more in longer replies, so that its false alarms, on
problems that lack nothing, belong beside every figure (`noticed_table` gives both).
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
import pandas as pd

from interp.behavior.calibration.answers import check_columns
from interp.behavior.published.shares import share


def _any(*alternatives: str) -> str:
    return f"(?:{'|'.join(alternatives)})"


_NOT = r"(?:\b(?:not|never|without|no|none|nothing|neither|nor|lacks?|lacking)\b|n't\b)"
_KNOWN = _any("information", "info", "details?", "data", "context")
_GIVEN = _any(
    "giv(?:es?|en|ing)", "provid(?:es?|ed|ing)", "stat(?:es?|ed)", "specif(?:y|ies|ied)",
    "mention(?:s|ed)?", "defin(?:es?|ed)", "tells?", "told", "says?", "includ(?:es?|ed)",
)  # fmt: skip
_MORE = _any("more", "additional", "further", "other", "specific")
MISSING = {
    "not given": rf"{_NOT}.{{0,40}}?\b{_GIVEN}\b",
    "not enough": rf"{_NOT}.{{0,30}}?\b"
    + _any(rf"(?:enough|sufficient)(?: \w+)? (?:{_KNOWN}|to)", _KNOWN, "relat(?:ed?|ion|ing)")
    + r"\b",
    "lacking": r"\b"
    + _any("missing", "(?:un|under)specified", "undefined", "unclear", "insufficient",
           "incomplete", "ambigu(?:ous|ity)", "unrelated")
    + r"\b",
    "asks": r"\b"
    + _any("(?:need|have)s? to know", "please (?:provide|specify|clarify|give|tell)",
           "let me know (?:if|how|what|which|when|the)", "feel free to provide",
           "(?:can|could) you (?:please )?(?:provide|specify|clarify|give|tell)",
           rf"(?:need|require)s? {_MORE} (?:\w+ )?{_KNOWN}",
           rf"{_KNOWN} (?:is|are|would be) (?:need|requir)ed")
    + r"\b",
    "cannot": r"\b"
    + _any("can ?not", "can't", "could(?: not|n't)", "impossible to", "unable to", "no way to",
           "not possible to")
    + r"\b.{0,40}?\b"
    + _any("determin", "calculat", "comput", "figur", "answer", "solv", "evaluat",
           "be (?:found|known)"),
}  # fmt: skip
"""What counts as saying that something is missing, by what it says."""
ASSUMES = r"\b(?:assum(?:es?|ing|ed|ptions?)|suppos(?:e|ing)|presum(?:e|ing|ably)|let's say)\b"
"""What counts as assuming something."""
DENIES = r"(?:\b(?:not|never|no|nothing)\b|n't\b).{0,30}?\b" + _any(
    r"miss(?:ed|ing)?\b", r"overlook(?:ed|ing)?\b", "ambigu", "hidden", "assum",
    rf"(?:any|{_MORE})\b.{{0,30}}?\b(?:assum|ambigu|conditions?|constraints?|costs?|fees?|needed)",
    r"(?:mention|specif|stat|say|provid|giv|includ)\w*\b.{0,12}?\b"
    r"(?:other|else|additional|any of that|them|otherwise)\b",
    r"(?:other|else|additional|further) .{0,30}?(?:mention|specif|stat|said|provid|giv|includ)",
)  # fmt: skip
"""What takes it back in the same sentence, unless that says that something cannot be done."""

_MISSING = re.compile("|".join(MISSING.values()), re.IGNORECASE)
_ASSUMES = re.compile(ASSUMES, re.IGNORECASE)
_CANNOT = re.compile(MISSING["cannot"], re.IGNORECASE)
_DENIES = re.compile(DENIES, re.IGNORECASE)
_SENTENCE = re.compile(r"(?:[^.?!\n]|[.?!](?=\S))+")


@dataclass(frozen=True)
class Notice:
    """Where a reply first notices, as a share of its length from 0 to 1; None if it never does.

    Attributes:
        missing: says that something is missing.
        assumed: assumes something.
    """

    missing: float | None
    assumed: float | None

    @property
    def first(self) -> float | None:
        """Where it first does either."""
        places = [place for place in (self.missing, self.assumed) if place is not None]
        return min(places, default=None)


@lru_cache(maxsize=8192)  # several tables read the same chains, thousands of words each
def notice(text: str) -> Notice:
    """What a reply says about missing premises, by the rule of this module."""
    plain = text.replace("\N{RIGHT SINGLE QUOTATION MARK}", "'")
    found: dict[str, float] = {}
    for sentence in _SENTENCE.finditer(plain):
        if _DENIES.search(sentence[0]) and not _CANNOT.search(sentence[0]):
            continue
        for name, pattern in (("missing", _MISSING), ("assumed", _ASSUMES)):
            if name not in found and pattern.search(sentence[0]):
                found[name] = sentence.start() / len(plain)
        if len(found) == 2:
            break
    return Notice(found.get("missing"), found.get("assumed"))


def noticed_table(replies: pd.DataFrame, by: Sequence[str]) -> pd.DataFrame:
    """What replies notice on their way against what they conclude; P(answers | noticed) first.

    Args:
        replies: one row a reply: question_id, reply, concluded ("abstain", "answer", or missing
            for replies that conclude nothing, which are left out), and the columns `by`. Each
            question once in every group.
        by: columns whose groups stand apart, such as the model.

    Returns:
        The columns `by`; notice ("any", or "missing" without what is merely assumed); measure;
        estimate, lo, hi (Wilson's 95%), n (replies that the share is of). Measures: the four cells
        noticed_answers, noticed_abstains, unnoticed_answers, unnoticed_abstains, of all replies;
        noticed, of all; answers_given_noticed, answers_given_unnoticed; noticed_given_answers, and
        noticed_given_abstains, which is what the rule hears of what it should hear; and place, the
        median share of the reply that stands before it first notices (no limits).

    Raises:
        InputError: no rows, a missing column, or a question twice in a group.
    """
    columns = ("question_id", "reply", "concluded", *by)
    check_columns("noticed and concluded", replies, columns, ["question_id"])
    valid = replies[replies["concluded"].notna()].reset_index(drop=True)
    notices = [notice(text) for text in valid["reply"]]
    kinds = {
        "any": pd.Series([found.first for found in notices], valid.index, dtype=float),
        "missing": pd.Series([found.missing for found in notices], valid.index, dtype=float),
    }
    rows: list[dict[str, Any]] = []
    for key, group in valid.groupby(list(by), sort=False):
        for name, place in kinds.items():
            where = dict(zip(by, key, strict=True)) | {"notice": name}
            rows += [where | row for row in _measures(group, place[group.index])]
    return pd.DataFrame(rows)


def _measures(group: pd.DataFrame, place: pd.Series) -> list[dict[str, Any]]:
    noticed_N = place.notna().to_numpy()
    answers_N = (group["concluded"] == "answer").to_numpy()
    everything_N = np.ones(len(group), dtype=bool)
    shares: Mapping[str, tuple[np.ndarray, np.ndarray]] = {
        "noticed_answers": (noticed_N & answers_N, everything_N),
        "noticed_abstains": (noticed_N & ~answers_N, everything_N),
        "unnoticed_answers": (~noticed_N & answers_N, everything_N),
        "unnoticed_abstains": (~noticed_N & ~answers_N, everything_N),
        "noticed": (noticed_N, everything_N),
        "answers_given_noticed": (answers_N, noticed_N),
        "answers_given_unnoticed": (answers_N, ~noticed_N),
        "noticed_given_answers": (noticed_N, answers_N),
        "noticed_given_abstains": (noticed_N, ~answers_N),
    }
    questions_N = group["question_id"].to_numpy()
    rows: list[dict[str, Any]] = [
        {"measure": name} | share(hit_N[of_N], questions_N[of_N]).columns() | {"n": int(of_N.sum())}
        for name, (hit_N, of_N) in shares.items()
    ]
    middle = float(place.median()) if noticed_N.any() else np.nan
    return [
        *rows,
        {"measure": "place", "estimate": middle, "lo": np.nan, "hi": np.nan}
        | {"n": int(noticed_N.sum())},
    ]
