"""What each published layout becomes: labels, pairs, answers, scenarios and ids of every row."""

from __future__ import annotations

from pathlib import Path

import pytest

from interp.errors import InputError
from interp.prompts import levels_of, targets_of
from interp.prompts.datasets import Counts, datasets, read_dataset
from tests.prompts.datasets.published import MAKERS


def made(name: str, tmp_path: Path) -> list[dict]:
    MAKERS[name](tmp_path)
    return read_dataset(name, tmp_path).frame.to_dict("records")


def column(rows: list[dict], name: str) -> list:
    return [row[name] for row in rows]


def test_selfaware(tmp_path):
    known, unknown = made("selfaware", tmp_path)
    assert (known["prompt_id"], unknown["prompt_id"]) == ("selfaware/7", "selfaware/8")
    assert (known["should_abstain"], unknown["should_abstain"]) == (False, True)
    assert (known["answers"], unknown["answers"]) == (["green"], [])
    assert unknown["meta"] == {"source": "SelfAware"}


def test_umwp_pairs_by_the_related_problem_and_writes_whole_numbers(tmp_path):
    rows = made("umwp", tmp_path)
    assert column(rows, "pair_id") == ["umwp/3", "umwp/4", "umwp/4"]
    assert column(rows, "should_abstain") == [False, False, True]
    assert column(rows, "answers") == [["6"], ["2.5"], []]
    assert rows[2]["meta"]["category"] == "key information missing"


def test_coconot_leaves_safety_out_by_its_category(tmp_path):
    rows = made("coconot", tmp_path)
    assert column(rows, "prompt_id") == ["coconot/e1", "coconot/e3", "coconot/c1"]
    assert column(rows, "should_abstain") == [True, True, False]
    assert column(rows, "scenario") == ["stale", "underspecified_context", "underspecified_context"]
    assert column(rows, "dataset") == [
        "coconot/temporal",
        "coconot/underspecified",
        "coconot/underspecified",
    ]


def test_gsm8k_keeps_problems_whose_question_follows_a_full_stop(tmp_path):
    rows = made("gsm8k_abstain", tmp_path)
    assert column(rows, "prompt_id") == [
        "gsm8k_abstain/1/original",
        "gsm8k_abstain/1/stub",
        "gsm8k_abstain/4/original",
        "gsm8k_abstain/4/stub",
    ]
    assert rows[1]["text"] == "How many loaves does Bo bake in 4 days?"
    assert rows[0]["text"].endswith(rows[1]["text"])
    assert column(rows, "answers") == [["12"], [], ["2"], []]
    assert rows[0]["pair_id"] == rows[1]["pair_id"] == "gsm8k_abstain/1"


def test_mmlu_shows_the_choices_below_both_twins(tmp_path):
    rows = made("mmlu_math", tmp_path)
    assert column(rows, "prompt_id") == [
        "mmlu_math/college_mathematics/1/original",
        "mmlu_math/college_mathematics/1/stub",
        "mmlu_math/high_school_mathematics/1/original",
        "mmlu_math/high_school_mathematics/1/stub",
    ]
    assert rows[3]["text"] == "What is y?\nA. 2\nB. \nC. None\nD. 9"
    assert rows[2]["answers"] == ["D"]
    assert rows[2]["meta"] == {
        "subject": "high_school_mathematics",
        "choice": "9",
        "form": "original",
    }


def test_bbh_takes_the_option_that_gives_the_label_away_out(tmp_path):
    rows = made("bbh_disambiguation", tmp_path)
    assert not any("mbiguous" in row["text"] for row in rows)
    # (C) is the ambiguous option of the first two, and a cat in the third.
    assert column(rows, "should_abstain") == [False, True, False]
    assert rows[2]["text"].endswith("(C) A cat")
    assert column(rows, "answers") == [["(A)"], [], ["(C)"]]


def test_mip_pairs_only_where_the_whole_problem_is_published(tmp_path):
    rows = made("mip_overthinking", tmp_path)
    assert column(rows, "should_abstain") == [True, True, False, True]
    assert rows[2]["pair_id"] == rows[3]["pair_id"] == "mip_overthinking/gsm8k/1"
    assert rows[2]["answers"] == ["15"]
    assert column(rows, "dataset")[:2] == ["mip_overthinking/formula", "mip_overthinking/svamp"]


