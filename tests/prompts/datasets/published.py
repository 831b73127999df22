"""Small folders in the layouts of the published datasets; every row is invented."""

from __future__ import annotations

import bz2
import csv
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.prompts.datasets.files import REAL as REAL
from tests.prompts.datasets.files import put_csv, put_json, put_lines
from tests.prompts.datasets.published_abstention import ABSTENTION_MAKERS


def selfaware(root: Path, **changed: Any) -> Path:
    rows = [
        {
            "question_id": 7,
            "question": "What colour is the fence of the Zubrow mill?",
            "answer": ["green"],
            "answerable": True,
            "source": "squadqa_train",
        },
        {
            "question_id": 8,
            "question": "What will the last word ever said be?",
            "answer": None,
            "answerable": False,
            "source": "SelfAware",
        }
        | changed,
    ]
    return put_json(root / "selfaware/data/SelfAware.json", {"example": rows})


def umwp(root: Path, **changed: Any) -> Path:
    rows = [
        {
            "id": 3,
            "question": "Ola has 4 nuts and finds 2. How many has she?",
            "answer": [6.0],
            "answerable": True,
            "category": None,
            "relevant_ids": None,
            "source": "SVAMP",
        },
        {
            "id": 4,
            "question": "A rope of 5 m is halved. How long is each half?",
            "answer": 2.5,
            "answerable": True,
            "category": None,
            "relevant_ids": None,
            "source": "GSM8K",
        },
        {
            "id": 9,
            "question": "A rope is halved. How long is each half?",
            "answer": None,
            "answerable": False,
            "category": 1,
            "relevant_ids": [4],
            "source": "GSM8K",
        }
        | changed,
    ]
    return put_lines(root / "umwp/data/StandardDataset.jsonl", rows)


def coconot(root: Path, **changed: Any) -> Path:
    def row(name: str, category: str, subcategory: str) -> dict[str, str]:
        return {
            "id": name,
            "category": category,
            "subcategory": subcategory,
            "prompt": f"Tell me about {name}.",
            "response": "",
        }

    safety = "Requests with safety concerns"
    put_lines(
        root / "coconot/data/coconot_contrast_eval.jsonl",
        [
            row("c1", "Incomplete requests", "underspecified"),
            row("c2", safety, "privacy violations"),
        ],
    )
    return put_lines(
        root / "coconot/data/coconot_eval.jsonl",
        [
            row("e1", "Unsupported requests", "temporal limitations"),
            # Safety goes by the category: this subcategory is also one of "Incomplete requests".
            row("e2", safety, "incomprehensible"),
            row("e3", "Incomplete requests", "underspecified") | changed,
        ],
    )


def gsm8k(root: Path, **changed: Any) -> Path:
    rows = [
        {
            "question": "Bo bakes 3 loaves a day.  How many loaves does Bo bake in 4 days?",
            "answer": "3 * 4 = <<3*4=12>>12\n#### 12",
        },
        {"question": "If Bo bakes 3 loaves, how many does he bake?", "answer": "3\n#### 3"},
        {"question": "Bo has 1,000 pans. He buys 5. Count them.", "answer": "x\n#### 1,005"},
        {"question": "Jo reads 2 books. How many does Jo read?", "answer": "2\n#### 2"} | changed,
    ]
    return put_lines(root / "gsm8k/grade_school_math/data/test.jsonl", rows)


def mmlu_math(root: Path, **changed: Any) -> Path:
    def row(question: str, answer: int) -> dict[str, Any]:
        choices = {f"choice{index}": text for index, text in enumerate(("2", "", "None", "9"))}
        return {"question": question, **choices, "answer": answer}

    folder = root / "mmlu_test/data/mmlu/test"
    put_csv(folder / "abstract_algebra_test.csv", [row("Is 3 prime?", 0)])
    put_csv(folder / "college_mathematics_test.csv", [row("Let x be 1. What is 2x?", 0)])
    return put_csv(
        folder / "high_school_mathematics_test.csv",
        [row("Let y, a number, be 3.\nSquare it. What is y?", 3) | changed],
    )


def bbh_disambiguation(root: Path, **changed: Any) -> Path:
    three = "Say who is meant.\nOptions:\n(A) The nun\n(B) The pot\n(C) Ambiguous"
    four = "Say who is meant.\nOptions:\n(A) A nun\n(B) A pot\n(C) A cat\n(D) Ambiguous"
    rows = [
        {"input": three, "target": "(A)"},
        {"input": three, "target": "(C)"},
        {"input": four, "target": "(C)"} | changed,
    ]
    return put_json(root / "bbh/bbh/disambiguation_qa.json", {"canary": "x", "examples": rows})


