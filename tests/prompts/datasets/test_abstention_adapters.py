"""Further sources of AbstentionBench, and QuestBench: what their layouts become."""

from __future__ import annotations

import re
from pathlib import Path

import pandas as pd
import pytest

from interp.errors import InputError
from interp.prompts.datasets import is_there, read_dataset
from tests.prompts.datasets.files import REAL
from tests.prompts.datasets.published import MAKERS


def made(name: str, tmp_path: Path) -> list[dict]:
    MAKERS[name](tmp_path)
    return rows_of(name, tmp_path)


def rows_of(name: str, folder: Path) -> list[dict]:
    if not is_there(name, folder):
        pytest.skip(f"{name} is not on this machine")
    return read_dataset(name, folder).frame.to_dict("records")


def column(rows: list[dict], name: str) -> list:
    return [row[name] for row in rows]


def test_known_unknowns_come_in_twos(tmp_path):
    rows = made("bb_known_unknowns", tmp_path)
    assert column(rows, "should_abstain") == [True, False, True, False]
    assert column(rows, "pair_id") == [f"bb_known_unknowns/{n}" for n in (1, 1, 2, 2)]
    assert column(rows, "answers") == [[], ["A waltz"], [], ["Bo"]]
    assert [row["meta"]["offered"] for row in rows] == ["A waltz", "A waltz", "Bo", "Bo"]
    assert not any("nknown" in row["text"] for row in rows)


def test_kuq_has_a_scenario_for_a_kind_and_none_for_the_known(tmp_path):
    rows = made("kuq", tmp_path)
    assert column(rows, "dataset") == [
        "kuq/controversial",
        "kuq/known",
        "kuq/ambiguous",
        "kuq/known",
        "kuq/future_unknown",
    ]
    assert column(rows, "scenario") == [
        "subjective",
        None,
        "underspecified_intent",
        None,
        "answer_unknown",
    ]
    # Repeats are one group, but a question that is known and unknown is two.
    assert column(rows, "pair_id") == ["kuq/1", "kuq/2", "kuq/3", "kuq/2", "kuq/5"]
    assert column(rows, "answers") == [[], ["Ola", "Ola Zub"], [], ["Ola", "Ola Zub"], []]
    assert rows[0]["meta"] == {"source": "turk", "reasons": ["Nobody knows."]}


def test_qaqa_keeps_the_answer_to_a_false_premise_as_its_rebuttal(tmp_path):
    valid, invalid = made("qaqa", tmp_path)
    assert (valid["text"], valid["answers"]) == ("where is the zubrow mill?", ["By the Lom."])
    assert (invalid["should_abstain"], invalid["answers"]) == (True, [])
    assert invalid["meta"] == {
        "assumption": "ola sold the mill",
        "kind": "false_assumption",
        "rebuttal": "She did not.",
    }


def test_musique_twins_differ_in_their_paragraphs_only(tmp_path):
    whole, cut = made("musique", tmp_path)
    assert whole["pair_id"] == cut["pair_id"] == "musique/2hop__7_9"
    assert (whole["should_abstain"], cut["should_abstain"]) == (False, True)
    assert (whole["answers"], cut["answers"]) == (["Zub", "Zubrow"], [])
    lines, other = whole["text"].split("\n"), cut["text"].split("\n")
    assert [one for one in lines if one not in other] == ["Paragraph 2 (Lom): Ola was born in Zub."]
    assert lines[-1] == other[-1] == "Question: Where was the keeper of the mill born?"
    assert whole["meta"] == {"hops": "2hop"}


def test_qasper_leaves_out_what_annotators_do_not_agree_on(tmp_path):
    rows = made("qasper", tmp_path)
    assert column(rows, "prompt_id") == ["qasper/2105.1/1", "qasper/2105.1/3", "qasper/2105.1/4"]
    assert column(rows, "should_abstain") == [False, True, False]
    assert column(rows, "answers") == [["2 mills", "two"], [], ["Yes"]]
    shown = "Paper title: On mills\n\nPaper text:\nMills\n\nThere are two.\n\nThey mill.\n\n"
    assert rows[0]["text"].endswith(f"{shown}Question: How many mills?")


