"""Small folders in the layouts of further sources of AbstentionBench; every row is invented."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.prompts.datasets.files import put_csv, put_json, put_lines


def bb_known_unknowns(root: Path, **changed: Any) -> Path:
    examples = [
        {"input": "What did Ola hum in 1907?", "target_scores": {"A waltz": 0, "Unknown": 1}},
        {"input": "What did Ola compose?", "target_scores": {"A waltz": 1, "Unknown": 0}},
        {"input": "Who will keep the mill in 2190?", "target_scores": {"Unknown": 1, "Bo": 0}},
        {"input": "Who keeps the mill?", "target_scores": {"Bo": 1, "Unknown": 0}} | changed,
    ]
    return put_json(
        root / "bigbench/bigbench/benchmark_tasks/known_unknowns/task.json",
        {"canary": "x", "name": "known_unknowns", "examples": examples},
    )


def kuq(root: Path, **changed: Any) -> Path:
    def unknown(question: str, category: str) -> dict[str, Any]:
        return {
            "question": question,
            "answer": ["Nobody knows."],
            "unknown": True,
            "source": "turk",
            "category": category,
        }

    known = {"answer": ["Ola", "Ola Zub"], "unknown": False, "source": "squad"}
    rows = [
        unknown("Is tea better than rye?", "controversial"),
        {"question": "Who keeps the mill?", **known},
        unknown("Who keeps the mill?", "ambiguous"),
        {"question": "Who keeps the mill? ", **known},
        unknown("Who wins in 2190?", "future unknown") | changed,
    ]
    return put_lines(root / "kuq/knowns_unknowns.jsonl", rows)


def qaqa(root: Path, **changed: Any) -> Path:
    def row(question: str, answer: str, assumption: str) -> dict[str, str]:
        return {
            "": "0",
            "question": question,
            "abstractive_answer": answer,
            "all_assumptions_valid": "has_invalid" if assumption else "all_valid",
            "questionable_assumption": assumption,
            "type_questionable_assumption": "false_assumption" if assumption else "no_failure",
        }

    rows = [
        row("where is the zubrow mill", "By the Lom.", ""),
        row("when did ola sell the mill", "She did not.", "ola sold the mill") | changed,
    ]
    return put_csv(root / "qaqa/QAQA_evaluation_set_Dec2022.csv", rows)


def musique(root: Path, **changed: Any) -> Path:
    def row(answerable: bool, last: str) -> dict[str, Any]:
        texts = [("Mill", "Ola keeps it."), ("Lom", last)]
        return {
            "id": "2hop__7_9",
            "paragraphs": [
                {"idx": index, "title": title, "paragraph_text": text, "is_supporting": True}
                for index, (title, text) in enumerate(texts)
            ],
            "question": "Where was the keeper of the mill born?",
            "question_decomposition": [],
            "answer": "Zub",
            "answer_aliases": ["Zubrow", "Zub"],
            "answerable": answerable,
        }

    rows = [row(True, "Ola was born in Zub."), row(False, "A river.") | changed]
    return put_lines(root / "musique/data/musique_full_v1.0_dev.jsonl", rows)


def qasper(root: Path, **changed: Any) -> Path:
    def answer(**given: Any) -> dict[str, Any]:
        empty = {"unanswerable": False, "extractive_spans": [], "yes_no": None}
        return {"answer": {**empty, "free_form_answer": "", **given}, "worker_id": "w"}

    nobody = answer(unanswerable=True)
    said = [answer(free_form_answer="two "), answer(extractive_spans=["two", "2 mills"])]
    questions = [
        {"question": "How many mills? ", "answers": said},
        {"question": "Is it deep?", "answers": [answer(yes_no=False), nobody]},
        {"question": "Who paid?", "answers": [nobody, nobody]},
        {"question": "Is it wide?", "answers": [answer(yes_no=True)]} | changed,
    ]
    sections = [
        {"section_name": "Mills", "paragraphs": ["There are two.", ""]},
        {"section_name": None, "paragraphs": ["They mill."]},
    ]
    paper = {"title": "On mills", "abstract": "x", "full_text": sections, "qas": questions}
    return put_json(root / "qasper/qasper-test-v0.3.json", {"2105.1": paper})


def gpqa_diamond(root: Path, **changed: Any) -> Path:
    def row(name: str, question: str) -> dict[str, str]:
        wrong = {f"Incorrect Answer {number}": f"wrong {number}" for number in (1, 2, 3)}
        right = {"Question": question, "Correct Answer": f" right {name}\n", **wrong}
        return {**right, "Subdomain": "Optics", "Record ID": name}

    rows = [
        row("a", "Light falls. Which way?"),
        row("b", "Which way?"),
        row("c", "Light falls, slowly. How fast, then?\n"),
        row("d", "Light falls. Which way? "),
        row("e", "It shines. Why?") | changed,
    ]
    return put_csv(root / "gpqa/gpqa_diamond.csv", rows)


def freshqa(root: Path, **changed: Any) -> Path:
    def row(question: str, *answers: str, **other: str) -> dict[str, str]:
        base = {"id": "0", "split": "TEST", "question": question, "false_premise": "FALSE"}
        base |= {"fact_type": "fast-changing", "source": "https://x"}
        given = {f"answer_{n}": answers[n] if n < len(answers) else "" for n in range(10)}
        return {**base, **given, "note": ""} | other

    fixed = row("What is 2 + 2?", "4", fact_type="never-changing")
    false = row("When did Ola fly?", "She did not.", false_premise="TRUE")
    shown = row("Who hums?", "Ola", split="DEV")
    earlier = [row("Who keeps the mill?", "Ola"), row("Who reigns?", "Bo", "King Bo"), fixed]
    earlier += [row("How deep is the Lom?", "3 m", fact_type="slow-changing"), false, shown]
    earlier += [row("Who was the last miller?", "Cy")]
    later = [fixed, false, shown, row("Who reigns?", "King Bo", "Bo")]
    later += [row("How deep is the Lom?", "4 m", fact_type="slow-changing")]
    later += [row("Who keeps the mill?", "Ola", "Ola") | changed]
    above = '"Warning: please do not click",,\n,,\n'
    for date, rows in (("10282024", earlier), ("12182024", later)):
        path = put_csv(root / f"freshqa/FreshQA_v{date} - freshqa.csv", rows, above)
    return path


def alcuna(root: Path, **changed: Any) -> Path:
    properties = [
        {"name": "habitat", "type": "attribute", "values": ["ice", "mud"]},
        {"name": "eat", "type": "relation", "values": ["Zubus"]},
    ]
    taxon = {"name": "Lomus", "id": -14, "rank": "genus", "properties": properties}
    put_lines(root / "alcuna/dataset/meta_data.jsonl", [{"artificial_entity": taxon}])

    def row(question: str, answers: list[str], form: str) -> dict[str, Any]:
        return {"question": question, "answers": answers, "form": form, "type": "Understanding"}

    rows = [
        row("What does Lomus eat?", ["Zubus"], "fill-in-blank"),
        row("Which one? A. ice", ["A"], "multi-choice"),
        row("Does Lomus fly?", ["I don't know"], "boolean") | changed,
    ]
    return put_json(root / "alcuna/dataset/id2question.json", {"-14": rows})


def questbench_gsm_csp(root: Path, **changed: Any) -> Path:
    def row(full: str, cut: str, missing: str, answer: str) -> dict[str, str]:
        return {
            "Question ID": "7",
            "Full Problem": full,
            "Full Answer": answer,
            "GT Question": missing,
            "Rewritten Problem": cut,
            "Variables": json.dumps({"A": "Nuts of Ann", "B": "Nuts of Bo"}),
            "depth": "2",
        }

    whole = "A = 2\nB = 3\nC = A + B\nWhat is C?"
    rows = [
        row(whole, "C = A + B\nB = 3\nWhat is C?", "A", "5"),
        row("A = 4\nC = A * A\nWhat is C?", "C = A * A\nWhat is C?", "A", "16"),
        row(whole, "C = A + B\nA = 2\nWhat is C?", "B", "5") | changed,
    ]
    return put_csv(
        root / "questbench/questbench_data/GSM-Q/gsm_CSP_heldout_pilot.csv",
        rows,
    )


def questbench_gsm_verbal(root: Path, **changed: Any) -> Path:
    def row(system: str, cut: str, missing: str) -> dict[str, str]:
        return {
            "CSP": system,
            "Full Answer": "5",
            "GT Question": missing,
            "Rewritten Problem": cut,
            "Variables": json.dumps({"A": "Nuts of Ann", "B": "Nuts of Bo"}),
            "depth": "3",
        }

    rows = [
        row("one", "Ann has nuts, Bo 3. How many have they?", "A"),
        row("two", "Ann has nuts. How many are half?", "A"),
        row("one", "Ann and Bo have nuts. How many have they?", "A"),
        row("one", "Ann and Bo have nuts. How many have they?", "B") | changed,
    ]
    return put_csv(root / "questbench/questbench_data/GSM-Q/gsm_verbal_heldout_pilot.csv", rows)


def questbench_logic(root: Path, **changed: Any) -> Path:
    def row(known: str, deciding: str, goal: str) -> dict[str, str]:
        rules = [["glad", "not calm", "not kind"], ["rich", "not glad"], ["calm", "not rich"]]
        return {
            "known_facts": known,
            "known_untrue_facts": "[]",
            "cannot_ask_facts": "[]",
            "goal": goal,
            "rules": str(rules),
            "max_depth": "2",
            "gt_qs": deciding,
        }

    rows = [
        row("['calm']", "['odd', 'kind']", "glad"),
        row("['calm']", "['odd']", "glad"),
        row("['kind']", "['calm']", "rich") | changed,
    ]
    return put_csv(root / "questbench/questbench_data/Logic-Q/simplelogic_heldout_1k.csv", rows)


ABSTENTION_MAKERS: dict[str, Callable[..., Path]] = {
    "alcuna": alcuna,
    "bb_known_unknowns": bb_known_unknowns,
    "freshqa": freshqa,
    "gpqa_diamond": gpqa_diamond,
    "kuq": kuq,
    "musique": musique,
    "qaqa": qaqa,
    "qasper": qasper,
    "questbench_gsm_csp": questbench_gsm_csp,
    "questbench_gsm_verbal": questbench_gsm_verbal,
    "questbench_logic": questbench_logic,
}