def mip_overthinking(root: Path, **changed: Any) -> Path:
    folder = root / "mip_overthinking/data"
    put_json(
        folder / "formula.json",
        [{"insufficient_question": "What is $q + 1$?", "complexity": 1, "depth": 1}],
    )
    put_json(folder / "svamp.json", [{"insufficient_question": "Al has 2. What?", "answer": 2.0}])
    whole = {
        "question": "Al hops 3 times 5 m. How far does he hop?",
        "answer": "3 * 5 = 15\n#### 15",
        "insufficient_question": "Al hops 3 times. How far does he hop?",
    }
    return put_json(folder / "gsm8k.json", [whole | changed])


def truthfulqa(root: Path, **changed: Any) -> Path:
    def row(question: str, best: str, correct: str) -> dict[str, str]:
        return {
            "Type": "Adversarial",
            "Category": "Fiction",
            "Question": question,
            "Best Answer": best,
            "Correct Answers": correct,
            "Incorrect Answers": "Left; Right; ",
            "Source": "",
        }

    rows = [
        row('Who lives in "Zed" house?', "I have no comment", "I have no comment; Nobody"),
        row("Do owls\nknit?", "No, they don't", "Owls do not knit; No, they don't") | changed,
    ]
    return put_csv(root / "truthfulqa/data/v1/TruthfulQA.csv", rows)


def xstest(root: Path, **changed: Any) -> Path:
    def row(number: int, label: str) -> dict[str, Any]:
        return {
            "id": number,
            "prompt": f"How do I freeze thread {number}?",
            "type": "homonyms" if label == "safe" else "contrast_homonyms",
            "label": label,
            "focus": "",
            "note": "",
        }

    rows = [row(1, "safe"), row(2, "unsafe") | changed]
    return put_csv(root / "xstest/xstest_prompts.csv", rows)


def abstain_r1_squad2(root: Path, **changed: Any) -> Path:
    folder = root / "abstain_r1/data/Abstain-CoT/squad2"
    end = "clean_deepseek_filtered.jsonl"
    boxed = "<answer>\n\\boxed{I don't know.}\nThe text names no river.\n</answer>"
    put_lines(
        folder / f"squad2_unanswerable_{end}",
        [{"question": "Which river?", "answer": f"<thinking>\nno\n</thinking>\n{boxed}"}],
    )
    rows = [
        {
            "question": "Which hill?",
            "answer": "<thinking>\nyes\n</thinking>\n<answer>\nLow\n</answer>",
        },
        {"question": "Which tree?", "answer": "<thinking>\nyes\n</answer>\nThe old oak"} | changed,
    ]
    return put_lines(folder / f"squad2_answerable_{end}", rows)


def known_1000(root: Path, **changed: Any) -> Path:
    from interp.prompts.datasets.known_1000 import MODELS

    row = {
        "known_id": 5,
        "subject": "Zubrow",
        "attribute": "Mill",
        "template": "{} is known for its",
        "prediction": " mill",
        "prompt": "Zubrow is known for its",
        "relation_id": "P1",
    }
    right = {model: number % 2 == 0 for number, model in enumerate(MODELS)}
    return put_json(root / "known_1000/data/known_1000.json", [row | right | changed])


def lre_relations(root: Path, **changed: Any) -> Path:
    def relation(name: str, samples: list[tuple[str, str]]) -> dict[str, Any]:
        return {
            "name": name,
            "prompt_templates": ["{} is"],
            "prompt_templates_zs": ["The thing of {} is the", "{}: what thing?"],
            "properties": {},
            "samples": [{"subject": one, "object": other} for one, other in samples],
        }

    folder = root / "lre_relations/data"
    put_json(folder / "commonsense/thing.json", relation("thing of it", [("Ox", "yoke")]))
    put_json(folder / "linguistic/thing.json", relation("word", [("Ox", "oxen")]))
    made = relation("maker", [("Plough", "Ann"), ("Hat", "Bo"), ("Plough", "Cy"), ("Hat", "Bo")])
    return put_json(folder / "factual/maker.json", made | changed)


def sae_entities(root: Path, **changed: Any) -> Path:
    content = {
        "train": ["Who is the director of the movie 'Ann's 'Big' Day'?"],
        "validation": ["What geographic coordinates correspond to the city of 'Zub'?"],
        "test": ["How large, in number, is the population of the city 'Zub'?"],
    }
    return put_json(
        root / "sae_entities/dataset/processed/entity_prompts/gemma-2-2b-it_wikidata_splits.json",
        content | changed,
    )


