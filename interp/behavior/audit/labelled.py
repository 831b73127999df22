"""Replies of real models that others have labelled: what a grader without a judge is held against.

Every source has its own words for what a reply did; they are kept, never translated. Rows are for
tuning and for testing, half each, and all replies to one question (with its twin, where it has one)
fall into the same half.

The halves are apart by question, not by content. Of 1883 wordings of questions in "apart", 137 have
eight words in a row with one of "tune" (80 of MiP, which writes many problems alike, 35 of UMWP, 12
of TruthfulQA, 9 of XSTest, 1 of TriviaQA). XSTest puts a harmless prompt beside a harmful one of
like words; of the 150 such pairs that its order tells, 77 lie in both halves. They are left so:
phrases were tuned on the replies of "tune" as they are, and to move a prompt would test them on
what they were tuned on. So agreement on "apart" is that on new questions of the same sources, a
little in favour of the grader, and no proof for another source.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from interp.behavior.audit.labelled_traces import mip_traces, there, umwp_traces
from interp.configs import nearest
from interp.errors import InputError
from interp.prompts.datasets.rows import csv_rows, json_lines, json_list

COLUMNS = (
    "reply_id", "question_id", "source", "dataset", "arm", "model", "question", "reply", "label",
    "split_half", "should_abstain", "truncated",
)  # fmt: skip
HALVES = ("tune", "apart")
_TRIVIA = "dataset/processed/triviaqa/gemma-2b-it/batch_0.json"
_XSTEST = "xstest_v2_completions_"
_XSTEST_LABELS = {
    "1_full_compliance": "compliance",
    "2_full_refusal": "full_refusal",
    "3_partial_refusal": "partial_refusal",
}
_TRUTHFULQA = "data/finetune_info.jsonl"
_JUDGED = re.compile(r"Q: (?P<question>.*?)\nA:(?P<reply>.*)\nHelpful:", re.DOTALL)
_INFORMATIVE = {"yes": "informative", "no": "uninformative"}


@dataclass(frozen=True)
class _Source:
    """Labelled replies as they are published.

    Attributes:
        folder: its folder within the one a user names.
        url: where it is published.
        read: its replies, from that folder.
    """

    folder: str
    url: str
    read: Callable[[Path], Iterator[dict[str, Any]]]


def labelled_replies(source: str, folder: Path) -> pd.DataFrame:
    """Labelled replies of one source.

    Sources, and their labels:
        mip: MiP-Overthinking (arXiv 2504.06514), GPT-4o as judge of the last two paragraphs:
            abstain, answer, other, format_error. Where there is a reference answer (gsm8k),
            "answer" agrees with it and "other" does not.
        umwp_traces: traces on UMWP of R1-Distill-Qwen-7B, plain and with an intervention
            (arXiv 2508.18760), as boxed: abstain, correct, wrong, none (`boxed_outcome`).
        triviaqa: gemma-2b-it on TriviaQA (arXiv 2411.14257), by its string matching: correct,
            error, refusal.
        xstest: Llama-2 on XSTest (arXiv 2308.01263), by people: compliance, full_refusal,
            partial_refusal.
        truthfulqa: several models and people on TruthfulQA (arXiv 2109.07958), by people:
            informative, uninformative.

    Args:
        source: one of these.
        folder: holds a folder a dataset, each laid out as it is published.

    Returns:
        reply_id; question_id (of the question; the same for an answerable problem and its
        unanswerable twin); source; dataset; arm ("missing" or "whole" premise, "plain" or
        "intervention", else empty); model; question; reply; label; split_half ("tune" or "apart",
        by the question); should_abstain (on XSTest: should refuse); truncated (the reply is of
        those that think aloud, and never stops thinking).

    Raises:
        InputError: no such source, a file that is missing (the message says where it is
            published), or one of another schema (with file, row and column).
    """
    if source not in _SOURCES:
        raise InputError(
            f"no labelled replies '{source}'{nearest(source, _SOURCES)}; there are "
            f"{', '.join(_SOURCES)}"
        )
    found = _SOURCES[source]
    try:
        rows = list(found.read(folder / found.folder))
    except FileNotFoundError as error:
        raise InputError(
            f"{source}: no file {error}; it is published at {found.url}, and expected with the "
            "file layout it has there"
        ) from error
    frame = pd.DataFrame(rows).assign(source=source)
    frame["split_half"] = frame["question_id"].map(split_half)
    return frame[list(COLUMNS)]


def split_half(question_id: str) -> str:
    """The half of a question: "tune" or "apart", by the parity of its SHA-256."""
    return HALVES[hashlib.sha256(question_id.encode()).digest()[-1] % 2]


def _triviaqa(folder: Path) -> Iterator[dict[str, Any]]:
    (path,) = there(folder, _TRIVIA)
    for row in json_list(path):
        question_id = f"sae_entities_triviaqa/{row.text('question_id')}"
        yield {
            "reply_id": f"{question_id}/gemma-2b-it",
            "question_id": question_id,
            "dataset": "triviaqa",
            "arm": "",
            "model": "gemma-2b-it",
            "question": row.text("question"),
            "reply": row.text("greedy_completion"),
            "label": row.one_of("label", ("correct", "error", "refusal")),
            "should_abstain": False,
            "truncated": False,
        }


def _xstest(folder: Path) -> Iterator[dict[str, Any]]:
    for path in there(folder, f"model_completions/{_XSTEST}*.csv"):
        model = path.stem.removeprefix(_XSTEST)
        for row in csv_rows(path):
            question_id = f"xstest/{row.text('id').removeprefix('v2-')}"
            yield {
                "reply_id": f"{question_id}/{model}",
                "question_id": question_id,
                "dataset": "xstest",
                "arm": "",
                "model": model,
                "question": row.text("prompt"),
                "reply": row.text("completion").strip(),
                "label": _XSTEST_LABELS[row.one_of("final_label", tuple(_XSTEST_LABELS))],
                "should_abstain": row.text("type").startswith("contrast_"),
                "truncated": False,
            }


def _truthfulqa(folder: Path) -> Iterator[dict[str, Any]]:
    (path,) = there(folder, _TRUTHFULQA)
    for row in json_lines(path):
        parts = _JUDGED.fullmatch(row.text("prompt"))
        if parts is None:
            raise row.bad(
                "prompt", "'Q: QUESTION', 'A: REPLY' and 'Helpful:' on lines of their own"
            )
        verdict = row.text("completion").strip()
        if verdict not in _INFORMATIVE:
            raise row.bad("completion", f"one of {', '.join(_INFORMATIVE)}")
        digest = hashlib.sha256(parts["question"].strip().encode()).hexdigest()[:12]
        yield {
            "reply_id": f"truthfulqa/{digest}/{row.number}",
            "question_id": f"truthfulqa/{digest}",
            "dataset": "truthfulqa",
            "arm": "",
            "model": "",
            "question": parts["question"].strip(),
            "reply": parts["reply"].strip(),
            "label": _INFORMATIVE[verdict],
            "should_abstain": False,
            "truncated": False,
        }


_SOURCES = {
    "mip": _Source(
        "mip_overthinking", "https://github.com/tianyi-lab/MiP-Overthinking", mip_traces
    ),
    "umwp_traces": _Source(
        "sum_umwp_reasoning_outputs",
        "https://github.com/nju-websoft/AbstentionReasoning",
        umwp_traces,
    ),
    "triviaqa": _Source("sae_entities", "https://github.com/javiferran/sae_entities", _triviaqa),
    "xstest": _Source("xstest", "https://github.com/paul-rottger/exaggerated-safety", _xstest),
    "truthfulqa": _Source("truthfulqa", "https://github.com/koppula/TruthfulQA", _truthfulqa),
}
