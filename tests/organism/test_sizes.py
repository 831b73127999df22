"""A world can be larger, and one of the usual size is to the letter what it always was."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from itertools import islice
from pathlib import Path
from typing import get_args

import pydantic
import pytest
import torch
import yaml

from interp.activations import Site
from interp.errors import InputError
from interp.features.recipe import DictionaryRecipe
from interp.organism import prompts, words
from interp.organism.documents import DocumentWriter
from interp.organism.language import build_tokenizer
from interp.organism.objectives import RECIPES
from interp.organism.objectives.pretraining import PRETRAIN_MIX
from interp.organism.overrides import Override
from interp.organism.recipes import Adversary, ModelShape
from interp.organism.sizes import USUAL, PersonClass, WorldSize
from interp.organism.training import Job, train_member
from interp.organism.world import Split, World
from interp.stages import pairing
from interp.stages.behave import Ask, Behave
from interp.stages.common import ModelRef, Stage
from interp.stages.dictionaries import Dictionaries
from interp.stages.graph import Graph
from interp.stages.layering import Layering
from interp.stages.plan import _transfer
from interp.stages.questions import WorldPrompts
from interp.stages.relearn import Relearn
from interp.stages.train import Train
from interp.stages.written import first_words
from interp.study import Study

BIG = WorldSize(
    n_names=200, known=15, tail=3, novel=17, unknown_test=4, unknown_val=2, n_known_relearn=100,
    n_known_dev=200, n_unknown_relearn=128,
)  # fmt: skip
SMALL = WorldSize(
    n_names=80, known=2, unknown_test=1, unknown_val=1, n_known_relearn=20, n_known_dev=40,
    n_unknown_relearn=40,
)  # fmt: skip


def digest(value: object) -> str:
    return hashlib.sha256(repr(value).encode()).hexdigest()[:16]


def test_the_usual_world_is_what_it_was_before_worlds_had_sizes() -> None:
    """Hashes of the code that knew one size only."""
    world = World(7)
    people = [
        [(k, p.name, p.person_class, p.city, p.job, p.pet, p.age) for p in group]
        for k, group in world.people.items()
    ]
    assert digest(people) == "782307483201d55e"
    vocabulary = " ".join(words.vocabulary())
    assert hashlib.sha256(vocabulary.encode()).hexdigest()[:16] == "0bbc4b3a0aedad94"
    tokenizer = build_tokenizer().backend_tokenizer.to_str()
    assert hashlib.sha256(tokenizer.encode()).hexdigest()[:16] == "2993d8778255a3ec"
    assert prompts.behavior_prompts(world, "test").fingerprint.startswith("2a84ad2d37c84ed9")
    assert prompts.entity_prompts(world, "dev", "direct").fingerprint.startswith("dec19c5938fe9a")
    assert prompts.neutral_prompts(world).fingerprint.startswith("4b8605f8f008eb8a")
    documents = list(islice(DocumentWriter(world, PRETRAIN_MIX, 0), 2000))
    assert digest(documents) == "0eecbc8781772481"
    assert digest(prompts.relearn_examples(world, 32, 0)) == "40e53dd364f4f9f8"
    assert World(7, WorldSize()) == world


INFRA = {"folder": "nowhere"}
BASE = ModelRef(name="base", folder="/x", fingerprint="abc")
NEVER = ModelRef(name="never", folder="/y", fingerprint="abd")


def stages(**common: object) -> list[Stage]:
    """Stages alone, with stages within them, and with prompts within them."""
    given = {"seed": 7, "infra": INFRA, **common}
    asked = [Ask(model=model, **given) for model in (BASE, NEVER)]
    pair = {"child": BASE, "parent": NEVER, **given}
    transfer = _transfer(**pair)
    return [
        *(
            Train(recipe=RECIPES[name], shape=ModelShape(), start=None, **given)
            for name in ("base", "reason_sft_upper", "scrubbed", "reason_rl")
        ),
        asked[0],
        Behave(child=asked[0], parent=asked[1], **given),
        transfer,
        Relearn(**pair),
        Layering(transfer=transfer, **pair),
    ]


UIDS = ["0724677f", "871f4480", "7bfbef3c", "b2dd8ff2", "737202d8"]
"""As they were before there were sizes, of the stages that have no recipe."""


def test_results_and_checkpoints_of_the_usual_size_stand_where_they_stood() -> None:
    unsaid, said = stages(), stages(world_size=WorldSize())
    uids = [[stage.infra.uid().rpartition("-")[2] for stage in made] for made in (unsaid, said)]
    assert uids[0] == uids[1]
    assert uids[0][4:] == UIDS
    assert [stage.folder for stage in unsaid[:4]] == [stage.folder for stage in said[:4]]


def test_those_of_another_size_stand_elsewhere() -> None:
    made = stages(world_size=SMALL)
    usual = stages()
    for stage, other in zip(made, usual, strict=True):
        assert stage.infra.uid() != other.infra.uid()
    for stage, other in zip(made[:4], usual[:4], strict=True):
        assert stage.folder != other.folder


def test_dictionaries_of_the_usual_size_stand_where_they_stood() -> None:
    """Their text is of a world too, which stands within what names the folder."""
    given = {
        "seed": 7,
        "infra": INFRA,
        "model": BASE,
        "recipe": DictionaryRecipe(n_latents=8, steps=2),
    }
    usual, other = (
        Dictionaries(text=WorldPrompts(world=7, what="documents", size=size), **given)
        for size in (USUAL, SMALL)
    )
    said = usual.model_dump(exclude={"infra", "device", "world_size"})
    del said["text"]["size"]
    said["model"] = "abc"
    before = hashlib.sha256(json.dumps(said, sort_keys=True).encode()).hexdigest()[:12]
    assert usual.folder.name == f"base-{before}"
    assert other.folder != usual.folder


@pytest.mark.parametrize("size", [SMALL, BIG], ids=["80 names", "200 names"])
def test_every_name_of_a_larger_world_carries_the_same_number_of_each_class(
    size: WorldSize,
) -> None:
    people = World(31, size).people
    for part, names in (("first", words.first_names(size)), ("last", words.last_names(size))):
        for person_class in get_args(PersonClass):
            counts = Counter(getattr(person, part) for person in people[person_class])
            assert counts == dict.fromkeys(names, size.per_name[person_class])
    everybody = {person.name for group in people.values() for person in group}
    assert len(everybody) == size.n_names**2


def test_the_class_of_a_larger_world_is_no_sum_of_its_names() -> None:
    """As of the usual one: of a known rectangle three corners do not tell the fourth."""
    world = World(1, SMALL)
    row, column = (
        {name: number for number, name in enumerate(names)}
        for names in (words.first_names(SMALL), words.last_names(SMALL))
    )
    known = {(row[person.first], column[person.last]) for person in world.people["known"]}
    corners = [
        (c, b) in known for a, b in known for c, d in known if a != c and b != d and (a, d) in known
    ]
    assert sum(corners) / len(corners) == pytest.approx(SMALL.known / 80, abs=0.04)


def test_the_splits_of_a_larger_world_share_nobody_and_are_as_large_as_they_should_be() -> None:
    world = World(5, BIG)
    n_people = {split: tuple(map(len, world.split(split))) for split in get_args(Split)}
    assert n_people == {"relearn": (100, 128), "dev": (200, 272), "test": (2700, 800)}
    named = [p.name for split in get_args(Split) for group in world.split(split) for p in group]
    assert len({*named}) == len(named)


def test_names_are_no_other_word_however_many_there_are() -> None:
    largest = WorldSize(n_names=1000)
    first, last = words.first_names(largest), words.last_names(largest)
    usual = words.vocabulary()
    assert first[:60] == words.FIRST_NAMES
    assert last[:60] == words.LAST_NAMES
    made = [*first[60:], *last[60:]]
    assert len({*made}) == len(made) == 1880
    assert not {*made} & {*usual}
    assert {*words.vocabulary(largest)} == {*usual, *made}
    assert first[:200] == words.first_names(BIG)  # a larger world adds names and changes none
    assert words.first_names(WorldSize(n_names=40)) == words.FIRST_NAMES[:40]


def test_all_text_of_a_larger_world_is_in_its_vocabulary_and_that_of_no_smaller_one() -> None:
    world = World(2, SMALL)
    tokenizer = build_tokenizer(SMALL)
    known = {*tokenizer.get_vocab()}
    assert len(known) == len(tokenizer) == len(words.vocabulary()) + 2 * 20
    said = {
        word
        for document in islice(DocumentWriter(world, PRETRAIN_MIX, 0), 3000)
        for word in " ".join(document).split()
    }
    assert said <= known
    assert said - {*words.vocabulary()}
    assert {*first_words(SMALL)["adding-knowledge"]} == {
        *words.first_names(SMALL), *words.CITIES,
    }  # fmt: skip


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"n_names": 18}, "take 18 of the 18 people who share a name"),
        ({"n_names": 60, "known": 50}, "take 64 of the 60 people"),
        ({"n_known_dev": 200}, "of 240 known people 240 are for relearning and choosing"),
        ({"n_unknown_relearn": 120}, "of 120 unknown people who are held out 120 are for"),
        ({"n_names": 1}, "n_names"),
        ({"known": 0}, "known"),
        ({"names": 3}, "names"),
    ],
)
def test_a_size_that_cannot_be_gets_one_clear_error(changes: dict[str, int], message: str) -> None:
    with pytest.raises(pydantic.ValidationError, match=message):
        WorldSize(**changes)


TINY = ModelShape(d_model=16, n_layers=2, n_heads=2, d_mlp=32, n_local_layers=1)
TINY_STUDY = {
    "name": "larger",
    "purpose": "verdict",
    "description": "A larger world in miniature.",
    "lineage": "organism",
    "seeds": [3],
    "members": ["base", "reason_sft_upper"],
    "stages": ["transfer"],
    "shape": TINY.model_dump(),
    "world": SMALL.model_dump(),
    "budget": 0.01,
    "transfer": {"n_splits": 3, "n_boot": 50, "n_halvings": 2, "n_unrelated": 2},
    "training": {"base": {"steps": 400, "lr": 1e-3}},
}


def test_a_start_from_a_world_of_another_size_is_refused(tmp_path: Path) -> None:
    recipe = RECIPES["base"].scaled(0.002)
    base = train_member(Job(recipe, TINY, 0, tmp_path / "base", None, world=SMALL))
    manifest = json.loads((base / "manifest.json").read_text())
    assert WorldSize(**manifest["world"]) == SMALL
    child = RECIPES["reason_sft"].scaled(0.01)
    with pytest.raises(InputError, match="trained on a world of another size than 'reason_sft'"):
        train_member(Job(child, TINY, 0, tmp_path / "child", base))
    with pytest.raises(InputError, match="whose 'world' is not the one asked for"):
        train_member(Job(recipe, TINY, 0, tmp_path / "base", None))


def study(folder: Path, **changes: object) -> Study:
    path = folder / "larger.yaml"
    path.write_text(yaml.safe_dump({**TINY_STUDY, **changes}), encoding="utf-8")
    return Study.load(str(path), device="cpu", workers=1)


def test_an_override_changes_what_it_names_and_nothing_else(tmp_path: Path) -> None:
    planned = study(tmp_path)._plan()
    node = planned.training(3, "base")
    asked = node.build({}).recipe
    before = RECIPES["base"]
    assert asked.optimisation == before.optimisation.model_copy(update={"steps": 4, "lr": 1e-3})
    assert asked.model_copy(update={"optimisation": before.optimisation}) == before
    adversary = Adversary(hidden=8)
    scrubbed = Override(n_known=2000, adversary=adversary).of(RECIPES["scrubbed"])
    assert scrubbed.penalty is not None
    assert (scrubbed.penalty.n_known, scrubbed.penalty.adversary) == (2000, adversary)
    assert scrubbed.penalty.strength == 1.0
    assert scrubbed.optimisation == RECIPES["scrubbed"].optimisation
    shorter = Override(steps=9, lr=0.1).of(RECIPES["reason_rl"]).reinforcement
    assert shorter is not None
    assert (shorter.steps, shorter.lr, shorter.prompts) == (9, 0.1, 16)
    assert all(Override().of(recipe) == recipe for recipe in RECIPES.values())


@pytest.mark.parametrize(
    ("training", "message"),
    [
        ({"reason_sft_uper": {"steps": 3}}, r"`training` names 'reason_sft_uper', which is not "
         r"among its members \(did you mean 'reason_sft_upper'\?\)"),
        ({"never": {"steps": 3}}, "`training` names 'never', which is not among its members"),
        ({"base": {"step": 3}}, r"unknown key 'training.base.step' \(did you mean 'steps'\?\)"),
        ({"base": {"n_known": 8}}, "training.base.n_known: the recipe of 'base' has no such"),
        ({"base": {"steps": 1}}, "'training.base.steps'"),
    ],
)  # fmt: skip
def test_an_override_of_nothing_gets_one_clear_error(
    tmp_path: Path, training: dict[str, object], message: str
) -> None:
    with pytest.raises(InputError, match=message):
        study(tmp_path, training=training)


def test_reinforcement_has_no_packed_rows_to_change() -> None:
    with pytest.raises(InputError, match=r"training\.reason_rl\.batch_rows: .* no such setting"):
        Override(batch_rows=8).of(RECIPES["reason_rl"])


def test_a_larger_world_goes_through_training_asking_and_transfer(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # What checked annotations name, which the module imports for type checkers alone.
    monkeypatch.setattr(pairing, "Site", Site, raising=False)
    monkeypatch.setattr(pairing, "Tensor", torch.Tensor, raising=False)
    members = ("base", "reason_sft_upper")
    wanted = [f"{kind}/{member}/3" for kind in ("train", "ask") for member in members]
    wanted.append("transfer/reason_sft_upper/3")
    nodes = [node for node in study(tmp_path)._plan().nodes() if node.name in wanted]
    # "debug" runs a stage in this process.
    done = Graph(nodes, workers=1, cluster="debug", watch=lambda _: None).run()
    assert set(done) == set(wanted)
    items = done["ask/reason_sft_upper/3"]["items"]
    world = World(3, SMALL)
    known, unknown = world.split("test")
    asked = items[items["mode"] == "direct"].groupby("group")["entity"].agg(set)
    assert asked["known"] == {person.name for person in known}
    assert asked["unknown"] == {person.name for person in unknown}
    made = {*words.first_names(SMALL)[60:]}
    assert made & {name.split()[0] for name in asked["unknown"]}
    transfer = done["transfer/reason_sft_upper/3"]["transfer"]
    assert len(transfer) > 0
    tokenizer = done["train/base/3"].load("cpu").tokenizer
    assert len(tokenizer) == len(words.vocabulary(SMALL))