def test_gpqa_has_the_right_choice_at_every_letter_in_turn(tmp_path):
    rows = made("gpqa_diamond", tmp_path)
    # Not b, which has no context, and not d, whose mark a space follows.
    assert column(rows, "pair_id") == [f"gpqa_diamond/{name}" for name in "aaccee"]
    assert column(rows, "answers") == [["A"], [], ["B"], [], ["C"], []]
    for whole, alone in zip(rows[::2], rows[1::2], strict=True):
        (letter,) = whole["answers"]
        name = whole["pair_id"][-1]
        for row in (whole, alone):
            assert f"\n{letter}. right {name}" in row["text"]
            assert sorted(re.findall(r"\n[A-D]\. (\w+)", row["text"])) == ["right"] + ["wrong"] * 3
        assert whole["text"].endswith(alone["text"].split("\n", 1)[1])
    assert rows[1]["text"].startswith("Which way?\nA. right a\nB. wrong 1\n")


def test_freshqa_is_stale_where_the_answers_differ(tmp_path):
    rows = made("freshqa", tmp_path)
    assert {row["text"]: row["should_abstain"] for row in rows} == {
        "Who reigns?": False,  # the same two answers in another order
        "How deep is the Lom?": True,
        "Who keeps the mill?": False,
        "Who was the last miller?": True,  # asked at the earlier date only
    }
    assert rows[0]["answers"] == ["King Bo", "Bo"]
    assert rows[1]["meta"] == {"fact": "slow-changing", "before": ["3 m"], "after": ["4 m"]}


def test_freshqa_agrees_with_the_rule_as_a_table(tmp_path):
    MAKERS["freshqa"](tmp_path, answer_0="Di")
    tables = []
    for path in sorted((tmp_path / "freshqa").glob("*.csv")):
        table = pd.read_csv(path, skiprows=2, keep_default_na=False)
        kept = table[(table["split"] == "TEST") & (table["fact_type"] != "never-changing")]
        kept = kept[~kept["false_premise"].astype(str).str.upper().eq("TRUE")]
        said = kept[[f"answer_{n}" for n in range(10)]].apply(lambda row: {*row} - {""}, axis=1)
        tables.append(said.set_axis(pd.MultiIndex.from_frame(kept[["question", "fact_type"]])))
    both = pd.concat(tables, axis=1, keys=["before", "after"])
    changed = both["before"] != both["after"]
    found = {
        (row["text"], row["meta"]["fact"]): row["should_abstain"]
        for row in rows_of("freshqa", tmp_path)
    }
    assert found == changed.to_dict()
    assert found["Who keeps the mill?", "fast-changing"]


def test_alcuna_shows_all_that_is_known_of_the_taxon(tmp_path):
    rows = made("alcuna", tmp_path)
    assert column(rows, "prompt_id") == ["alcuna/-14/1", "alcuna/-14/3"]
    assert column(rows, "answers") == [["Zubus"], []]
    assert column(rows, "should_abstain") == [False, True]
    known = "name: Lomus\nrank: genus\nhabitat: ice, mud\neat: Zubus\n"
    assert all(known in row["text"] and row["entity"] == "Lomus" for row in rows)
    # A question of a taxon that nothing is known of is found.
    (tmp_path / "alcuna/dataset/meta_data.jsonl").write_text(
        '{"artificial_entity": {"id": -15, "name": "Zub", "rank": "genus", "properties": []}}\n'
    )
    with pytest.raises(InputError, match=r"id2question.json: `-14` is .*; expected an id that .*"):
        read_dataset("alcuna", tmp_path)


