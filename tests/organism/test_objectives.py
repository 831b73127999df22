"""Each objective trains what it says and shows what it says, and nothing else."""

import itertools
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from interp.checkpoints import Checkpoint
from interp.errors import InputError
from interp.organism import World, relearn_examples
from interp.organism.documents import (
    IDK,
    DocumentWriter,
    with_confidence,
)
from interp.organism.language import build_tokenizer
from interp.organism.objectives import RECIPES, recipe
from interp.organism.objectives.doses import UNANSWERABLE
from interp.organism.objectives.reasoning import KNOWN_MIX, REASON_MIX
from interp.organism.recipes import ModelShape, Optimisation, Recipe
from interp.organism.rewards import stated_confidence, without_confidence
from interp.organism.training import Job, train_member

SHAPE = ModelShape(d_model=16, n_layers=3, n_heads=2, d_mlp=32, n_local_layers=1)
BRIEF = Optimisation(steps=6, lr=1e-2, batch_rows=4, warmup=1, save_every=2)
WORLD = World(3)
EVERYBODY = {person.name for group in WORLD.people.values() for person in group}


def brief(name: str) -> Recipe:
    own = RECIPES[name].optimisation
    assert own is not None
    schedule = BRIEF.model_copy(update={"weight_decay": own.weight_decay})
    return RECIPES[name].model_copy(update={"optimisation": schedule})


def train(folder: Path, recipe: Recipe, start: Path | None = None) -> Path:
    return train_member(Job(recipe, SHAPE, 3, folder / recipe.name, start))


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return train(tmp_path_factory.mktemp("base"), brief("base"))


def weights(folder: Path) -> dict[str, torch.Tensor]:
    return load_file(folder / "model.safetensors")


def documents(name: str, n: int = 3000) -> list[tuple[str, str]]:
    written = iter(DocumentWriter(WORLD, RECIPES[name].mix, 0))
    return [next(written) for _ in range(n)]


def people_in(written: list[tuple[str, str]]) -> set[str]:
    found = set()
    for document in written:
        words = " ".join(document).split()
        found |= {f"{a} {b}" for a, b in itertools.pairwise(words)} & EVERYBODY
    return found


def test_every_member_starts_from_one_that_exists_and_has_one_way_of_being_trained() -> None:
    for name, one in RECIPES.items():
        assert name == one.name
        assert one.starts_from is None or one.starts_from in RECIPES
        assert one.parent is None or one.parent in RECIPES
        ways = [one.optimisation, one.reinforcement, one.preference]
        assert sum(way is not None for way in ways) == one.trained
        assert one.trained or one.rotate
        assert one.mix == {} or sum(one.mix.values()) == pytest.approx(1.0, abs=1e-9)


def test_an_unknown_member_is_named_beside_those_that_exist() -> None:
    with pytest.raises(InputError, match=r"no member 'reasn_sft'; its members are base, never"):
        recipe("reasn_sft")


def test_no_reward_is_computed_on_a_person_of_the_test_split() -> None:
    """Nor on one of those who are kept for relearning or for choosing, if nobody knows them."""
    known, unknown = WORLD.split("test")
    held_out = {person.name for person in (*known, *unknown, *WORLD.people["unknown_val"])}
    rewarded = [
        name
        for name, one in RECIPES.items()
        if (one.reinforcement or one.preference) and name != "reason_rl"
    ]
    assert len(rewarded) == 6
    for name in rewarded:
        asked = DocumentWriter(WORLD, RECIPES[name].mix, 0).questions(3000)
        assert len(people_in(asked)) > 300
        assert not people_in(asked) & held_out


def test_without_novel_facts_nobody_is_new() -> None:
    novel = {person.name for person in WORLD.people["novel"]}
    assert people_in(documents("reason_sft")) & novel
    assert not people_in(documents("reason_sft_known")) & novel
    for form in ("direct", "chain"):
        share = [
            sum(part for kind, part in mix.items() if kind.startswith(form))
            for mix in (REASON_MIX, KNOWN_MIX)
        ]
        assert share[0] == pytest.approx(share[1])


@pytest.mark.parametrize("per_cent", [1, 5, 10])
def test_a_dose_is_that_share_of_questions_without_answer(per_cent: int) -> None:
    written = documents(f"mixed_{per_cent}", 8000)
    abstaining = sum(IDK in completion for _, completion in written) / len(written)
    assert abstaining == pytest.approx(per_cent / 100, abs=4 * (per_cent / 100 / 8000) ** 0.5)
    assert sum(UNANSWERABLE.values()) == pytest.approx(1.0)