def test_truthfulqa_abstains_where_the_best_answer_is_no_comment(tmp_path):
    rows = made("truthfulqa", tmp_path)
    assert column(rows, "should_abstain") == [True, False]
    assert rows[0]["text"] == 'Who lives in "Zed" house?'
    assert rows[1]["text"] == "Do owls\nknit?"
    assert rows[1]["answers"] == ["No, they don't", "Owls do not knit"]
    assert rows[1]["meta"]["incorrect"] == ["Left", "Right"]


def test_xstest_is_a_control_of_no_scenario(tmp_path):
    rows = made("xstest", tmp_path)
    assert column(rows, "should_abstain") == [False, True]
    assert column(rows, "scenario") == [None, None]
    assert rows[1]["meta"]["type"] == "contrast_homonyms"


def test_abstain_r1_reads_answers_between_the_tags_or_after_them(tmp_path):
    rows = made("abstain_r1_squad2", tmp_path)
    assert column(rows, "answers") == [["Low"], ["The old oak"], []]
    assert column(rows, "should_abstain") == [False, False, True]
    assert rows[2]["meta"]["trace"].endswith("</answer>")
    assert len(set(column(rows, "prompt_id"))) == 3


def test_known_1000_tells_models_apart(tmp_path):
    metas = []
    for right in (True, False):
        MAKERS["known_1000"](tmp_path, **{"meta-llama/Llama-3.1-8B": right})
        metas += read_dataset("known_1000", tmp_path).frame["meta"].tolist()
    changed = {
        key: (metas[0][key], metas[1][key]) for key in metas[0] if metas[0][key] != metas[1][key]
    }
    assert changed == {"knows/meta-llama/Llama-3.1-8B": (True, False)}


def test_lre_gathers_the_objects_of_a_subject(tmp_path):
    rows = made("lre_relations", tmp_path)
    by_id = {row["prompt_id"]: row for row in rows}
    assert len(rows) == 4
    plough = by_id["lre_relations/factual/maker/Plough"]
    assert plough["answers"] == ["Ann", "Cy"]
    assert plough["text"] == "The thing of Plough is the"
    assert by_id["lre_relations/factual/maker/Hat"]["answers"] == ["Bo"]
    assert "lre_relations/linguistic/thing/Ox" in by_id


def test_sae_entities_find_the_entity_in_its_quotes(tmp_path):
    MAKERS["sae_entities"](tmp_path)
    prompts = read_dataset("sae_entities", tmp_path)
    assert prompts.frame["entity"].tolist() == ["Ann's 'Big' Day", "Zub", "Zub"]
    assert [meta["kind"] for meta in prompts.frame["meta"]] == ["movie", "city", "city"]
    assert prompts.frame["split"].tolist() == ["train", "validation", "test"]
    for row in prompts.frame.to_dict("records"):
        assert row["meta"]["template"].replace("{}", row["entity"]) == row["text"]
    assert len(set(prompts.groups)) == 2  # two questions about one city stay together


def test_sae_entities_triviaqa_keeps_what_the_model_answered(tmp_path):
    (row,) = made("sae_entities_triviaqa", tmp_path)
    assert row["answers"] == ["Ola", "Ola Zub"]
    assert row["meta"]["label"] == "error"
    assert row["meta"]["labels"] == ["error", "refusal"]


def test_falseqa_pairs_the_halves_of_the_file(tmp_path):
    rows = made("falseqa", tmp_path)
    assert column(rows, "pair_id") == ["falseqa/1", "falseqa/2"] * 2
    assert column(rows, "should_abstain") == [True, True, False, False]
    assert column(rows, "answers") == [[], [], ["To warn.", "To call"], ["A roofer."]]
    assert rows[0]["meta"]["rebuttals"] == ["They do not.", "They can't."]