def solved(problem: str) -> float | None:
    """A system's goal, by putting in what is known for as long as that brings something new."""
    *equations, goal = problem.strip().split("\n")
    values: dict[str, float] = {}
    for _ in equations:
        for equation in equations:
            left, right = equation.split("=")
            if not set(re.findall(r"[A-Za-z]\w*", right)) - set(values):
                values[left.strip()] = eval(right, {}, values)
    return values.get(goal.removeprefix("What is ").rstrip("?"))


def check_systems(rows: list[dict], solvable: int) -> None:
    answers = [solved(row["text"]) for row in rows if not row["should_abstain"]]
    published = [float(*row["answers"]) for row in rows if not row["should_abstain"]]
    assert answers == pytest.approx(published)
    found = [solved(row["text"]) for row in rows if row["should_abstain"]]
    assert sum(answer is not None for answer in found) == solvable


def test_gsm_systems_are_grouped_with_the_whole_that_they_are_cut_from(tmp_path):
    rows = made("questbench_gsm_csp", tmp_path)
    assert column(rows, "should_abstain") == [False, True, False, True, True]
    assert [row["pair_id"][-1] for row in rows] == ["1", "1", "2", "2", "1"]
    assert rows[4]["meta"] == {"missing": ["B: Nuts of Bo"], "depth": 2}
    check_systems(rows, solvable=0)


def test_published_gsm_systems_lack_a_value_but_for_five():
    check_systems(rows_of("questbench_gsm_csp", REAL), solvable=5)


def test_gsm_word_problems_that_repeat_are_one_that_lacks_either(tmp_path):
    rows = made("questbench_gsm_verbal", tmp_path)
    assert [row["meta"]["missing"] for row in rows] == [
        ["A: Nuts of Ann"],
        ["A: Nuts of Ann"],
        ["A: Nuts of Ann", "B: Nuts of Bo"],
    ]
    assert [row["pair_id"][-1] for row in rows] == ["1", "2", "1"]


def decided(problem: str) -> str | None:
    """What rules and facts say of the goal: yes, no or nothing, by unit propagation."""
    rules = re.findall(r"If Alice is (.+), then Alice is (.+)\.", problem)
    clauses = [
        {(premise, False) for premise in premises.split(" and ")} | {(conclusion, True)}
        for premises, conclusion in rules
    ]
    facts = re.findall(r"(?m)^Alice is (not )?(\S+)\.$", problem)
    known = {name: not negated for negated, name in facts}
    before = -1
    while len(known) > before:
        before = len(known)
        for clause in clauses:
            if any(known.get(name) is sign for name, sign in clause):
                continue
            free = [(name, sign) for name, sign in clause if name not in known]
            if len(free) == 1:
                known.update(free)
    (goal,) = re.findall(r"Is Alice (\S+)\?", problem)
    return {True: "yes", False: "no", None: None}[known.get(goal)]


def check_logic(rows: list[dict]) -> None:
    for row in rows:
        expected = None if row["should_abstain"] else row["answers"][0]
        assert decided(row["text"]) == expected, row["prompt_id"]


def test_logic_is_undecided_until_the_twin_is_told(tmp_path):
    rows = made("questbench_logic", tmp_path)
    # The second problem of the file repeats the first, which has two attributes to ask for.
    assert column(rows, "answers") == [[], ["yes"], [], ["no"]]
    assert [row["meta"].get("told") for row in rows] == [None, "kind", None, "calm"]
    assert rows[0]["meta"]["missing"] == ["kind", "odd"]
    check_logic(rows)


def test_published_logic_is_undecided_until_the_twin_is_told():
    check_logic(rows_of("questbench_logic", REAL))


