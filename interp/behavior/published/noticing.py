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
mentioned").

It is a rule of words, and any sentence may set it off, so "noticed" is confounded with length. Of
600 traces of R1-Distill-Qwen-7B on problems that lack nothing (UMWP, both arms) it hears none up to
150 words, .02 up to 250, .10 up to 400, .40 up to 800, .56 up to 3000, and .67 beyond. No false
alarms are known of chains of 32B models, which nobody published on whole problems; chains of
thousands of words may "notice" by length alone. So beside every figure belong what is noticed
within the first `EARLY` words of every reply, which gives none credit for going on (false alarms
above 400 words fall from .46 to .13, but what a chain notices later is lost), and false alarms by
length (`noticed_by_length`).
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
import pandas as pd

from interp.behavior.published.shares import share
from interp.behavior.tables import check_columns


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

EARLY = 200
"""Words of a reply that "early" reads; shorter replies are read whole."""
BINS = (150, 250, 400, 800, 3000)
"""Longest replies of all bins of length but the last, in words."""

_EARLY = re.compile(rf"\s*(?:\S+\s+){{{EARLY - 1}}}\S+")
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


def notice_early(text: str) -> Notice:
    """What the first `EARLY` words of a reply say; places are shares of these words."""
    found = _EARLY.match(text)
    return notice(found[0] if found else text)


def noticed_by_length(replies: pd.DataFrame, by: Sequence[str]) -> pd.DataFrame:
    """Share of replies that notice, by how long they are; false alarms on problems that are whole.

    Args:
        replies: one row a reply: question_id, reply, and the columns `by`. Each question once in
            every group.
        by: columns whose groups stand apart, such as the arm.

    Returns:
        The columns `by`; words ("1-150", ..., "3001-"); notice ("any", "missing", "early"); the
        share that notices as estimate, lo, hi (Wilson's 95%); n (replies of that length).

    Raises:
        InputError: no rows, a missing column, or a question twice in a group.
    """
    check_columns("noticed by length", replies, ("question_id", "reply", *by), ["question_id"])
    rows: list[dict[str, Any]] = []
    lows = (1, *(longest + 1 for longest in BINS))
    names = [f"{low}-{high}" for low, high in zip(lows, (*BINS, ""), strict=True)]
    for key, group in replies.groupby(list(by), sort=False):
        kinds = _places(group)
        bin_N = np.searchsorted(BINS, group["reply"].str.split().str.len(), side="left")
        for number, words in enumerate(names):
            here_N = bin_N == number
            questions = group["question_id"][here_N]
            for name, place in kinds.items():
                value = share(place.notna()[here_N], questions)
                where = dict(zip(by, key, strict=True)) | {"words": words, "notice": name}
                if here_N.any():
                    rows.append(where | value.columns() | {"n": len(questions)})
    return pd.DataFrame(rows)


def _places(replies: pd.DataFrame) -> dict[str, pd.Series]:
    """Where each reply first notices, by the kind of notice; missing if it does not."""
    found = [notice(text) for text in replies["reply"]]
    places = {
        "any": [one.first for one in found],
        "missing": [one.missing for one in found],
        "early": [notice_early(text).first for text in replies["reply"]],
    }
    return {name: pd.Series(at, replies.index, dtype=float) for name, at in places.items()}


def noticed_table(replies: pd.DataFrame, by: Sequence[str]) -> pd.DataFrame:
    """What replies notice on their way against what they conclude; P(answers | noticed) first.

    Args:
        replies: one row a reply: question_id, reply, concluded ("abstain", "answer", or missing
            for replies that conclude nothing, which are left out), and the columns `by`. Each
            question once in every group.
        by: columns whose groups stand apart, such as the model.

    Returns:
        The columns `by`; notice ("any"; "missing", without what is merely assumed; "early", any
        within the first `EARLY` words, which alone is fair to short replies); measure; estimate,
        lo, hi (Wilson's 95%), n (replies that the share is of). Measures: the four cells
        noticed_answers, noticed_abstains, unnoticed_answers, unnoticed_abstains, of all replies;
        noticed, of all; answers_given_noticed, answers_given_unnoticed; noticed_given_answers, and
        noticed_given_abstains, which is what the rule hears of what it should hear; and place, the
        median share of the reply (of its first words, if early) that stands before it first notices
        (no limits).

    Raises:
        InputError: no rows, a missing column, or a question twice in a group.
    """
    columns = ("question_id", "reply", "concluded", *by)
    check_columns("noticed and concluded", replies, columns, ["question_id"])
    valid = replies[replies["concluded"].notna()].reset_index(drop=True)
    kinds = _places(valid)
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