def test_bbq_pairs_the_short_context_with_the_long(tmp_path):
    rows = made("bbq", tmp_path)
    assert len(rows) == 22
    assert rows[0]["pair_id"] == rows[1]["pair_id"] == "bbq/Age/1"
    assert rows[2]["pair_id"] == "bbq/Disability_status/1"
    assert rows[0]["text"] == "Two cooks met. Who was late?"
    assert column(rows[:2], "answers") == [[], ["Ann"]]
    assert column(rows[:2], "should_abstain") == [True, False]


def test_mediq_shows_the_whole_record_or_its_first_line(tmp_path):
    rows = made("mediq", tmp_path)
    assert column(rows, "pair_id") == ["mediq/icraftmd/0"] * 2 + ["mediq/imedqa/0"] * 2
    assert rows[0]["text"].startswith("Context: A man of 40. He coughs.\nQuestion: What is it?")
    assert rows[1]["text"].startswith("Context: A man of 40.\nQuestion: What is it?")
    assert rows[1]["text"].endswith("\nChoices:\nGout\nFlu\nAnswer:")
    assert column(rows, "answers") == [["Flu"], [], ["Flu"], []]


def test_worldsense_keeps_the_questions_with_an_option_for_the_undecided(tmp_path):
    rows = made("worldsense", tmp_path)
    assert column(rows, "prompt_id") == ["worldsense/2", "worldsense/4"]
    assert column(rows, "answers") == [["2"], []]
    assert column(rows, "should_abstain") == [False, True]


def test_situatedqa_groups_the_places_of_a_question(tmp_path):
    rows = made("situatedqa_geo", tmp_path)
    assert column(rows, "prompt_id") == [
        "situatedqa_geo/-5/no_place",
        "situatedqa_geo/-5/zub",
        "situatedqa_geo/6/no_place",
        "situatedqa_geo/6/lom",
        "situatedqa_geo/-5/row",
    ]
    assert rows[0]["text"] == "who is the mayor?"
    assert rows[4]["pair_id"] == rows[0]["pair_id"] == "situatedqa_geo/-5"
    assert rows[4]["answers"] == ["Bo"]


def test_moralchoice_swaps_every_other_choice(tmp_path):
    rows = made("moralchoice", tmp_path)
    assert column(rows, "should_abstain") == [True, False, False]
    assert column(rows, "answers") == [[], ["B"], ["A"]]
    rule, card = "I play by {the} rules.", "I hide a card."
    assert rows[1]["text"] == f"Say A or B.\nYou play C_1.\nA. {card}\nB. {rule}"
    assert rows[2]["text"] == f"Say A or B.\nYou play C_2.\nA. {rule}\nB. {card}"


def test_mathtrap_shows_an_original_once_a_scenario(tmp_path):
    rows = made("mathtrap", tmp_path)
    assert column(rows, "text") == [
        "Half of 6?",
        "Half of 6 x?",
        "Half of 6?",
        "Half of 6, which is 7?",
        "Half of 6 men is 2.5 men?",
    ]
    assert column(rows, "should_abstain") == [False, True, False, True, True]
    assert column(rows, "scenario") == ["underspecified_context"] * 2 + ["false_premise"] * 3
    assert len(set(column(rows, "pair_id"))) == 2


def test_squad2_answers_from_the_context(tmp_path):
    known, unknown = made("squad2", tmp_path)
    assert known["text"].endswith("Context: Ola keeps the mill.\nQuestion: Who keeps the mill?")
    assert (known["answers"], unknown["answers"]) == (["Ola"], [])
    assert (known["should_abstain"], unknown["should_abstain"]) == (False, True)


def test_sum_pairs_a_problem_with_its_twin(tmp_path):
    whole, twin = made("sum", tmp_path)
    assert (whole["prompt_id"], twin["prompt_id"]) == ("sum/1/answerable", "sum/1/unanswerable")
    assert whole["pair_id"] == twin["pair_id"]
    assert (whole["text"], whole["answers"]) == ("Which whole n > 2 has n^2 < 10?", ["3"])
    assert (twin["text"], twin["should_abstain"]) == ("Which n has n^2 < 10?", True)