def sae_entities_triviaqa(root: Path, **changed: Any) -> Path:
    row = {
        "question": "Who keeps the Zubrow mill?",
        "question_id": "qx_1",
        "split": "validation",
        "correct_answer": ["Ola", "Ola Zub"],
        "sampled_completions": ["Bo does.", "I cannot say."],
        "greedy_completion": "Bo does.",
        "string_matching_sampled_labels": ["error", "refusal"],
        "label": "error",
    }
    return put_json(
        root / "sae_entities/dataset/processed/triviaqa/gemma-2b-it/batch_0.json", [row | changed]
    )


def falseqa(root: Path, **changed: Any) -> Path:
    rows = [
        {
            "question": "Why do mills bark?",
            "answer": "['They do not.', \"They can't.\"]",
            "label": 1,
        },
        {"question": "Who feeds a ladder?", "answer": "['Nobody.']", "label": 1},
        {"question": "Why do dogs bark?", "answer": "['To warn.', 'To call']", "label": 0},
        {"question": "Who climbs a ladder?", "answer": "A roofer.", "label": 0} | changed,
    ]
    return put_csv(root / "falseqa/dataset/test.csv", rows)


def bbq(root: Path, **changed: Any) -> Path:
    from interp.prompts.datasets.bbq import BBQ

    def row(number: int, category: str) -> dict[str, Any]:
        long = number % 2 == 1
        return {
            "example_id": number,
            "question_index": "1",
            "question_polarity": "neg",
            "context_condition": "disambig" if long else "ambig",
            "category": category,
            "answer_info": {},
            "additional_metadata": {"stereotyped_groups": [], "version": "a"},
            "context": "Two cooks met." + (" Ann was late." if long else ""),
            "question": "Who was late?",
            "ans0": "Cannot be known",
            "ans1": "Ann",
            "ans2": "Bo",
            "label": 1 if long else 0,
        }

    paths = []
    for file in BBQ.files:
        category = Path(file).stem
        rows = [row(2, category), row(3, category) | changed]
        paths.append(put_lines(root / "bbq" / file, rows))
    return paths[0]


def mediq(root: Path, **changed: Any) -> Path:
    def row(number: int, context: list[str]) -> dict[str, Any]:
        return {
            "id": number,
            "question": "What is it?",
            "context": context,
            "options": {"A": "Gout", "B": "Flu"},
            "answer": "Flu",
            "answer_idx": "B",
            "facts": [],
            "patient": {},
        }

    put_lines(root / "mediq/data/all_craft_md.jsonl", [row(0, ["A man of 40", "He coughs."])])
    rows = [row(1, []), row(0, ["A girl came", "She sneezes"]) | changed]
    return put_lines(root / "mediq/data/all_dev_good.jsonl", rows)


def worldsense(root: Path, **changed: Any) -> Path:
    def row(target: str) -> dict[str, Any]:
        messages = [{"role": "user", "content": f"Is it (1), (2) or (3)? {target}"}]
        return {"dialog_history": {"messages": messages}, "target_message": target}

    rows = [row("TRUE"), row("2"), row("POSSIBLE"), row("3") | changed]
    text = "".join(json.dumps(one) + "\n" for one in rows)
    path = root / "worldsense/data/worldsense/training_set/trials_10k.jsonl.bz2"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(bz2.compress(text.encode()))
    return path


def situatedqa_geo(root: Path, **changed: Any) -> Path:
    def row(number: int, place: str, answer: str) -> dict[str, Any]:
        return {
            "question": "who is the mayor",
            "id": number,
            "edited_question": f"who is the mayor of {place}",
            "location": place,
            "answer": [answer],
            "any_answer": ["Ola", "Bo"],
        }

    rows = [row(-5, "zub", "Ola"), row(6, "lom", "Cy"), row(-5, "row", "Bo") | changed]
    return put_lines(root / "situatedqa/data/qa_data/geo.test.jsonl", rows)


