"""Entity questions and TriviaQA answers of "Do I know this entity?" (Ferrando et al., 2411.14257).

Every question has an answer, so none calls for abstention as such. `sae_entities` asks for one
attribute of an entity in quotes; `sae_entities_triviaqa` holds what gemma-2b-it answered:
`meta.label` is correct, error or refusal, and its completions stand beside.
"""

from __future__ import annotations

import re
from pathlib import Path

from interp.errors import InputError
from interp.prompts.datasets.dataset import Counts, Dataset, Record
from interp.prompts.datasets.rows import Row, json_list, json_object

_ENTITIES = "dataset/processed/entity_prompts/gemma-2-2b-it_wikidata_splits.json"
_TRIVIA = "dataset/processed/triviaqa/gemma-2b-it/batch_0.json"
_SPLITS = ("train", "validation", "test")
_URL = "https://github.com/javiferran/sae_entities"
# What is asked for, the kind of entity, and its name, which may hold quotes itself.
_QUESTION = re.compile(
    r"(?P<asked>.*\b(?P<kind>movie|song|player|city)(?: of)? )'(?P<entity>.+)'\?"
)


def _entity_records(folder: Path) -> list[Record]:
    path = folder / _ENTITIES
    content = Row(json_object(path), 1, str(path))
    return [
        _entity_record(path, split, number, question)
        for split in _SPLITS
        for number, question in enumerate(content.texts(split), start=1)
    ]


def _entity_record(path: Path, split: str, number: int, question: str) -> Record:
    found = _QUESTION.fullmatch(question)
    if found is None:
        raise InputError(
            f"{path}, row {number} of `{split}`: {question!r}; expected a question about a movie, "
            "song, player or city whose name stands in quotes at its end"
        )
    return {
        "prompt_id": f"sae_entities/{split}/{number}",
        "text": question,
        "should_abstain": False,
        "scenario": "answer_unknown",
        "entity": found["entity"],
        "dataset": "sae_entities",
        "split": split,
        "meta": {"kind": found["kind"], "template": f"{found['asked']}'{{}}'?"},
    }


def _trivia_records(folder: Path) -> list[Record]:
    return [
        {
            "prompt_id": f"sae_entities_triviaqa/{row.text('question_id')}",
            "text": row.text("question"),
            "should_abstain": False,
            "scenario": "answer_unknown",
            "answers": row.texts("correct_answer"),
            "dataset": "sae_entities_triviaqa",
            "split": row.text("split"),
            "meta": {
                "label": row.one_of("label", ("correct", "error", "refusal")),
                "completion": row.get("greedy_completion"),
                "completions": row.texts("sampled_completions"),
                "labels": row.texts("string_matching_sampled_labels"),
            },
        }
        for row in json_list(folder / _TRIVIA)
    ]


SAE_ENTITIES = Dataset(
    name="sae_entities",
    folder="sae_entities",
    files=(_ENTITIES,),
    records=_entity_records,
    known=Counts(rows=6144, should_abstain=0, pairs=0),
    scenarios=("answer_unknown",),
    url=_URL,
    licence="Apache-2.0",
    caution="no prompt calls for abstention, and no answers are listed; known or not is a model's",
)
SAE_ENTITIES_TRIVIAQA = Dataset(
    name="sae_entities_triviaqa",
    folder="sae_entities",
    files=(_TRIVIA,),
    records=_trivia_records,
    known=Counts(rows=512, should_abstain=0, pairs=0),
    scenarios=("answer_unknown",),
    url=_URL,
    licence="Apache-2.0",
    caution="no prompt calls for abstention; `meta.label` is gemma-2b-it's own answer",
)