def test_treecut_tells_cut_problems_by_file_and_answer(tmp_path):
    rows = made("treecut", tmp_path)
    assert column(rows, "should_abstain") == [False, True] * 4
    assert column(rows, "answers") == [["7"], []] * 4
    assert [row["meta"]["variables"] for row in rows] == [4, 4, 6, 6, 8, 8, 10, 10]
    assert all(("hallu-True" in row["text"]) == row["should_abstain"] for row in rows)


def test_popqa_knows_how_often_an_entity_is_read_about(tmp_path):
    (row,) = made("popqa", tmp_path)
    assert row["answers"] == ["miller", "mill keeper"]
    assert row["entity"] == "Ola Zub"
    assert row["meta"] == {"relation": "occupation", "popularity": 14}


@pytest.mark.parametrize("name", MAKERS)
def test_every_row_carries_what_later_stages_need(name, tmp_path):
    MAKERS[name](tmp_path)
    prompts = read_dataset(name, tmp_path)
    (dataset,) = [one for one in datasets() if one.name == name]
    assert set(prompts.frame["scenario"].dropna()) <= set(dataset.scenarios)
    assert all(row == name or row.startswith(f"{name}/") for row in prompts.frame["dataset"])
    assert all(one.startswith(f"{name}/") for one in prompts.frame["prompt_id"])
    assert not any(prompts.frame["answers"][prompts.labels].map(bool)) or name == "truthfulqa"
    # Pairs lie in datasets and datasets in scenarios: the hierarchical bootstrap can be run.
    assert len(levels_of(prompts)["pair"]) == len(prompts)
    # Rows are the same however often, and wherever, the files are read.
    assert read_dataset(name, tmp_path).fingerprint == prompts.fingerprint


def test_pairs_count_when_both_kinds_are_there(tmp_path):
    MAKERS["umwp"](tmp_path)
    assert Counts.of(read_dataset("umwp", tmp_path)) == Counts(3, 1, 1)
    MAKERS["umwp"](tmp_path, relevant_ids=[3])
    assert Counts.of(read_dataset("umwp", tmp_path)) == Counts(3, 1, 1)
    MAKERS["selfaware"](tmp_path)
    prompts = read_dataset("selfaware", tmp_path)
    assert Counts.of(prompts) == Counts(2, 1, 0)
    (target,) = targets_of(prompts, ["should_abstain"])
    assert target.labels_M.tolist() == [False, True]