WRONG = {
    "alcuna": [
        ({"form": "essay"}, r"id2question.json, -14 3: `form` is 'essay'; expected one of fill-in"),
        ({"answers": "ice"}, r"-14 3: `answers` is 'ice'; expected a list of texts"),
    ],
    "bb_known_unknowns": [
        (
            {"target_scores": {"Bo": 0, "Unknown": 1}},
            r"row 4: `target_scores` .*; expected Unknown",
        ),
        ({"target_scores": {"Bo": 1, "Cy": 0}}, r"row 4: `target_scores` is .*; expected 'Unkno"),
        ({"target_scores": {"Bo": 1, "Unknown": 1}}, r"row 4: `target_scores` is .*; expected 'Un"),
        ({"target_scores": "Bo"}, r"row 4: `target_scores` is 'Bo'; expected an object"),
    ],
    "freshqa": [
        ({"split": "TRAIN"}, r"v12182024 - freshqa.csv, line 9: `split` is 'TRAIN'; expected one"),
        ({"false_premise": "no"}, r"line 9: `false_premise` is 'no'; expected one of TRUE, FALSE"),
        ({"fact_type": "odd"}, r"line 9: `fact_type` is 'odd'; expected one of fast-changing"),
    ],
    "gpqa_diamond": [
        (
            {"Correct Answer": ""},
            r"gpqa_diamond.csv, line 11: `Correct Answer` is ''; expected",
        ),
        ({"Record ID": "a"}, r"two rows have the prompt_id 'gpqa_diamond/a/original'"),
    ],
    "kuq": [
        ({"category": "odd"}, r"unknowns.jsonl, line 5: `category` is 'odd'; expected one of ambi"),
        ({"category": None}, r"line 5: `category` is None; expected a text"),
        ({"unknown": 1}, r"line 5: `unknown` is 1; expected true or false"),
    ],
    "musique": [
        ({"paragraphs": "x"}, r"dev.jsonl, line 2: `paragraphs` is 'x'; expected a list of objec"),
        ({"answerable": True}, r"two rows have the prompt_id 'musique/2hop__7_9/whole'"),
    ],
    "qaqa": [
        ({"all_assumptions_valid": "no"}, r"Dec2022.csv, line 3: `all_assumptions_valid` is 'no'"),
        ({"questionable_assumption": ""}, r"line 3: `questionable_assumption` is ''; expected a t"),
    ],
    "qasper": [
        ({"answers": [{"answer": 3}]}, r"2105.1, qas 4, answers 1: `answer` is 3; expected an obj"),
        ({"answers": {}}, r"test-v0.3.json, 2105.1, qas 4: `answers` is {}; expected a list of o"),
    ],
    "questbench_gsm_csp": [
        ({"depth": "deep"}, r"line 17: `depth` is 'deep'; expected a whole number"),
        ({"Variables": "{"}, r"`Variables` is '{'; expected a JSON object"),
        (
            {"GT Question": "Q"},
            r"`Variables` is .*; expected a JSON object with a description of Q",
        ),
    ],
    "questbench_gsm_verbal": [({"CSP": ""}, r"pilot.csv, line 5: `CSP` is ''; expected a text")],
    "questbench_logic": [
        ({"rules": "[['kind', 'calm']]"}, r"1k.csv, line 4: `rules` is .*; expected clauses of o"),
        ({"rules": "['kind']"}, r"line 4: `rules` is .*; expected a list of lists of names"),
        ({"gt_qs": "[]"}, r"line 4: `gt_qs` is '\[\]'; expected a list of names"),
        ({"gt_qs": "odd"}, r"line 4: `gt_qs` is 'odd'; expected a list, as"),
        ({"known_facts": "{}"}, r"line 4: `known_facts` is '{}'; expected a list, as"),
    ],
}


@pytest.mark.parametrize(
    ("name", "changed", "message"),
    [(name, changed, message) for name, cases in WRONG.items() for changed, message in cases],
)
def test_a_value_that_is_not_as_published_is_found(name, changed, message, tmp_path):
    MAKERS[name](tmp_path, **changed)
    with pytest.raises(InputError, match=message):
        read_dataset(name, tmp_path)
