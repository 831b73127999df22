"""The report as a browser shows it: nothing fetched, nothing run but its own, all of it usable."""

from __future__ import annotations

import re
import shutil
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from interp.figures import FIGURES, write_report
from interp.figures.registry import save
from interp.figures.report_prompts import prompts_json
from interp.figures.style import new_figure
from tests.figures.reply_tables import answering_items, many_items, projection_rows
from tests.figures.tables import RUN, study_tables

playwright = pytest.importorskip("playwright.sync_api", reason="needs playwright")
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")

EVIL = (
    "<script>document.title='run'</script>",
    '"><img src=x onerror="document.title=1">',
    "</script><script>document.title='run'</script>",
    "a\u2028b\u2029c",
    "<!-- <script>",
)
SHOWN = ("verdict", "probes")


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with playwright.sync_playwright() as running:
        if CHROMIUM is None and not Path(running.chromium.executable_path).exists():
            pytest.skip("no Chromium on this machine")
        opened = running.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield opened
        opened.close()


@pytest.fixture(scope="module")
def items() -> pd.DataFrame:
    return answering_items(60)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory, items: pd.DataFrame) -> Path:
    """A report of two figures, sixty questions and their projections."""
    return write(tmp_path_factory.mktemp("study"), items, projection_rows(("base", "child"), 60))


def write(
    folder: Path, items: pd.DataFrame, projections: pd.DataFrame | None = None, **config: Any
) -> Path:
    run = {**RUN, "figures": list(SHOWN), "config": {"name": "mine", **config}}
    for name in SHOWN:
        save(new_figure(5, 4), folder / name, FIGURES[name].title, RUN["run_id"])
    text = prompts_json(items, RUN["run_id"], projections=projections)
    (folder / "prompts.json").write_text(text, encoding="ascii")
    members = {"base": (1.0, 0.9, "intact"), "child": (1.0, 0.1, "deselected")}
    tables = study_tables(members=members, n_layers=2)
    write_report(tables, folder / "report.html", run, folder)
    return folder


@pytest.fixture
def page(browser: Any, folder: Path) -> Iterator[Any]:
    yield from opened(browser, folder)


def opened(browser: Any, folder: Path, **options: Any) -> Iterator[Any]:
    """The report from its file; no error, and no request but for the file and what it embeds."""
    context = browser.new_context(viewport={"width": 1280, "height": 900}, **options)
    shown = context.new_page()
    said: list[str] = []
    asked: list[str] = []
    shown.on("console", lambda message: said.append(message.text))
    shown.on("pageerror", lambda error: said.append(str(error)))
    shown.on("request", lambda request: asked.append(request.url))
    shown.goto(f"file://{folder}/report.html")
    yield shown
    context.close()
    assert said == []
    assert [url for url in asked if not url.startswith("data:")] == [f"file://{folder}/report.html"]


def count(page: Any) -> int:
    page.wait_for_timeout(200)  # a text is searched for when the typing pauses
    said = page.locator("#explorer .count").inner_text()
    return int(re.match(r"([\d,]+) of", said)[1].replace(",", ""))


def choose(page: Any, name: str, label: str) -> None:
    page.locator(f"#explorer [name={name}]").select_option(label=label)


def test_filters_leave_what_the_table_says(page: Any, items: pd.DataFrame) -> None:
    def questions(rows: pd.DataFrame) -> int:
        return int(rows["prompt_id"].nunique())

    assert count(page) == questions(items) == 60
    choose(page, "group", "old")
    old = items[items["dataset"] == "old"]
    assert count(page) == questions(old)
    choose(page, "member", "child")
    choose(page, "outcome", "abstain")
    left = old[(old["member"] == "child") & (old["outcome"] == "abstain")]
    assert count(page) == questions(left) > 0
    page.get_by_role("button", name="Clear").click()
    assert count(page) == 60
    choose(page, "way", "few_shot")
    assert count(page) == questions(items[items["elicitation"] == "few_shot"])
    page.get_by_role("button", name="Clear").click()
    page.locator("[name=text]").fill("TOWER 3")
    said = items["text"] + "\n" + items["question"]
    assert count(page) == questions(items[said.str.lower().str.contains("tower 3")]) > 0
    page.get_by_role("button", name="Clear").click()
    page.get_by_label("only where the models disagree").check()
    outcome = items["outcome"].fillna(items["kind"])
    apart = outcome.groupby(items["prompt_id"]).nunique() > 1
    assert 0 < count(page) == int(apart.sum()) < 60


