"""Errors of a YAML file name the line, whatever the file looks like; all of them in one message."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any, Literal

import pydantic
import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from interp import configs
from interp.errors import InputError


class Inner(pydantic.BaseModel):
    model_config = pydantic.ConfigDict(extra="forbid")

    steps: int = 1
    rate: float = 0.5


class Config(pydantic.BaseModel):
    model_config = pydantic.ConfigDict(extra="forbid")

    name: str
    seeds: list[int] = [1]
    kind: Literal["a", "b"] | int = "a"
    inner: Inner = Inner()
    many: dict[str, Inner] = {}
    listed: list[Inner] = []

    @pydantic.model_validator(mode="after")
    def _fits(self) -> Config:
        if self.name == "none":
            raise ValueError("`name` is not a name")
        return self


def refusal(folder: Path, text: str, model: type[pydantic.BaseModel] = Config) -> str:
    path = folder / "x.yaml"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(InputError) as refused:
        configs.load(path, model)
    return str(refused.value).replace(f"{folder}/", "")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("# a\n\nname: x\nsedes: [1]\n", "line 4: unknown key 'sedes' (did you mean 'seeds'?)"),
        ("name: x\ninner:\n  stepz: 1\n", "line 3: unknown key 'inner.stepz' (did you mean 'ste"),
        ("name: x\nmany:\n  a:\n    q: 1\n", "line 4: unknown key 'many.a.q'"),
        ("name: x\nlisted:\n- steps: 1\n- zzz: 1\n", "line 4: unknown key 'listed.1.zzz'"),
        ("\n\nseeds: [1]\n", "line 3: the key 'name' is missing"),
        ("name: x\nseeds:\n- 1\n- two\n", "line 4: 'seeds.1': Input should be a valid integer"),
        ("name: x\nkind: c\n", "line 2: 'kind': Input should be 'a' or 'b' (found 'c')"),
        ("name: none\n", "line 1: `name` is not a name"),
        ("name: x\nname: y\n", "line 2: the key 'name' stands here and on line 1; keep one"),
        ("name: x\ninner: {rate: 1,\n  rate: 2}\n", "line 3: the key 'rate' stands here and on li"),
        ("name: [x\nseeds: 1\n", "line 2: not valid YAML: while parsing a flow sequence, expect"),
        ("name: x\n\tseeds: 1\n", "line 2: not valid YAML: while scanning for the next token"),
        ("name: *nobody\n", "line 1: not valid YAML: found undefined alias 'nobody'"),
        ("name: !!python/name:os.system\n", "line 1: not valid YAML: could not determine a const"),
        ("name: x\n---\nname: y\n", "line 2: not valid YAML: expected a single document"),
    ],
)
def test_an_error_names_its_line(tmp_path: Path, text: str, message: str) -> None:
    said = refusal(tmp_path, text)
    assert said.startswith(f"x.yaml, {message}")
    assert "\n" not in said


@pytest.mark.parametrize(
    ("text", "message"),
    [("", "found NoneType"), ("- a\n", "found list"), ("word\n", "found str")],
)
def test_what_is_no_mapping_is_said(tmp_path: Path, text: str, message: str) -> None:
    assert message in refusal(tmp_path, text)


def test_bytes_that_are_no_text_are_said_with_their_line(tmp_path: Path) -> None:
    path = tmp_path / "x.yaml"
    path.write_bytes(b"name: x\nseeds: [\xff]\n")
    with pytest.raises(InputError, match=r"x\.yaml, line 2: not valid YAML"):
        configs.load(path, Config)


def test_a_character_that_yaml_has_not_is_said(tmp_path: Path) -> None:
    said = refusal(tmp_path, "name: x\nseeds: \x01\n")
    assert "x.yaml: not valid YAML" in said
    assert "\n" not in said


def test_all_errors_stand_in_one_message_the_first_line_first(tmp_path: Path) -> None:
    text = "name: x\nb: 1\nseeds: no\na: 1\ninner:\n  steps: one\n  c: 1\n"
    lines = refusal(tmp_path, text).split("\n")
    assert [int(found) for found in re.findall(r"line (\d+)", " ".join(lines))] == [2, 3, 4, 6, 7]
    assert lines[0].startswith("x.yaml, line 2: unknown key 'b'")
    assert all(line.startswith("  line ") for line in lines[1:])


def test_beyond_five_errors_are_counted(tmp_path: Path) -> None:
    keys = "".join(f"zz{i}: 1\n" for i in range(8))
    lines = refusal(tmp_path, f"name: x\n{keys}").split("\n")
    assert len(lines) == 6
    assert lines[-1] == "  and 3 more"


def test_a_misspelt_key_is_not_said_to_be_missing_as_well(tmp_path: Path) -> None:
    assert refusal(tmp_path, "nmae: x\n") == (
        "x.yaml, line 1: unknown key 'nmae' (did you mean 'name'?)"
    )
    said = refusal(tmp_path, "qqqq: x\n")  # nothing like it: both have to be mended
    assert said.count("line 1") == 2
    assert "the key 'name' is missing" in said


def test_a_long_value_is_shown_in_part(tmp_path: Path) -> None:
    assert len(refusal(tmp_path, f"name: x\nseeds: {'y' * 5000}\n")) < 400


def test_aliases_and_merge_keys_work(tmp_path: Path) -> None:
    path = tmp_path / "x.yaml"
    path.write_text(
        "name: x\n"
        "inner: &usual {steps: 3, rate: 0.1}\n"
        "many:\n"
        "  own: {<<: *usual, steps: 4}\n"
        "  first: {<<: [{steps: 7}, *usual]}\n"
        "  same: *usual\n"
    )
    config = configs.load(path, Config)
    assert config.many == {
        "own": Inner(steps=4, rate=0.1),
        "first": Inner(steps=7, rate=0.1),
        "same": Inner(steps=3, rate=0.1),
    }


def test_a_key_that_was_merged_is_named_where_it_stands(tmp_path: Path) -> None:
    text = "name: x\ninner: {steps: 2}\nmany:\n  a: &a\n    stepz: 3\n  b:\n    <<: *a\n"
    lines = refusal(tmp_path, text).split("\n")
    assert [re.findall(r"line \d+|'[^']*'", line)[:2] for line in lines] == [
        ["line 5", "'many.a.stepz'"],
        ["line 5", "'many.b.stepz'"],
    ]


# --- random configs ------------------------------------------------------------------------------

WORDS = st.text("abcdefgh", min_size=2, max_size=5)
TREES = st.dictionaries(
    WORDS,
    st.recursive(
        st.integers(0, 9) | st.lists(st.integers(0, 9), max_size=3) | st.just("a: b # c\nd"),
        lambda inner: st.dictionaries(WORDS, inner, min_size=1, max_size=4),
        max_leaves=12,
    ),
    min_size=1,
    max_size=5,
)


def model_of(tree: dict[str, Any]) -> type[pydantic.BaseModel]:
    """A model whose keys are those of the tree."""
    fields: dict[str, Any] = {
        f"field_{name}": (
            model_of(value) if isinstance(value, dict) else Any,
            pydantic.Field(alias=name),
        )
        for name, value in tree.items()
    }
    return pydantic.create_model("Tree", __config__=pydantic.ConfigDict(extra="forbid"), **fields)


def paths(tree: dict[str, Any]) -> list[tuple[str, ...]]:
    return [
        path
        for name, value in tree.items()
        for path in (
            (name,),
            *((name, *below) for below in (paths(value) if isinstance(value, dict) else ())),
        )
    ]


@settings(max_examples=30)
@given(tree=TREES, data=st.data(), flow=st.booleans(), blank=st.integers(0, 3))
def test_a_misspelt_key_is_named_on_the_line_it_stands_on(
    tmp_path_factory: pytest.TempPathFactory,
    tree: dict[str, Any],
    data: st.DataObject,
    flow: bool,
    blank: int,
) -> None:
    wrong = data.draw(st.sampled_from(paths(tree)))
    text = "# head\n" * blank + _misspelt(tree, wrong, flow)
    expected = next(n for n, line in enumerate(text.split("\n"), 1) if "MISSPELT" in line)
    folder = tmp_path_factory.mktemp("trees")
    lines = refusal(folder, text, model_of(tree)).split("\n")
    unknown = [line for line in lines if "unknown key" in line]
    assert len(unknown) == 1
    where = ".".join([*wrong[:-1], "MISSPELT"])
    assert f"line {expected}: unknown key '{where}'" in unknown[0]


def _misspelt(tree: dict[str, Any], wrong: tuple[str, ...], flow: bool) -> str:
    def spelt(tree: dict[str, Any], path: tuple[str, ...]) -> dict[str, Any]:
        return {
            ("MISSPELT" if path == (name,) else name): (
                spelt(value, path[1:]) if path[:1] == (name,) and len(path) > 1 else value
            )
            for name, value in tree.items()
        }

    style = None if flow else False
    return yaml.safe_dump(spelt(tree, wrong), default_flow_style=style, width=30, sort_keys=False)
