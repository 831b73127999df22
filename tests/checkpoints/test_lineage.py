"""Lineages: what the package ships holds together, and a mistake in a file is named."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import huggingface_hub
import pytest

from interp.checkpoints import Checkpoint, Lineage, lineages
from interp.errors import InputError
from interp.organism.objectives import RECIPES
from tests.checkpoints.tiny import write_checkpoint

FAMILY = """
name: family
description: three generations
members:
  root: {parent: null, objective: pretrain, source: some/base}
  tuned: {parent: root, objective: sft, source: some/tuned}
  rl: {parent: tuned, objective: grpo, source: some/rl}
  twin: {parent: root, weights_from: other, objective: sft, source: some/twin}
  other: {parent: null, objective: pretrain, source: some/other}
"""


@pytest.fixture
def write(tmp_path: Path):
    def write(text: str) -> str:
        path = tmp_path / "family.yaml"
        path.write_text(text)
        return str(path)

    return write


def test_relations_are_those_of_the_file(write):
    lineage = Lineage.load(write(FAMILY))
    assert lineage.ancestors("rl") == ["tuned", "root"]
    assert lineage.ancestors("root") == []
    assert lineage.children("root") == ["tuned", "twin"]
    assert lineage.roots == ["root", "other"]
    assert lineage.pairs == [("root", "tuned"), ("tuned", "rl"), ("root", "twin")]
    assert lineage.member("twin").weights_from == "other"
    assert lineage.member("twin").name == "twin"


PUBLISHED = sorted(set(lineages()) - {"organism"})
OBJECTIVES = {
    "pretrain",
    "midtrain",
    "sft",
    "sft_on_reasoning_traces",
    "sft_and_preference",
    "sft_and_grpo",
    "sft_and_rlvr",
    "sft_erasure_penalty",
    "dpo",
    "rlvr",
    "ppo_binary",
    "grpo_binary",
    "grpo_ternary",
    "grpo_stated",
    "grpo_calibrated",
    "dpo_confidence",
    "sft_form",
    "sft_safety",
    "sft_mixed",
    "sft_examples",
    "sft_soft_prompt",
    "sft_lora",
    "sft_knowledge",
    "rotation",
    "rotation_sft",
}


@pytest.mark.parametrize("name", lineages())
def test_every_packaged_lineage_loads_and_is_named_after_its_file(name):
    lineage = Lineage.load(name)
    assert lineage.name == name
    for parent, child in lineage.pairs:
        assert child in lineage.children(parent)
        assert lineage.ancestors(child)[-1] in lineage.roots
    for member in lineage.members.values():
        assert member.objective in OBJECTIVES
        assert (member.parent is None) == (member.name in lineage.roots)
        assert member.parent or member.objective == "pretrain"
    places = [(member.source, member.revision) for member in lineage.members.values()]
    assert len(set(places)) == len(places)


def test_the_lineages_that_the_literature_speaks_of_are_there():
    """Root, parent and child of each, as they were trained."""
    descents = {
        "gemma2_2b": ["instruct", "base"],
        "olmo2_7b": ["rlvr", "dpo", "sft", "base", "stage1", "tokens_3t", "tokens_2t", "tokens_1t"],
        "open_reasoner_zero_1.5b": ["open_reasoner_zero", "base"],
        "r1_distill_llama_8b": ["r1_distill", "base"],
        "r1_distill_qwen_1.5b": ["r1_distill", "base"],
        "s1_32b": ["s1_1", "instruct", "base"],
        "tulu3_8b": ["rlvr", "dpo", "sft", "base"],
    }
    assert sorted(descents) == PUBLISHED
    for name, (child, *above) in descents.items():
        assert Lineage.load(name).ancestors(child) == above
    olmo = Lineage.load("olmo2_7b").members.values()
    assert len({member.revision for member in olmo if member.revision}) >= 4


@pytest.mark.parametrize("name", PUBLISHED)
def test_a_member_that_cannot_be_downloaded_is_one_line_that_says_what_to_do(
    name, tmp_path, monkeypatch
):
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path))
    for member in Lineage.load(name).members.values():
        with pytest.raises(InputError) as caught:
            Checkpoint.of(member)
        message = str(caught.value)
        assert "\n" not in message
        assert message.startswith(f"'{member.source}'")
        at = f" --revision {member.revision}" if member.revision else ""
        assert f"`hf download {member.source}{at} --local-dir <folder>`" in message


def test_a_member_of_the_embedded_lineage_is_trained_here():
    with pytest.raises(InputError, match="`interp organism train reason_rl` makes it"):
        Checkpoint.of(Lineage.load("organism").member("reason_rl"))


def test_a_member_is_read_with_its_revision_and_without_the_template_it_is_to_be_read_without(
    write, tmp_path
):
    base = write_checkpoint(tmp_path / "base")
    text = FAMILY.replace("source: some/base", f"source: {base}, chat_template: none")
    member = Lineage.load(write(text)).member("root")
    found = Checkpoint.of(member)
    assert (found.name, found.path, found.chat_template) == ("root", base, "none")
    assert Checkpoint.of(member, name="mine", chat_template="own") == Checkpoint(base, "mine")
    branch = member.model_copy(update={"source": "some/base", "revision": "v2"})
    with pytest.raises(InputError, match="'some/base' at revision 'v2'"):
        Checkpoint.of(branch)


def test_the_embedded_lineage_is_the_one_that_is_trained():
    members = Lineage.load("organism").members
    assert set(members) == set(RECIPES)
    for name, recipe in RECIPES.items():
        member = members[name]
        assert (member.parent, member.objective) == (recipe.parent, recipe.objective)
        assert (member.weights_from or member.parent) == recipe.starts_from
        assert member.source == f"organism:{name}"


MISTAKES = {
    "member key": ("objective: grpo", "objektive: grpo", r"'members\.rl\.objektive'.*'objective'"),
    "top key": ("members:", "memebers:", "'memebers'.*'members'"),
    "missing key": ("source: some/rl", "note: none", r"'members\.rl\.source' is missing"),
    "parent": ("parent: tuned", "parent: tuend", "`parent` of member 'rl' is 'tuend'.*'tuned'"),
    "weights": ("weights_from: other", "weights_from: othr", "`weights_from`.*'othr'.*'other'"),
    "circle": ("root: {parent: null", "root: {parent: rl", "by `parent`.*root <- rl <- tuned <- "),
    "self": ("tuned: {parent: root", "tuned: {parent: tuned", "tuned <- tuned"),
    "training circle": (
        "other: {parent: null,",
        "other: {parent: null, weights_from: twin,",
        "by `weights_from`.*twin <- other <- twin",
    ),
    "template": (
        "source: some/rl}",
        "source: some/rl, chat_template: nun}",
        r"'members\.rl\.chat_template'.*'own' or 'none'",
    ),
    "name": ("rl: {parent", "rl: {name: lr, parent", "member 'rl' is named 'lr'"),
    "members": ("members:", "members: []\nx:", "unknown key 'x'|'members'"),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_mistake_is_named_with_file_and_nearest_right_one(write, mistake):
    right, wrong, message = MISTAKES[mistake]
    assert right in FAMILY
    path = write(FAMILY.replace(right, wrong))
    with pytest.raises(InputError, match=message) as caught:
        Lineage.load(path)
    assert str(caught.value).startswith(path)


def test_an_unknown_member_is_answered_with_the_nearest_one():
    lineage = Lineage.load("organism")
    for ask in (lineage.member, lineage.ancestors, lineage.children):
        with pytest.raises(InputError, match=r"no member 'reason_stf' \(did you mean 'reason_sft'"):
            ask("reason_stf")


def test_an_unknown_lineage_is_answered_with_the_nearest_one(tmp_path):
    with pytest.raises(InputError, match=r"'organsim'.*did you mean 'organism'"):
        Lineage.load("organsim")
    with pytest.raises(InputError, match="no such file"):
        Lineage.load(str(tmp_path / "missing.yaml"))


def test_reading_a_lineage_loads_no_deep_learning_library():
    code = (
        "import sys; from interp.checkpoints import Lineage; Lineage.load('organism'); "
        "sys.exit(bool({'torch', 'transformers'} & set(sys.modules)))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