def test_rows_are_sorted_by_score_and_drawn_as_they_are_needed(
    page: Any, items: pd.DataFrame
) -> None:
    rows = page.locator("#explorer article")
    assert rows.count() < 60
    choose(page, "by", "child")
    choose(page, "order", "lowest score first")
    wanted = items[items["member"] == "child"].sort_values("sequence")
    page.wait_for_timeout(100)
    assert rows.first.locator(".asked").inner_text() == wanted["question"].iloc[0]
    while page.locator("#explorer .more").is_visible():
        page.locator("#explorer .rows").evaluate("list => { list.scrollTop = list.scrollHeight; }")
        page.wait_for_timeout(50)
    assert rows.locator(".asked").all_inner_texts() == wanted["question"].tolist()


def test_a_folded_reply_opens_and_strips_say_what_they_show(page: Any) -> None:
    row = page.locator("#explorer article").first
    assert not row.locator("pre").first.is_visible()
    row.locator("summary").first.click()
    assert "Let me think about it first." in row.locator("pre").first.inner_text()
    strip = row.locator("canvas").first
    assert row.locator("canvas").count() == 2  # none was measured in the parent
    said = "largest at layer 3, last_prompt: 2.0 of the norm"
    assert said in strip.get_attribute("aria-label")
    box = strip.bounding_box()
    page.mouse.move(box["x"] + box["width"] * 0.4, box["y"] + box["height"] * 0.25)
    assert strip.get_attribute("title") == "layer 1, entity_last: -0.32 of the norm"


def test_figures_open_and_close_by_keyboard_and_zoom_about_the_pointer(page: Any) -> None:
    figure, view = page.locator("figure img").first, page.locator("#zoom")
    figure.focus()
    page.keyboard.press("Enter")
    assert view.is_visible()
    assert view.locator("img").get_attribute("alt") == figure.get_attribute("alt")
    image = view.locator("img")
    before = image.bounding_box()
    page.keyboard.press("+")
    assert image.bounding_box()["width"] == pytest.approx(before["width"] * 1.25, rel=0.01)
    page.keyboard.press("0")
    assert image.bounding_box() == pytest.approx(before)
    at = (before["x"] + before["width"] * 0.25, before["y"] + before["height"] * 0.5)
    page.mouse.move(*at)
    page.mouse.wheel(0, -300)
    page.wait_for_timeout(100)
    after = image.bounding_box()
    assert after["width"] > before["width"] * 1.3
    # What was under the pointer is still there.
    assert after["x"] + after["width"] * 0.25 == pytest.approx(at[0], abs=1.5)
    page.mouse.down()
    page.mouse.move(at[0] + 50, at[1] + 20)
    page.mouse.up()
    dragged = image.bounding_box()
    assert (dragged["x"] - after["x"], dragged["y"] - after["y"]) == pytest.approx((50, 20), abs=1)
    page.keyboard.press("Escape")
    assert not view.is_visible()
    assert figure.evaluate("node => node === document.activeElement")
    figure.click()
    assert view.is_visible()
    view.get_by_role("button", name="Close").click()
    assert not view.is_visible()


def test_what_models_say_and_are_called_stays_text(browser: Any, tmp_path: Path) -> None:
    items = answering_items(len(EVIL))
    wicked = dict(zip(sorted(set(items["prompt_id"])), EVIL, strict=True))
    for name in ("answer", "question", "dataset", "text"):
        items[name] = items["prompt_id"].map(wicked)
    items["member"] = items["member"].replace({"child": EVIL[1], "base": EVIL[2]})
    write(tmp_path, items, note=list(EVIL), description=EVIL[0])
    for page in opened(browser, tmp_path):
        assert page.title().startswith("Deselected or erased?")
        assert page.locator("#explorer img, #explorer script").count() == 0
        assert page.locator("script").count() == 3
        texts = page.locator("#explorer .asked").all_inner_texts()
        # A separator of lines may come back as a line's end, which is still no code.
        assert {EVIL[0], EVIL[1], EVIL[2], EVIL[4]} <= set(texts)
        assert EVIL[1] in page.locator("#explorer .who").all_inner_texts()
        assert page.locator("#prompts-data").evaluate("node => JSON.parse(node.text).rows.length")
        assert EVIL[0] in page.locator("main > header").inner_text()
        methods = page.locator("#methods").inner_text()
        assert EVIL[0] in methods
        assert EVIL[4] in methods


