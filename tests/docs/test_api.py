"""The committed reference is what the docstrings give, and shows them as they are."""

from __future__ import annotations

import re
import shutil

import pytest

from tests.docs.conftest import ROOT, load_make_api

make_api = load_make_api()


def test_the_committed_reference_is_what_the_docstrings_give():
    assert make_api.stale() == [], "run `make docs`"


def test_a_changed_docstring_and_a_page_too_many_are_seen(tmp_path):
    for folder in ("interp", "docs/api"):
        shutil.copytree(
            ROOT / folder, tmp_path / folder, ignore=shutil.ignore_patterns("__pycache__")
        )
    source = tmp_path / "interp" / "stats" / "proportions.py"
    text = source.read_text(encoding="utf-8")
    source.write_text(text.replace("def wilson(", "def wilson(extra: int, ", 1), encoding="utf-8")
    (tmp_path / "docs" / "api" / "gone.md").write_text("# gone\n", encoding="utf-8")
    assert make_api.stale(tmp_path) == ["gone.md", "stats.md"]


@pytest.mark.parametrize("room", make_api.rooms())
def test_a_page_has_every_public_name_and_its_first_line(room):
    page = make_api.page(room)
    for one in make_api.public(room):
        assert f"`{one.name}`" in page
        if one.node is not None and room != "interp":
            first = make_api.ast.get_docstring(one.node).splitlines()[0]
            assert f"## {one.name}\n" in page
            assert first in page


def test_links_between_pages_lead_to_headings():
    pages = make_api.pages()
    for name, text in pages.items():
        for target, anchor in re.findall(r"\]\(([\w.]*)(?:#([\w-]+))?\)", text):
            there = pages[target] if target else text
            low, _, number = anchor.partition("-")
            headings = re.findall(rf"^## {low}$", there, re.M | re.I)
            assert not anchor or len(headings) > int(number or 0), (name, anchor)


def test_names_that_differ_in_case_alone_have_links_of_their_own():
    page = make_api.page("interp.behavior")
    assert "[`Debates`](#debates), [`debates`](#debates-1)" in page


def test_a_long_signature_keeps_every_default_and_mark():
    source = (
        "def f(a: int, /, b: str = 'x', *c: int, d: float, e: dict[str, tuple[int, ...]] = {}, "
        "f: bool = True, **g: int) -> str: ..."
    )
    node = make_api.ast.parse(source).body[0]
    shown = re.sub(r"\s+", " ", make_api._signature(node))
    again = make_api.ast.parse(f"def {shown}: ...").body[0]
    assert make_api.ast.dump(again) == make_api.ast.dump(node)