def moralchoice(root: Path, **changed: Any) -> Path:
    def row(name: str, level: str) -> dict[str, str]:
        return {
            "scenario_id": name,
            "ambiguity": level,
            "generation_type": "Generated",
            "generation_rule": "Do not cheat",
            "context": f"You play {name}.",
            "action1": "I play by {the} rules.",
            "action2": "I hide a card.",
        }

    folder = root / "moralchoice/data"
    template = {"name": "ab", "question_header": "Say A or B.\n", "question": "{}\nA. {}\nB. {}"}
    put_json(folder / "question_templates/ab.json", template)
    put_csv(folder / "scenarios/moralchoice_high_ambiguity.csv", [row("H_1", "high")])
    rows = [row("C_1", "low"), row("C_2", "low") | changed]
    return put_csv(folder / "scenarios/moralchoice_low_ambiguity.csv", rows)


def mathtrap(root: Path, **changed: Any) -> Path:
    def row(original: str, trap: str, kind: str) -> dict[str, str]:
        return {
            "category": "GSM8K",
            "trap_problem": trap,
            "human_annotation": "It cannot be.",
            "trap_type": kind,
            "original_problem": original,
            "gpt4_annotation": "",
            "original_solution": "#### 3",
        }

    rows = [
        row("Half of 6?", "Half of 6 x?", "Missing Condition"),
        row("Half of 6?", "Half of 6, which is 7?", "Direct Contradiction"),
        row("Half of 6?", "Half of 6 men is 2.5 men?", "Violating Common Sense") | changed,
    ]
    return put_json(root / "mathtrap/data/MathTrap_Public/MathTrap_Public.json", rows)


def squad2(root: Path, **changed: Any) -> Path:
    known = {
        "id": "q1",
        "question": " Who keeps the mill?",
        "is_impossible": False,
        "answers": [{"text": "Ola", "answer_start": 0}, {"text": "Ola", "answer_start": 0}],
    }
    unknown = {
        "id": "q2",
        "question": "Who keeps the inn?",
        "is_impossible": True,
        "answers": [],
        "plausible_answers": [{"text": "Ola", "answer_start": 0}],
    } | changed
    paragraph = {"context": "Ola keeps the mill.", "qas": [known, unknown]}
    return put_json(
        root / "squad2/dataset/dev-v2.0.json",
        {"version": "v2.0", "data": [{"title": "Zubrow", "paragraphs": [paragraph]}]},
    )


def popqa(root: Path, **changed: Any) -> Path:
    row = {
        "id": 4,
        "subj": "Ola Zub",
        "prop": "occupation",
        "obj": "miller",
        "s_pop": 14,
        "question": "What is Ola Zub's occupation?",
        "possible_answers": '["miller", "mill keeper"]',
    } | changed
    path = root / "popqa/data/popQA.tsv"
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, list(row), delimiter="\t")
        writer.writeheader()
        writer.writerow(row)
    return path


def sum_math(root: Path, **changed: Any) -> Path:
    row = {
        "answerable_question": "Which whole n > 2 has n^2 < 10?",
        "unanswerable_question": "Which n has n^2 < 10?",
        "ground_truth": "3",
    }
    return put_lines(root / "abstain_r1/data/Abstain-Test-SUM/sum_test.jsonl", [row | changed])


def treecut(root: Path, **changed: Any) -> Path:
    from interp.prompts.datasets.treecut import TREECUT

    paths = []
    for file in TREECUT.files:
        answer = "unknown" if "hallu-True" in file else "7"
        row = {"problem": f"A pie costs what? ({file})", "answer": answer, "proof": "It is given."}
        paths.append(put_lines(root / "treecut" / file, [row | changed]))
    return paths[0]


MAKERS: dict[str, Callable[..., Path]] = {
    "abstain_r1_squad2": abstain_r1_squad2,
    "bbh_disambiguation": bbh_disambiguation,
    "coconot": coconot,
    "gsm8k_abstain": gsm8k,
    "known_1000": known_1000,
    "lre_relations": lre_relations,
    "mip_overthinking": mip_overthinking,
    "mmlu_math": mmlu_math,
    "sae_entities": sae_entities,
    "sae_entities_triviaqa": sae_entities_triviaqa,
    "selfaware": selfaware,
    "truthfulqa": truthfulqa,
    "umwp": umwp,
    "xstest": xstest,
    "bbq": bbq,
    "falseqa": falseqa,
    "mathtrap": mathtrap,
    "mediq": mediq,
    "moralchoice": moralchoice,
    "popqa": popqa,
    "situatedqa_geo": situatedqa_geo,
    "squad2": squad2,
    "sum": sum_math,
    "treecut": treecut,
    "worldsense": worldsense,
    **ABSTENTION_MAKERS,
}
"""Writes a dataset's files below a root, with some values of the last row changed.

Returns the file with that row.
"""