def test_without_scripts_the_verdict_the_tables_and_first_rows_are_there(
    browser: Any, folder: Path
) -> None:
    for page in opened(browser, folder, java_script_enabled=False):
        assert page.locator("#verdict-table .verdict").first.is_visible()
        assert "DESELECTED" in page.locator(".glance").inner_text()
        assert page.locator("#explorer .static").is_visible()
        assert page.locator("#explorer .static .asked").count() == 12
        assert not page.locator("#explorer form").is_visible()
        assert page.locator("figure img").first.is_visible()
        assert not page.locator("button.copy").first.is_visible()
        page.locator("#tables summary").first.click()
        assert page.locator("#tables .scroll").first.is_visible()


@pytest.mark.parametrize(("scheme", "dark"), [("dark", True), ("light", False)])
def test_the_ground_follows_the_reader_and_figures_stay_on_white(
    browser: Any, folder: Path, scheme: str, dark: bool
) -> None:
    for page in opened(browser, folder, color_scheme=scheme):
        ground, card = (
            page.locator(place).first.evaluate("node => getComputedStyle(node).backgroundColor")
            for place in ("body", "figure img")
        )
        assert (np.mean([int(n) for n in re.findall(r"\d+", ground)[:3]]) < 60) == dark
        assert card == "rgb(255, 255, 255)"


def test_a_narrow_page_does_not_scroll_sideways(browser: Any, folder: Path) -> None:
    for page in opened(browser, folder):
        page.set_viewport_size({"width": 480, "height": 800})
        assert page.evaluate("document.documentElement.scrollWidth") <= 480


def test_print_is_a4_light_and_has_the_sections(browser: Any, folder: Path) -> None:
    for page in opened(browser, folder, color_scheme="dark"):
        pdf = page.pdf(prefer_css_page_size=True)
        page.emulate_media(media="print")
        shown = page.locator("body").inner_text()
        ground = page.locator("body").evaluate("node => getComputedStyle(node).backgroundColor")
        assert page.locator("#explorer .static").is_visible()
        assert not page.locator("#explorer .rows").is_visible()
        assert not page.locator("#tables").is_visible()
    assert ground == "rgb(255, 255, 255)"
    assert len(re.findall(rb"/Type\s*/Page\b", pdf)) > 2
    found = re.findall(rb"/MediaBox\s*\[([^\]]+)\]", pdf)
    boxes = {tuple(map(float, box.split())) for box in found}
    assert boxes
    assert all(box[2:] == pytest.approx((595, 842), abs=1.5) for box in boxes)
    for heading in ("Verdict", "Question by question", "Figure 1.", "Methods", "Sources of the"):
        assert heading in shown
    assert "The first 12 of 60 questions" in shown
    streams = [part for part in re.findall(rb"stream\r?\n(.*?)endstream", pdf, re.DOTALL)]
    assert sum(b" Tj" in inflated(part) or b"TJ" in inflated(part) for part in streams) > 2


def inflated(part: bytes) -> bytes:
    """A stream of a PDF, where it is deflated."""
    return zlib.decompressobj().decompress(part) if part[:1] == b"x" else b""


def test_the_methods_paragraph_is_copied(browser: Any, folder: Path) -> None:
    for page in opened(browser, folder, permissions=["clipboard-read", "clipboard-write"]):
        page.locator("#methods > button.copy").click()
        page.wait_for_timeout(100)
        copied = page.evaluate("navigator.clipboard.readText()")
        assert copied.endswith(f"run {RUN['run_id']}.")
        assert "\n" not in copied.strip()


FILTERED = """() => new Promise(done => {
    const count = document.querySelector("#explorer .count");
    const box = document.querySelector("[name=text]"), began = performance.now();
    const watcher = new MutationObserver(() => done(performance.now() - began));
    watcher.observe(count, { childList: true, characterData: true, subtree: true });
    box.value = "castle 3";
    box.dispatchEvent(new Event("input", { bubbles: true }));
})"""


def test_five_thousand_questions_of_five_models(
    browser: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    items = many_items(5000, 5)
    write(tmp_path, items)
    for page in opened(browser, tmp_path):
        assert count(page) == 5000
        took = page.evaluate(FILTERED)
        hits = items["answer"].str.contains("castle 3")
        assert count(page) == items.loc[hits, "prompt_id"].nunique()
        assert page.locator("#explorer article").count() <= 75
    size = (tmp_path / "report.html").stat().st_size / 1e6
    with capsys.disabled():
        print(f"\n[5,000 questions of 5 models: filtered in {took:.0f} ms, {size:.1f} MB]")
