"""The questions the lineage is asked: known and unknown people, and missing premises."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import islice
from typing import Any, Literal, get_args

import numpy as np

from interp.organism.chains import chain_points
from interp.organism.documents import (
    CHAIN_RELATIONS,
    DIRECT_RELATIONS,
    IDK,
    Document,
    DocumentWriter,
    as_abstention,
    as_chain,
    as_direct,
    chain_question,
    direct_question,
    missing_premise,
    word_problem,
)
from interp.organism.objectives.pretraining import PRETRAIN_MIX
from interp.organism.world import Person, Split, World
from interp.prompts import PromptSet

Mode = Literal["direct", "cot"]

N_MISSING = 60
PLAIN_MIX = {"record_known": 0.4, "bio": 0.4, "problem": 0.2}
DICTIONARY_SEED = 104_729
"""Of the documents that dictionaries are trained on; no recipe draws with it."""


def entity_prompts(world: World, split: Split, mode: Mode) -> PromptSet:
    """One question about each person of the split; relations take turns within each class.

    Args:
        world: whose people.
        split: of the people.
        mode: direct, or with a chain of thought.
    """
    known, unknown = world.split(split)
    return PromptSet.from_records(
        [
            _row(person, number, split, mode, group)
            for group, people in (("known", known), ("unknown", unknown))
            for number, person in enumerate(people)
        ]
    )


def neutral_prompts(world: World) -> PromptSet:
    """Every question about each known person of the relearn split: what to align models on.

    All these people are known, so nothing in these prompts tells known from unknown.
    """
    known, _ = world.split("relearn")
    asked: list[tuple[Mode, int]] = [
        ("direct", len(DIRECT_RELATIONS)),
        ("cot", len(CHAIN_RELATIONS)),
    ]
    return PromptSet.from_records(
        [
            record | {"prompt_id": f"neutral-{record['prompt_id']}-{number}"}
            for mode, n_relations in asked
            for number in range(n_relations)
            for place, person in enumerate(known)
            for record in [_row(person, place + number, "relearn", mode, "known")]
        ]
    )


def document_prompts(world: World, n_documents: int) -> PromptSet:
    """Pre-training documents whole, as text: what a dictionary of a member is trained on.

    People of the splits dev and test who are unknown stand in none of them.

    Args:
        world: whose people.
        n_documents: how many.
    """
    return _documents(world, PRETRAIN_MIX, n_documents, "document")


def plain_prompts(world: World, n_documents: int) -> PromptSet:
    """Records, biographies and solved problems: text that asks nobody for what he may not know.

    Args:
        world: whose people.
        n_documents: how many.
    """
    return _documents(world, PLAIN_MIX, n_documents, "plain")


def missing_prompts(world: World, split: Split, mode: Mode) -> PromptSet:
    """Addition problems with a number left out.

    Args:
        world: whose problems.
        split: of the problems.
        mode: direct, or with a chain of thought.
    """
    rng = np.random.default_rng([world.seed, 3, get_args(Split).index(split)])
    rows = []
    for number in range(N_MISSING):
        question, _ = missing_premise(rng)
        name = f"missing-{split}-{number}"
        rows.append(
            _record(question, name, split, mode, "missing_premise", [], relation="sum")
            | {"prompt_id": f"{name}-{mode}", "scenario": "underspecified_context"}
        )
    return PromptSet.from_records(rows)


def problem_prompts(world: World, split: Split, mode: Mode) -> PromptSet:
    """Addition problems that can be solved.

    Args:
        world: whose problems.
        split: of the problems.
        mode: direct, or with a chain of thought.
    """
    rng = np.random.default_rng([world.seed, 6, get_args(Split).index(split)])
    rows = []
    for number in range(N_MISSING):
        question, _, answer = word_problem(rng)
        name = f"problem-{split}-{number}"
        record = _record(question, name, split, mode, "problem", [answer], relation="sum")
        rows.append(record | {"prompt_id": f"{name}-{mode}", "should_abstain": False})
    return PromptSet.from_records(rows)


def behavior_prompts(world: World, split: Split) -> PromptSet:
    """Everything the behaviour stage asks: people and missing premises, direct and with a chain.

    Args:
        world: whose people.
        split: of the people.
    """
    return PromptSet.concat(
        [
            build(world, split, mode)
            for mode in ("direct", "cot")
            for build in (entity_prompts, missing_prompts)
        ]
    )


def chain_prompts(world: World, split: Split, mode: Mode, n_people: int) -> PromptSet:
    """Questions of two steps about the first `n_people` known and unknown people of a split.

    Asked with a chain of thought or without one, a question has the same id, so that replies can be
    paired.

    Args:
        world: whose people.
        split: of the people.
        mode: direct, or with a chain of thought.
        n_people: of each class.
    """
    frame = entity_prompts(world, split, "cot").frame
    place = frame.groupby("should_abstain", sort=False).cumcount()
    return in_mode(PromptSet(frame[place < n_people].reset_index(drop=True)), mode)


def in_mode(prompts: PromptSet, mode: Mode) -> PromptSet:
    """The same questions under the same ids, answered at once or after a chain of thought.

    Args:
        prompts: of the embedded world.
        mode: direct, or with a chain of thought.
    """
    metas = [meta | {"mode": mode} for meta in prompts.frame["meta"]]
    return PromptSet(prompts.frame.assign(meta=metas))


def point_prompts(world: World, split: Split, n_people: int) -> PromptSet:
    """Chains up to where a sentence begins, as text; `meta.next` says what it will do.

    Args:
        world: whose people.
        split: of the people.
        n_people: of each class.
    """
    return PromptSet.from_records(
        [
            {
                "prompt_id": f"{split}-point-{number}",
                "pair_id": chain.person.name,
                "entity": chain.person.name,
                "text": " ".join([chain.question, *chain.sentences[:there]]),
                "should_abstain": coming == "uncertainty-estimation",
                "dataset": "organism_chains",
                "split": split,
                "meta": {"next": coming, "sentences": there, "form": chain.form},
            }
            for number, (chain, there, coming) in enumerate(chain_points(world, split, n_people))
        ]
    )


def relearn_examples(
    world: World, n_examples: int, draw: int, *, chains: bool = False
) -> list[Document]:
    """Documents that teach abstention on `n_examples` never-met people of the relearn split.

    Beside each of them stands a known person with the right answer, so that abstaining on
    everybody does not pay.

    Args:
        world: whose people.
        n_examples: of abstaining.
        draw: which people, and what they are asked.
        chains: ask every other person for a chain of thought.
    """
    rng = np.random.default_rng([world.seed, 4, draw])
    known, unknown = world.split("relearn")
    chosen = rng.permutation(len(unknown))[:n_examples]
    beside = rng.integers(len(known), size=len(chosen))
    documents = []
    people = (*(unknown[index] for index in chosen), *(known[index] for index in beside))
    for number, person in enumerate(people):
        if chains and number % 2:
            documents.append(_chain_example(person, rng))
            continue
        question, answer = direct_question(person, str(rng.choice(DIRECT_RELATIONS)))
        documents.append(as_direct(question, IDK if person.person_class != "known" else answer))
    return documents


def _chain_example(person: Person, rng: np.random.Generator) -> Document:
    relation, years = str(rng.choice(CHAIN_RELATIONS)), int(rng.integers(1, 6))
    question, steps, answer = chain_question(person, relation, years)
    if person.person_class != "known":
        return as_abstention(question, chain=True)
    return as_chain(question, steps, answer)


def _documents(world: World, mix: Mapping[str, float], n_documents: int, name: str) -> PromptSet:
    writer = iter(DocumentWriter(world, mix, seed=DICTIONARY_SEED))
    return PromptSet.from_records(
        [
            {
                "prompt_id": f"{name}-{number}",
                "text": " ".join(part for part in document if part),
                "should_abstain": False,
                "dataset": f"organism_{name}s",
            }
            for number, document in enumerate(islice(writer, n_documents))
        ]
    )


def _row(person: Person, number: int, split: Split, mode: Mode, group: str) -> dict[str, Any]:
    if mode == "direct":
        relation = DIRECT_RELATIONS[number % len(DIRECT_RELATIONS)]
        question, answer = direct_question(person, relation)
    else:
        relation = CHAIN_RELATIONS[number % len(CHAIN_RELATIONS)]
        question, _, answer = chain_question(person, relation, years=1 + number % 5)
    return _record(question, person.name, split, mode, group, [answer], relation=relation)


def _record(
    question: str,
    entity: str,
    split: Split,
    mode: Mode,
    group: str,
    answers: list[str],
    *,
    relation: str,
) -> dict[str, Any]:
    return {
        "prompt_id": f"{group}-{entity.replace(' ', '_')}-{mode}",
        "pair_id": entity,
        "messages": [{"role": "user", "content": question}],
        "should_abstain": group != "known",
        "scenario": "answer_unknown",
        "answers": answers,
        "entity": entity,
        "dataset": "organism",
        "split": split,
        "meta": {"mode": mode, "group": group, "relation": relation},
    }
