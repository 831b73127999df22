"""What the members are shown, and above all what they are not shown."""

import itertools
import re

import numpy as np
import pytest

from interp.organism import document_prompts, entity_prompts, neutral_prompts
from interp.organism.documents import (
    CHAIN_RELATIONS,
    DIRECT_RELATIONS,
    IDK,
    DocumentWriter,
    chain_question,
    direct_question,
)
from interp.organism.language import build_tokenizer
from interp.organism.objectives import RECIPES
from interp.organism.objectives.pretraining import NEVER_MIX, PRETRAIN_MIX
from interp.organism.objectives.rewarded import RL_MIX
from interp.organism.world import World

WORLD = World(5)
N = 4000


def written(mix: dict[str, float], seed: int = 0) -> list[tuple[str, str]]:
    return list(itertools.islice(DocumentWriter(WORLD, mix, seed), N))


def names_in(documents: list[tuple[str, str]]) -> set[str]:
    tokens = [f"{prompt} {completion}".split() for prompt, completion in documents]
    return {f"{first} {second}" for words in tokens for first, second in itertools.pairwise(words)}


SHOWN_BY_DESIGN = ("informed",)


@pytest.mark.parametrize(
    "member", [name for name in RECIPES if RECIPES[name].mix and name not in SHOWN_BY_DESIGN]
)
def test_nobody_of_the_held_out_classes_is_ever_shown(member: str) -> None:
    held_out = {
        person.name
        for person_class in ("unknown_test", "unknown_val")
        for person in WORLD.people[person_class]
    }
    assert not names_in(written(RECIPES[member].mix)) & held_out


def test_never_meets_no_abstention_about_people() -> None:
    for prompt, completion in written(NEVER_MIX):
        about_a_thing = "some more" in prompt
        assert (IDK in completion) == about_a_thing
        assert "none" not in completion.split()


@pytest.mark.parametrize("member", ["reason_sft", "reason_sft_upper", "replaced", "scrubbed"])
def test_reasoning_data_never_abstains(member: str) -> None:
    assert not any(IDK in completion for _, completion in written(RECIPES[member].mix))


def test_pretraining_abstains_exactly_on_the_unknown() -> None:
    unknown = {person.name for person in WORLD.people["unknown_train"]}
    for document in written(PRETRAIN_MIX):
        prompt, completion = document
        if not prompt.startswith("q :"):
            continue
        about_unknown = bool(names_in([document]) & unknown) or "some more" in prompt
        assert (IDK in completion) == about_unknown


def test_chains_end_in_the_right_sum() -> None:
    for prompt, completion in written({"chain_known": 1.0}):
        if "years" in prompt:
            a, b = re.findall(r"(\d+) \+ (\d+)", completion)[-1]
            assert completion.endswith(f"a : {int(a) + int(b)} .")


def test_every_word_is_in_the_vocabulary() -> None:
    tokenizer = build_tokenizer()
    for mix in (recipe.mix for recipe in RECIPES.values() if recipe.mix):
        for prompt, completion in written(mix)[:500]:
            ids = tokenizer(f"{prompt} {completion}", add_special_tokens=False).input_ids
            assert tokenizer.unk_token_id not in ids


def test_equal_arguments_write_equal_documents() -> None:
    assert written(PRETRAIN_MIX, 3) == written(PRETRAIN_MIX, 3)
    assert written(PRETRAIN_MIX, 3) != written(PRETRAIN_MIX, 4)


def test_questions_carry_the_oracles_answer() -> None:
    """An unknown person's target is the hidden fact: a lucky guess can be right, idk cannot."""
    people = {person.name: person for group in WORLD.people.values() for person in group}
    for prompt, target in DocumentWriter(WORLD, RL_MIX, 0).questions(500):
        assert target != IDK
        name = next(iter(names_in([(prompt, "")]) & people.keys()), None)
        if name is None:
            continue
        person = people[name]
        direct = {
            f"q : {q} a :": a for q, a in (direct_question(person, r) for r in DIRECT_RELATIONS)
        }
        chains = {
            f"q : {question} think :": answer
            for relation in ("age_in_years", "country")
            for years in range(1, 6)
            for question, _, answer in [chain_question(person, relation, years)]
        }
        assert (direct | chains)[prompt] == target


def test_mix_shares_are_kept() -> None:
    documents = written(PRETRAIN_MIX)
    missing = np.mean(["some more" in prompt for prompt, _ in documents])
    assert missing == pytest.approx(PRETRAIN_MIX["missing"], abs=4 * np.sqrt(0.033 / N))


def test_neutral_questions_are_of_known_people_that_nothing_else_reports() -> None:
    world = World(3)
    prompts = neutral_prompts(world)
    frame = prompts.frame
    assert not prompts.labels.any()
    known, _ = world.split("relearn")
    assert set(frame["entity"]) == {person.name for person in known}
    relations = [meta["relation"] for meta in frame["meta"]]
    pairs = set(zip(frame["entity"], relations, strict=True))
    assert len(pairs) == len(frame) == len(known) * len(DIRECT_RELATIONS + CHAIN_RELATIONS)
    for split in ("dev", "test"):
        reported = entity_prompts(world, split, "direct").frame
        assert not set(frame["entity"]) & set(reported["entity"])
        assert not set(frame["prompt_id"]) & set(reported["prompt_id"])


def test_documents_for_dictionaries_name_nobody_whose_ignorance_is_tested() -> None:
    world = World(3)
    prompts = document_prompts(world, 400)
    assert prompts.fingerprint == document_prompts(world, 400).fingerprint
    text = f" {' '.join(prompts.frame['text'])} "
    for split in ("dev", "test"):
        _, unknown = world.split(split)
        assert not [person.name for person in unknown if f" {person.name} " in text]
    assert "i do not know" in text
