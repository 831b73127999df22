"""Questions of a user's own: columns found by name, splits that leak nothing, one way to ask."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from interp.behavior.generating.elicitation import Elicitation
from interp.comparing.config import Splits
from interp.comparing.questions import Questionnaire, guessed_columns, read_questions
from interp.errors import InputError
from interp.prompts import PromptSet, check_disjoint, read_prompts, resolve
from interp.settings import cache_root
from tests.checkpoints.tiny import word_tokenizer
from tests.comparing.english import questions_csv


@pytest.fixture
def table(tmp_path: Path) -> Path:
    return questions_csv(tmp_path / "towns.csv")


def test_a_csv_of_questions_is_dealt_without_a_leak(table):
    found = read_questions(table, None, Splits(), seed=0)
    assert len(found) == 200
    assert found.labels.sum() == 100
    counts = check_disjoint(found)  # raises where two splits share content
    assert set(counts["split"]) == {"train", "dev", "test"}
    answered = found.where(should_abstain=False).frame["answers"]
    assert all(len(answers) == 1 for answers in answered)


def test_the_deal_depends_on_the_seed_and_not_on_the_order(table, tmp_path):
    lines = table.read_text(encoding="utf-8").splitlines()
    first = read_questions(table, None, Splits(), seed=0).frame
    again = read_questions(table, None, Splits(), seed=0).frame
    other = read_questions(table, None, Splits(), seed=1).frame
    assert first["split"].tolist() == again["split"].tolist() != other["split"].tolist()
    # Ids are line numbers unless the file has its own; with its own the order does not matter.
    header, *rows = lines
    named = [f"{row},id{place}" for place, row in enumerate(rows)]
    one, two = tmp_path / "one.csv", tmp_path / "two.csv"
    for path, body in ((one, named), (two, named[::-1])):
        path.write_text("\n".join([f"{header},id", *body]), encoding="utf-8")
    dealt = [
        read_questions(path, None, Splits(), seed=0).frame.set_index("prompt_id")["split"]
        for path in (one, two)
    ]
    assert dealt[0].equals(dealt[1].reindex(dealt[0].index))


def test_a_prompt_set_keeps_all_of_its_columns(tmp_path):
    rows = [
        {
            "prompt_id": f"{split}{number}",
            "text": f"{split} {number} ?",
            "should_abstain": number % 2 == 0,
            "scenario": "stale",
            "meta": {"kind": number},
            "split": split,
        }
        for split in ("train", "dev", "test")
        for number in range(20)
    ]
    path = tmp_path / "set.jsonl"
    path.write_text("\n".join(map(json.dumps, rows)), encoding="utf-8")
    found = read_questions(path, None, Splits(), seed=0)
    assert found.fingerprint == read_prompts(path).fingerprint
    assert found.frame["meta"].tolist()[3] == {"kind": 3}


def csv(folder: Path, text: str) -> Path:
    path = folder / "q.csv"
    path.write_text(text, encoding="utf-8")
    return path


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("query,should_abstain\na,1\n", "expected `question` (or text, prompt, messages)"),
        ("question,unanswerable\na,1\n", "has the columns question, unanswerable"),
        ("question,text,should_abstain\na,b,1\n", "both 'text' and 'question' could be `text`"),
        ("question,should_abstain\n", "no rows"),
        ("question,should_abstain,split\na ?,1,validation\n", "the split 'validation' is none of"),
        ("question,should_abstain,split\na ?,1,test\n", "'train' has 0 questions to abstain on"),
        ("question,should_abstain\na ?,maybe\n", "true or false, yes or no"),
    ],
)
def test_a_bad_table_gets_one_clear_error(tmp_path, text, message):
    path = csv(tmp_path, text)
    with pytest.raises(InputError) as error:
        read_questions(path, None, Splits(), seed=0)
    assert message in str(error.value)
    assert str(path) in str(error.value)


def test_columns_are_found_by_their_names(tmp_path):
    path = csv(tmp_path, "id,prompt,should_abstain,entity,other\n1,a ?,1,b,c\n")
    assert guessed_columns(path) == {
        "prompt_id": "id",
        "text": "prompt",
        "should_abstain": "should_abstain",
        "entity": "entity",
    }


def small(entity: bool = True) -> PromptSet:
    """Sixty questions in three splits."""
    return PromptSet.from_records(
        [
            {
                "prompt_id": f"{split}{n}",
                "text": f"who is w{n % 30} in w{n // 2 % 30} ?",
                "should_abstain": n % 2 == 0,
                "answers": [] if n % 2 == 0 else ["w5"],
                "entity": f"w{n % 30}" if entity else None,
                "split": split,
            }
            for place, split in enumerate(("train", "dev", "test"))
            for n in range(place * 20, place * 20 + 20)
        ]
    )


@pytest.mark.parametrize("how", ["raw", "few_shot", "chat"])
def test_the_question_is_found_however_it_is_put(how):
    questionnaire = Questionnaire(small(), Elicitation(how=how, shots=2))
    tokenizer = word_tokenizer()
    put = questionnaire.put("test")
    from interp.prompts import render

    texts = render(put, tokenizer)
    entity, asked, last = resolve(put, texts, tokenizer, questionnaire.positions())
    for row, text in enumerate(texts):
        tokens = text.split()
        question = put.frame["meta"][row]["spans"]["asked"]
        assert tokens[asked[row, 1] - 1] == "?" == question.split()[-1]
        assert tokens[entity[row, 1] - 1] == put.frame["entity"][row]
        assert last[row, 1] == len(tokens)
        assert text.count(question) >= 1


def test_where_a_question_names_no_entity_none_is_read():
    assert Questionnaire(small(False), Elicitation(how="raw")).positions() == (
        "asked_last",
        "last_prompt",
    )


def test_files_are_named_after_what_stands_in_them():
    questionnaire = Questionnaire(small(), Elicitation(how="raw"))
    file = questionnaire.file("dev")
    assert file.load().fingerprint == questionnaire.put("dev").fingerprint == file.fingerprint
    assert Path(file.path).parent == cache_root() / "questions"
    assert questionnaire.file("dev", put=False).fingerprint != file.fingerprint


def test_few_shot_needs_more_examples_than_it_shows():
    questions = small()  # ten of either kind in train
    asked = Questionnaire(questions, Elicitation(how="few_shot"))
    assert asked.can_show_examples(18)
    assert not asked.can_show_examples(20)
