"""README and docs/: code runs, settings are valid, links and names of tests lead somewhere."""

from __future__ import annotations

import ast
import re
from functools import cache
from pathlib import Path

import pytest
import yaml

from interp.behaving import BehaveConfig
from interp.comparing import CompareConfig
from interp.organism import World, document_prompts, entity_prompts
from interp.probing import ProbeConfig
from interp.study import StudyConfig
from tests.docs.conftest import ROOT

README = ROOT / "README.md"
WRITTEN = sorted(path for path in (ROOT / "docs").rglob("*.md") if path.parent.name != "api")
PAGES = [README, *WRITTEN]
LINKED = [*PAGES, ROOT / "CONTRIBUTING.md", ROOT / "CHANGELOG.md"]


def named(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def blocks(path: Path, language: str) -> list[str]:
    text = path.read_text(encoding="utf-8")
    return re.findall(rf"```{language}\n(.*?)```", text, re.DOTALL)


def run(path: Path, names: dict) -> dict:
    """Runs the Python of a page, one block after the other, as they are read."""
    for block in blocks(path, "python"):
        short = block.replace("n_latents=4096, steps=20_000", "n_latents=64, steps=4")
        exec(compile(short, named(path), "exec"), names)
    return names


@pytest.fixture(scope="module")
def models(pair, tmp_path_factory) -> Path:
    """A folder with the models that pages speak of, by the names they have there."""
    folder = tmp_path_factory.mktemp("reader")
    (folder / "models").mkdir()
    for name, there in zip(("base", "child"), pair, strict=True):
        (folder / "models" / name).symlink_to(there, target_is_directory=True)
    return folder


@pytest.fixture(scope="module")
def read(models) -> dict:
    """What a reader has who ran the README."""
    prompts = entity_prompts(World(3), "dev", "direct")
    names = {
        "records": prompts.frame.to_dict("records"),
        "text": document_prompts(World(3), 400),
        "dev": prompts,
        "Path": Path,
    }
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(models)
        return run(README, names)


def test_the_python_of_the_readme_runs(read):
    assert len(read["answers"]) == len(read["prompts"])
    assert read["lower_from_child"].n_layers == read["base"].n_layers
    assert abs(float(read["direction"].vector_D.norm()) - 1) < 1e-5


@pytest.mark.parametrize("page", [page for page in WRITTEN if blocks(page, "python")], ids=named)
def test_the_python_of_a_page_runs(page, read, models, monkeypatch):
    monkeypatch.chdir(models)
    names = run(page, dict(read))
    if page.name == "features.md":
        assert len(names["found"]) == 64
        assert set(names["dictionaries"]) == set(names["acts"].sites)
    if page.name == "activations.md":
        assert (models / "activations" / "mine" / "manifest.json").is_file()
    if page.name == "probes.md":
        assert len(names["found"]) == len(names["cells"]) + 1


def settings() -> list[tuple[str, dict]]:
    return [
        (named(page), yaml.safe_load(block)) for page in PAGES for block in blocks(page, "yaml")
    ]


def test_every_yaml_example_is_of_a_kind_that_is_checked():
    kinds = [{"targets", "elicitations", "questions"} & set(example) for _, example in settings()]
    assert sum(len(kind) == 1 for kind in kinds) >= 3
    assert all(len(kind) <= 1 for kind in kinds)
    # A part of a file, such as `infra` by itself, has keys that files of some kind have.
    known = {*BehaveConfig.model_fields, *ProbeConfig.model_fields, *StudyConfig.model_fields}
    parts = [set(example) for (_, example), kind in zip(settings(), kinds, strict=True) if not kind]
    assert all(part <= known for part in parts)


def test_the_behaviour_run_of_the_example_is_a_valid_one():
    (example,) = [one for _, one in settings() if "elicitations" in one]
    config = BehaveConfig.model_validate(example)
    labels = [elicitation.label for elicitation in config.elicitations]
    assert labels == ["raw", "few_shot", "chat", "chat_thinking"]
    assert config.answering.decoding.thinking.budget == 2000
    assert len(config.sources) > 1


def test_the_probe_run_of_the_example_is_a_valid_one():
    (example,) = [one for _, one in settings() if "targets" in one]
    config = ProbeConfig.model_validate(example)
    assert config.sources["child"].parent == "parent"
    assert config.probe.hold_out == "scenario"


def test_the_comparison_of_the_example_is_a_valid_one():
    examples = [one for _, one in settings() if "questions" in one]
    assert len(examples) == 2
    for example in examples:
        config = CompareConfig.model_validate(example)
        assert config.sources["child"].parent == "parent"


def slug(heading: str) -> str:
    """The anchor that GitHub gives a heading."""
    plain = re.sub(r"[`*]", "", heading).strip().lower()
    return re.sub(r"[^\w\- ]", "", plain).replace(" ", "-")


@pytest.mark.parametrize("page", LINKED, ids=named)
def test_links_lead_somewhere(page):
    for target in re.findall(r"\]\(([^)\s]+)\)", page.read_text(encoding="utf-8")):
        if target.startswith("https://"):
            continue
        place, _, anchor = target.partition("#")
        there = (page.parent / place).resolve() if place else page
        assert there.exists(), target
        if anchor:
            text = there.read_text(encoding="utf-8")
            assert anchor in {slug(head) for head in re.findall(r"^#+ (.*)$", text, re.M)}, target


@cache
def defined_in(path: Path) -> set[str]:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    return {node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)}


def named_tests(page: Path) -> list[str]:
    return re.findall(r"(tests/[\w/]+\.py::\w+)", page.read_text(encoding="utf-8"))


@pytest.mark.parametrize("page", [page for page in LINKED if named_tests(page)], ids=named)
def test_every_test_that_is_named_exists(page):
    for name in named_tests(page):
        file, _, test = name.partition("::")
        assert (ROOT / file).is_file(), name
        assert test in defined_in(ROOT / file), name


@pytest.mark.parametrize(
    "page", [page for page in WRITTEN if page.parent.name == "rooms"], ids=named
)
def test_a_room_says_what_holds_its_guarantees(page):
    text = page.read_text(encoding="utf-8")
    if page.name not in {"README.md", "comparing.md"}:
        assert len(named_tests(page)) >= 3
        assert "**Guaranteed**" in text
        assert "**Not here.**" in text
        assert blocks(page, "python")


def test_every_room_has_a_page_in_the_index():
    index = (ROOT / "docs" / "rooms" / "README.md").read_text(encoding="utf-8")
    rooms = [init.parent.name for init in (ROOT / "interp").glob("*/__init__.py")]
    missing = [room for room in rooms if f"`interp/{room}/`" not in index]
    assert missing == []
    pages = {page.name for page in (ROOT / "docs" / "rooms").glob("*.md")} - {"README.md"}
    assert [page for page in pages if f"({page}" not in index] == []
