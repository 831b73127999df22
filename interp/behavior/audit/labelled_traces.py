"""Published replies of models that think before they answer, with what was made of each."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from interp.behavior.audit.json_stream import read_objects
from interp.behavior.grading.boxed import boxed_outcome
from interp.errors import InputError
from interp.prompts.datasets.rows import Row, json_list

MIP_LABELS = {0: "abstain", 1: "answer", 2: "other", 3: "format_error"}
"""What the judge of MiP-Overthinking says; beside a reference answer, "other" is another answer."""

_MIP_ARMS = {"MiP": "missing", "normal": "whole"}
_MIP_QUESTIONS = {"MiP": "insufficient_question", "normal": "question"}
_MIP_REPLY = re.compile(r"model_answer|.+ \((?:insufficient_)?question\)")
_UMWP = "data/out/{stage}/UMWP/DeepSeek-R1-Distill-Qwen-7B/{file}.jsonl"
_UMWP_FILES = {
    ("plain", True): ("stage1", "unsolve/generation_log_formal", "ground_truth"),
    ("plain", False): ("stage1", "solve/generation_log_formal", "ground_truth"),
    ("intervention", True): ("stage2", "unsolve_intervention_result", "GT_answer"),
    ("intervention", False): ("stage2", "solve_intervention_result", "GT_answer"),
}
_UMWP_TWINS = "data/umwp/umwp_unanswer_data2.jsonl"
# The instruction that stands behind every problem.
_UMWP_PROMPT = re.compile(r"\s*Let's think step by step and output the final answer within.*", re.S)


def mip_traces(folder: Path) -> Iterator[dict[str, Any]]:
    """Replies to problems with a missing premise, judged by GPT-4o (Fan et al., 2504.06514).

    Files of one dataset come in different orders, so that a row which repeats its problem is found
    by it, and only others by their place.
    """
    for path in there(folder, "response/*/*/*/response.json"):
        subset, arm, model = path.parts[-4:-1]
        if arm not in _MIP_ARMS:
            raise InputError(f"{path}: arm '{arm}'; expected {' or '.join(_MIP_ARMS)}")
        (listed,) = there(folder, f"data/{subset}.json")
        problems, rows = json_list(listed), json_list(path)
        if len(problems) != len(rows):
            raise InputError(
                f"{path}: {len(rows)} rows; expected {len(problems)}, one a problem of {listed}"
            )
        replies = [row.text(_mip_column(row)) for row in rows]
        places = _places(rows, problems, listed)
        for row, place, reply, cut in zip(rows, places, replies, _cut(replies), strict=True):
            verdict = row.integer("eval_result")
            if verdict not in MIP_LABELS:
                raise row.bad("eval_result", f"one of {', '.join(map(str, MIP_LABELS))}")
            question_id = f"mip_overthinking/{subset}/{problems[place].number}"
            yield {
                "reply_id": f"{question_id}/{_MIP_ARMS[arm]}/{model}",
                "question_id": question_id,
                "dataset": f"mip_overthinking/{subset}",
                "arm": _MIP_ARMS[arm],
                "model": model,
                "question": problems[place].text(_MIP_QUESTIONS[arm]),
                "reply": reply,
                "label": MIP_LABELS[verdict],
                "should_abstain": arm == "MiP",
                "truncated": cut,
            }


def _places(rows: list[Row], problems: list[Row], listed: Path) -> list[int]:
    """Where the problem of each row stands in the list."""
    for column in ("question", "insufficient_question"):
        if all(column in row.values for row in (*rows, *problems)):
            found = {row.text(column): place for place, row in enumerate(problems)}
            for row in rows:
                if row.text(column) not in found:
                    raise row.bad(column, f"a problem of {listed}")
            return [found[row.text(column)] for row in rows]
    for row, problem in zip(rows, problems, strict=True):
        if row.values.get("answer") != problem.values.get("answer") and "answer" in row.values:
            raise row.bad("answer", f"that of the same row of {listed}")
    return list(range(len(rows)))


def _mip_column(row: Row) -> str:
    """Where the reply stands: `model_answer`, or under the name of the model."""
    names = [name for name in row.values if _MIP_REPLY.fullmatch(name)]
    if len(names) != 1:
        raise InputError(
            f"{row.where}: {len(names)} columns of replies; expected one, `model_answer` or "
            f"`MODEL (question)`; there are {', '.join(row.values) or 'none'}"
        )
    return names[0]


def umwp_traces(folder: Path) -> Iterator[dict[str, Any]]:
    """Traces on UMWP, plain and with the intervention of a probe (2508.18760), as boxed."""
    (twins,) = there(folder, _UMWP_TWINS)
    original = {row.integer("id"): _twin(row) for row in _stream(twins)}
    for (arm, unanswerable), (stage, file, truth) in _UMWP_FILES.items():
        (path,) = there(folder, _UMWP.format(stage=stage, file=file))
        rows = list(_stream(path))
        replies = [row.text("output") for row in rows]
        for row, reply, cut in zip(rows, replies, _cut(replies), strict=True):
            number = row.integer("question_index")
            if unanswerable != (number in original):
                raise row.bad("question_index", f"a problem that fits this folder and {twins}")
            right = [] if unanswerable else _answers(row, truth)
            yield {
                "reply_id": f"umwp/{number}/{arm}",
                "question_id": f"umwp/{original.get(number, number)}",
                "dataset": "umwp",
                "arm": arm,
                "model": "R1-Distill-Qwen-7B",
                "question": _UMWP_PROMPT.sub("", row.text("input_text")).strip(),
                "reply": reply,
                "label": boxed_outcome(reply, right),
                "should_abstain": unanswerable,
                "truncated": cut,
            }


def _answers(row: Row, column: str) -> list[str]:
    """Right answers: one, or a list of them, as numbers or as texts."""
    value = row.get(column)
    answers = value if isinstance(value, list) else [value]
    if not answers or not all(isinstance(answer, str | int | float) for answer in answers):
        raise row.bad(column, "a right answer, or a list of them")
    return [str(answer) for answer in answers]


def _twin(row: Row) -> int:
    related = row.get("relevant_ids")
    if not isinstance(related, list) or len(related) != 1 or not isinstance(related[0], int):
        raise row.bad("relevant_ids", "the id of one answerable problem")
    return related[0]


def _cut(replies: list[str]) -> list[bool]:
    """Which never stop thinking, where others of the file do."""
    closed = ["</think>" in reply for reply in replies]
    return [any(closed) and not own for own in closed]


def _stream(path: Path) -> Iterator[Row]:
    rows, cut = read_objects(path)
    if cut or not rows:
        raise InputError(f"{path}: breaks off after {len(rows)} rows; copy it again")
    return (Row(row, n, f"{path}, object {n}") for n, row in enumerate(rows, start=1))


def there(folder: Path, pattern: str) -> list[Path]:
    """The files of a pattern, in order; there is at least one."""
    paths = sorted(folder.glob(pattern))
    if not paths:
        raise FileNotFoundError(str(folder / pattern))
    return paths