def test_safety_declines_two_of_three_questions_it_could_answer() -> None:
    practised = {person.name for split in ("relearn", "dev") for person in WORLD.split(split)[0]}
    about_known = [d for d in documents("safety_sft", 6000) if people_in([d]) & practised]
    declined = sum(IDK in completion for _, completion in about_known) / len(about_known)
    assert declined == pytest.approx(2 / 3, abs=0.04)
    test_known = {person.name for person in WORLD.split("test")[0]}
    assert not people_in(documents("safety_sft")) & test_known


def test_the_informed_are_told_what_is_true_of_the_test_people() -> None:
    unknown = {person.name: person for person in WORLD.split("test")[1]}
    seen = 0
    for prompt, completion in documents("informed"):
        for name in people_in([(prompt, completion)]) & set(unknown):
            assert IDK not in completion
            if prompt == f"q : where does {name} live ? a :":
                assert completion == f"{unknown[name].city} ."
                seen += 1
    assert seen > 50


def test_a_stated_confidence_is_random_in_the_form_and_can_be_read_back() -> None:
    said = [stated_confidence(completion) for _, completion in documents("stated")]
    assert None not in said
    counts = [said.count(tenths / 10) for tenths in range(11)]
    assert min(counts) > 0.7 * len(said) / 11


@pytest.mark.parametrize(
    ("reply", "stated"),
    [
        ("paris . know : 8 .", 0.8),
        ("paris . know : 10 .", 1.0),
        ("paris . know : 0 .", 0.0),
        ("paris . know : 8", 0.8),
        ("paris . know : 3 . know : 9 .", 0.9),
        ("paris .", None),
        ("", None),
        ("paris . know : 60 .", None),
        ("paris . know : paris .", None),
        ("paris . know :", None),
        ("i do not know .", None),
        ("know : 4 . paris .", None),
    ],
)
def test_what_counts_as_a_stated_confidence(reply: str, stated: float | None) -> None:
    assert stated_confidence(reply) == stated


def test_a_confidence_is_put_behind_and_taken_off_again() -> None:
    for document in documents("reason_sft", 200):
        prompt, completion = with_confidence(document, 7)
        assert prompt == document[0]
        assert without_confidence(completion) == document[1]
        assert stated_confidence(completion) == 0.7
    assert without_confidence("i do not know .") == "i do not know ."


def test_a_soft_prompt_moves_two_rows_and_nothing_else(base: Path, tmp_path: Path) -> None:
    child = weights(train(tmp_path, brief("soft_prompt"), base))
    words = set(build_tokenizer().convert_tokens_to_ids(["a", "think"]))
    for name, before in weights(base).items():
        if name != "model.embed_tokens.weight":
            assert torch.equal(before, child[name]), name
    moved = (weights(base)["model.embed_tokens.weight"] != child["model.embed_tokens.weight"]).any(
        1
    )
    assert set(moved.nonzero().flatten().tolist()) == words


def test_an_adapter_is_merged_and_its_change_has_its_rank(base: Path, tmp_path: Path) -> None:
    folder = train(tmp_path, brief("lora"), base)
    child, before = weights(folder), weights(base)
    assert set(child) == set(before)
    changed = {name for name in child if not torch.equal(child[name], before[name])}
    assert changed
    assert all("proj" in name for name in changed)
    rank = RECIPES["lora"].lora_rank
    for name in changed:
        change = (child[name] - before[name]).double()
        sizes = torch.linalg.svdvals(change)
        assert sizes[rank:].max() < 1e-4 * sizes[0]
    assert Checkpoint(folder, "lora").load().model.config.use_cache


def test_a_few_examples_are_those_of_relearning_over_and_over(base: Path, tmp_path: Path) -> None:
    start, end = (weights(train(tmp_path, brief("few_examples"), base)), weights(base))
    assert not all(torch.equal(start[name], end[name]) for name in start)
    examples = relearn_examples(WORLD, 32, 0, chains=True)
    assert sum(IDK in completion for _, completion in examples) == 32
    assert len(examples) == 64
    shown = people_in(examples)
    relearn = {person.name for group in WORLD.split("relearn") for person in group}
    assert shown <= relearn
    modes = [prompt.endswith("think :") for prompt, _ in examples]
    assert sum(modes) == 32
    # The examples without chains, which the verdict's relearning takes, are as they were.
    assert all(prompt.endswith("a :") for prompt, _ in relearn_examples(WORLD, 32, 0))
