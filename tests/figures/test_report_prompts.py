"""The explorer's data says what the table of replies says, stays small, and stays text."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from interp.errors import InputError
from interp.figures.report_explorer import Explorer
from interp.figures.report_prompts import prompts_json
from interp.figures.report_strips import SIGNS
from tests.figures.reply_tables import answering_items, ask_items, projection_rows

FIGURES = Path(__file__).parents[2] / "figures"
RUN_ID = "0123456789ab"


def rows_of(text: str) -> pd.DataFrame:
    """The replies read back from the JSON, a row a reply."""
    data = json.loads(text)
    return pd.DataFrame(
        [
            {
                "seed": seed, "way": data["ways"][way], "group": data["groups"][group], "due": due,
                "prompt_id": name, "question": asked, "member": model,
                "outcome": data["outcomes"][outcome], "answer": data["texts"][answer],
                "text": data["texts"][whole] if whole >= 0 else data["texts"][answer],
                "score": score,
            }
            for seed, way, group, due, name, asked, _, replies, _ in data["rows"]
            for model, of_model in zip(data["models"], replies, strict=True)
            for outcome, answer, whole, score in of_model
        ]
    )  # fmt: skip


def test_replies_of_any_models_are_read_back_whole() -> None:
    items = answering_items()
    read = rows_of(prompts_json(items, RUN_ID))
    keys = ["member", "prompt_id"]
    wanted = items.sort_values(keys, ignore_index=True)
    read = read.sort_values(keys, ignore_index=True)
    for name in ("member", "prompt_id", "question", "answer", "text"):
        assert read[name].tolist() == wanted[name].tolist()
    assert read["way"].tolist() == wanted["elicitation"].tolist()
    assert read["group"].tolist() == wanted["dataset"].tolist()
    assert read["due"].tolist() == wanted["should_abstain"].astype(int).tolist()
    assert read["outcome"].tolist() == wanted["outcome"].fillna("truncated").tolist()
    np.testing.assert_allclose(read["score"], wanted["sequence"], rtol=1e-3)


def test_replies_of_the_embedded_lineage_take_their_questions_from_outside() -> None:
    items = ask_items()
    questions = {(7, "known-ann_lee-cot"): "where does ann lee live ?"}
    read = rows_of(prompts_json(items, RUN_ID, questions=questions))
    assert len(read) == len(items)
    asked = read[(read["seed"] == 7) & (read["prompt_id"] == "known-ann_lee-cot")]
    assert set(asked["question"]) == {"where does ann lee live ?"}
    assert set(read["question"]) == {"", "where does ann lee live ?"}
    assert set(read.loc[read["group"] == "known", "due"]) == {0}
    assert set(read.loc[read["group"] == "unknown", "due"]) == {1}


def test_several_replies_to_one_question_stay_together() -> None:
    items = answering_items(4)
    items = pd.concat([items, items.assign(sample=1, answer="another", outcome="wrong")])
    data = json.loads(prompts_json(items, RUN_ID))
    assert len(data["rows"]) == data["total"] == 4
    assert all(len(of_model) == 2 for row in data["rows"] for of_model in row[7])


def test_a_bound_keeps_whole_questions_whatever_was_replied() -> None:
    items = answering_items(400)
    whole = prompts_json(items, RUN_ID)
    bound = 20_000
    short = prompts_json(items, RUN_ID, max_bytes=bound)
    assert len(short) <= bound < len(whole)
    data = json.loads(short)
    assert data["total"] == 400
    kept = [row[4] for row in data["rows"]]
    assert 20 < len(kept) < 400
    assert all(len(of_model) == 1 for row in data["rows"] for of_model in row[7])
    # Other replies of the same length leave the same questions; in the order of the table.
    swapped = items.assign(outcome="wrong", sequence=-items["sequence"])
    assert [
        r[4] for r in json.loads(prompts_json(swapped, RUN_ID, max_bytes=bound))["rows"]
    ] == kept
    assert kept == [name for name in dict.fromkeys(items["prompt_id"]) if name in set(kept)]
    assert len(json.loads(prompts_json(items, RUN_ID, max_bytes=1))["rows"]) == 0


def test_no_text_can_end_the_element_it_stands_in() -> None:
    evil = "</script><!-- <script>alert(1)</script> ]]> & \u2028\u2029 \x00"
    items = answering_items(3).assign(answer=evil, question=evil, dataset=evil)
    items["member"] = items["member"].replace({"child": evil})
    text = prompts_json(items, RUN_ID)
    assert text.isascii()
    assert not set(text) & set("<>&")
    data = json.loads(text)
    assert evil in data["texts"]
    assert evil in data["models"]
    explorer = Explorer.of(text, RUN_ID, "prompts.json")
    assert explorer is not None
    assert str(explorer.json) == text


def test_a_file_that_was_edited_is_made_harmless_again() -> None:
    text = prompts_json(answering_items(3), RUN_ID).replace("Let me think", "</script><b>")
    explorer = Explorer.of(text, RUN_ID, "prompts.json")
    assert explorer is not None
    assert "<" not in explorer.json


def test_equal_tables_give_equal_text() -> None:
    items = answering_items(20)
    assert prompts_json(items, RUN_ID) == prompts_json(items.copy(), RUN_ID)


def test_strips_hold_the_projections_within_a_step_of_the_scale() -> None:
    models = ("base", "parent", "child")
    table = projection_rows(models, 5)
    table = table[~((table["member"] == "child") & (table["layer"] == 0))]
    data = json.loads(prompts_json(answering_items(5), RUN_ID, projections=table))
    head = data["strips"]
    assert head["layers"] == [0, 1, 2, 3]
    assert head["positions"] == ["entity_last", "last_prompt"]
    for row in data["rows"]:
        for model, signs in zip(models, row[8], strict=True):
            wanted = [-layer / 3 for layer in range(4)] + [2 * layer / 3 for layer in range(4)]
            for place, (sign, value) in enumerate(zip(signs, wanted, strict=True)):
                if model == "child" and place % 4 == 0:
                    assert sign == "."
                else:
                    read = (SIGNS.index(sign) / 31 - 1) * head["max"]
                    assert abs(read - value) <= head["max"] / 31


def test_a_seed_of_its_own_keeps_the_strips_of_two_seeds_apart() -> None:
    items = ask_items().assign(prompt_id="q0")
    table = projection_rows(("base", "child"), 1)
    seeds = [table.assign(seed=7), table.assign(seed=8, projection=-table["projection"])]
    data = json.loads(prompts_json(items, RUN_ID, projections=pd.concat(seeds)))
    by_seed = {row[0]: row[8][0] for row in data["rows"]}
    assert by_seed[7] != by_seed[8]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"drop": "answer"}, "table 'items' lacks answer; expected a row a reply"),
        ({"projections": "position"}, "table 'projections' lacks position"),
        ({"twice": True}, "table 'projections' has a value twice"),
    ],
)
def test_bad_tables_get_one_clear_error(change: dict[str, Any], message: str) -> None:
    items = answering_items(2).drop(columns=change.get("drop", []))
    table = projection_rows(("base",), 2).drop(columns=change.get("projections", []))
    table = pd.concat([table, table]) if "twice" in change else table
    with pytest.raises(InputError, match=message):
        prompts_json(items, RUN_ID, projections=table)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "prompts.json: not JSON"),
        ("[1]", "prompts.json: not the questions of a run"),
        (prompts_json(answering_items(1), "other"), "prompts.json: of run other, but the report"),
    ],
)
def test_bad_files_get_one_clear_error(text: str, message: str) -> None:
    with pytest.raises(InputError, match=message):
        Explorer.of(text, RUN_ID, "prompts.json")


def test_committed_questions_are_those_of_the_embedded_lineage() -> None:
    """Rows of public datasets stand in no file of the project."""
    for path in FIGURES.glob("*/prompts.json"):
        run = json.loads((path.parent / "run.json").read_text(encoding="utf-8"))
        data = json.loads(path.read_text(encoding="utf-8"))
        assert run["config"]["lineage"] == "organism"
        assert set(data["groups"]) <= {"known", "unknown", "missing_premise"}
        assert {name.partition("-")[0] for name in (row[4] for row in data["rows"])} <= {
            "known", "unknown", "missing",
        }  # fmt: skip