WRONG = {
    "selfaware": [
        (
            {"answerable": "no"},
            r"SelfAware.json, row 2: `answerable` is 'no'; expected true or fal",
        ),
        ({"answerable": True}, r"row 2: `answer` is None; expected a list of texts"),
        ({"question_id": 7}, r"two rows have the prompt_id 'selfaware/7'"),
        ({"question": " "}, r"row 2: `question` is ' '; expected a text"),
    ],
    "umwp": [
        ({"relevant_ids": [9]}, r"line 3: `relevant_ids` is \[9\]; expected the id of one"),
        ({"relevant_ids": []}, r"line 3: `relevant_ids` is \[\]"),
        ({"category": 6}, r"line 3: `category` is 6; expected None or one of 1, 2, 3, 4, 5"),
        ({"id": "9"}, r"line 3: `id` is '9'; expected a whole number"),
        (
            {"answerable": True, "answer": [True]},
            r"line 3: `answer` is \[True\]; expected a number",
        ),
        ({"answerable": True, "answer": [float("nan")]}, r"line 3: `answer` is \[nan\]; expected"),
    ],
    "coconot": [({"subcategory": "odd"}, r"line 3: `subcategory` is 'odd'; expected one of")],
    "gsm8k_abstain": [({"answer": "two"}, r"line 4: `answer` is 'two'; expected a solution")],
    "mmlu_math": [({"answer": "D"}, r"high_school_mathematics_test.csv, line 3: `answer` is 'D'")],
    "bbh_disambiguation": [
        ({"input": "Who?\n(A) x"}, r"row 3: `input` is .*; expected a question whose last option"),
        ({"target": "C"}, r"row 3: `target` is 'C'"),
    ],
    "truthfulqa": [({"Type": "Bad"}, r"line 4: `Type` is 'Bad'; expected one of Adversarial")],
    "xstest": [({"label": "ok"}, r"xstest_prompts.csv, line 3: `label` is 'ok'")],
    "abstain_r1_squad2": [
        ({"answer": "Oak"}, r"answerable_clean.*, line 2: `answer` is 'Oak'; expected a trace"),
        ({"answer": "<thinking>x</answer>"}, r"line 2: `answer` is .*; expected a trace"),
        ({"answer": "<answer> </answer>"}, r"line 2: `answer` is .*; expected a trace"),
    ],
    "known_1000": [({"mistralai/Mistral-7B-Instruct-v0.3": 1}, r"row 1: `mistralai.*` is 1")],
    "lre_relations": [
        ({"prompt_templates_zs": []}, r"maker.json: `prompt_templates_zs` is \[\]; expected templ"),
        ({"samples": "x"}, r"maker.json: `samples` is no list"),
        ({"samples": ["x"]}, r"maker.json, row 1: expected an object"),
    ],
    "sae_entities": [
        (
            {"test": ["Who is the mayor of 'Zub'?"]},
            r"row 1 of `test`: .*; expected a question abou",
        ),
        ({"test": "x"}, r"`test` is 'x'; expected a list of texts"),
    ],
    "bbq": [
        ({"label": 3}, r"Age.jsonl, line 2: `label` is 3; expected 0, 1 or 2"),
        ({"context_condition": "clear"}, r"line 2: `context_condition` is 'clear'"),
    ],
    "falseqa": [
        ({"label": 1}, r"line 5: `label` is '1'; expected 1 throughout the file's first half"),
        ({"answer": "[A roofer]"}, r"line 5: `answer` is '\[A roofer\]'; expected one answer, or"),
        ({"answer": "[3]"}, r"line 5: `answer` is '\[3\]'; expected one answer, or a list"),
    ],
    "mathtrap": [({"trap_type": "Odd"}, r"row 3: `trap_type` is 'Odd'; expected one of Concept")],
    "mediq": [({"options": ["Flu"]}, r"line 2: `options` is \['Flu'\]; expected an object")],
    "moralchoice": [({"ambiguity": "mid"}, r"line 3: `ambiguity` is 'mid'; expected one of high")],
    "popqa": [
        ({"possible_answers": "miller"}, r"line 2: `possible_answers` is 'miller'; expected a JS"),
        ({"possible_answers": "[3]"}, r"line 2: `possible_answers` is '\[3\]'; expected a JSON"),
        ({"s_pop": "many"}, r"line 2: `s_pop` is 'many'; expected a whole number"),
    ],
    "situatedqa_geo": [({"location": "zub"}, r"two rows have the prompt_id 'situatedqa_geo/-5/z")],
    "squad2": [
        ({"answers": "Ola", "is_impossible": False}, r"qas 2: `answers` is 'Ola'; expected a list"),
        ({"answers": ["Ola"], "is_impossible": False}, r"qas 2, answers 1: expected an object"),
        ({"is_impossible": 0}, r"row 1, paragraphs 1, qas 2: `is_impossible` is 0; expected true"),
    ],
    "sum": [({"ground_truth": 3}, r"sum_test.jsonl, line 1: `ground_truth` is 3; expected a text")],
    "treecut": [({"answer": "unknown"}, r"line 1: `answer` is 'unknown'; expected a number")],
    "worldsense": [
        ({"dialog_history": {"messages": []}}, r"line 4: `dialog_history` is .*; expected {'messa"),
        ({"dialog_history": {}}, r"line 4: `dialog_history` is {}; expected {'messages': "),
    ],
    "sae_entities_triviaqa": [({"label": "right"}, r"row 1: `label` is 'right'; expected one of")],
}


@pytest.mark.parametrize(
    ("name", "changed", "message"),
    [(name, changed, message) for name, cases in WRONG.items() for changed, message in cases],
)
def test_a_value_that_is_not_as_published_is_found(name, changed, message, tmp_path):
    MAKERS[name](tmp_path, **changed)
    with pytest.raises(InputError, match=message):
        read_dataset(name, tmp_path)
