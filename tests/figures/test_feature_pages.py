"""Pages of features are safe, complete, and lead to each other; the index sorts and filters."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from interp.errors import InputError
from interp.features.firing import GroupFiring
from interp.features.logit_effects import LogitEffects, TokenEffect
from interp.features.portraits import Example, Portrait
from interp.figures.feature_pages import write_feature_pages
from interp.figures.feature_table import Source

EVIL = "<script>alert(1)</script>"
QUOTE = "\"'><img src=x onerror=alert(1)>"
SITE = "resid_post.3"
SOURCES = {
    SITE: Source("some/dictionary"),
    "mlp_out.12": Source("other", "gemma-2-2b/12-gemmascope mlp"),
}
LATENTS = {(SITE, 5): 8.0, (SITE, 117): 4.0, ("mlp_out.12", 5): 2.0}


class Page(HTMLParser):
    """Tags with their attributes, and the text, of a page; spans of tokens with their texts."""

    def __init__(self, path: Path) -> None:
        super().__init__(convert_charrefs=True)
        self.tags: list[tuple[str, dict[str, str]]] = []
        self.text = ""
        self.tokens: list[tuple[dict[str, str], str]] = []
        self._depth = 0
        self.feed(path.read_text(encoding="utf-8"))

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = {name: value or "" for name, value in attrs}
        self.tags.append((tag, given))
        self.text += " " if tag in {"td", "th", "dt", "dd"} else ""
        if tag == "span" and (self._depth or "title" in given):
            if not self._depth:
                self.tokens.append((given, ""))
            self._depth += 1

    def handle_endtag(self, tag: str) -> None:
        self._depth -= tag == "span" and self._depth > 0

    def handle_data(self, data: str) -> None:
        self.text += data
        if self._depth:
            given, text = self.tokens[-1]
            self.tokens[-1] = given, text + data

    def attribute(self, *names: str) -> list[str]:
        return [value for _, given in self.tags for name, value in given.items() if name in names]


def drawn(
    latent: int,
    peak: float,
    *,
    tokens: tuple[str, ...] = (" who", " is", EVIL, "\n"),
    prompt_id: str = "one",
    group: str = "city, unanswerable",
) -> Portrait:
    """A portrait of a latent that fires on two tokens of one prompt, or on none for a peak of 0."""
    values = (0.0, peak / 2, peak, 0.0)
    firing = GroupFiring(group, 1, 4, float(peak > 0), 0.5 * (peak > 0), peak * 3 / 8, peak)
    effects = LogitEffects((TokenEffect(7, " I", 1.5),), (TokenEffect(9, EVIL, -0.25),))
    example = Example(prompt_id, group, tokens, values, 2, 3, 9)
    return Portrait(
        latent=latent,
        overall=GroupFiring("all", *list(vars(firing).values())[1:]),
        examples=(example,) if peak else (),
        edges=(0.0, peak / 2 or 0.5, peak or 1.0),
        counts=(0, 2) if peak else (0, 0),
        groups=(firing,),
        peaks={prompt_id: peak, "two": 0.125},
        effects=effects,
    )


def table(**columns: Any) -> pd.DataFrame:
    frame = pd.DataFrame(list(LATENTS), columns=["site", "latent"])
    return frame.assign(separation=[0.61234, float("nan"), 0.7], direction="unknown", **columns)


def portraits(**options: Any) -> dict[tuple[str, int], dict[str, Portrait]]:
    return {
        key: {"parent": drawn(key[1], peak, **options), "child": drawn(key[1], peak / 4, **options)}
        for key, peak in LATENTS.items()
    }


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    write_feature_pages(tmp_path / "pages", table(), portraits(), SOURCES)
    return tmp_path / "pages"


FILES = ("3-5.html", "3-117.html", "12-5.html")


def test_there_is_one_page_a_feature_and_an_index(tmp_path: Path) -> None:
    index = write_feature_pages(tmp_path / "new" / "pages", table(), portraits(), SOURCES)
    assert index == tmp_path / "new" / "pages" / "index.html"
    assert {path.name for path in index.parent.iterdir()} == {"index.html", *FILES}


def test_links_lead_to_files_and_only_the_published_to_neuronpedia(folder: Path) -> None:
    for name in ("index.html", *FILES):
        links = [given["href"] for tag, given in Page(folder / name).tags if tag == "a"]
        inner = {link for link in links if "//" not in link}
        assert {folder / link for link in inner} <= set(folder.iterdir())
        outer = [link for link in links if "//" in link]
        published = "https://www.neuronpedia.org/gemma-2-2b/12-gemmascope%20mlp/5"
        assert outer == ([published] if name == "12-5.html" else [])
        if name == "index.html":
            assert inner == set(FILES)
        else:
            place = FILES.index(name)
            beside = {FILES[i] for i in (place - 1, place + 1) if 0 <= i < len(FILES)}
            assert inner == {"index.html"} | beside


def test_opening_a_page_asks_for_nothing(folder: Path) -> None:
    for name in ("index.html", *FILES):
        page = Page(folder / name)
        names = {tag for tag, _ in page.tags}
        assert not names & {"link", "iframe", "object", "embed", "base", "img", "form", "image"}
        assert not page.attribute("src", "srcset", "action", "data", "xlink:href", "background")
        assert {tag for tag, given in page.tags if "href" in given} <= {"a"}
        html = (folder / name).read_text(encoding="utf-8")
        assert "url(" not in html
        assert "@import" not in html
        policy = next(given["content"] for _, given in page.tags if "http-equiv" in given)
        assert policy.startswith("default-src 'none'")
        assert [tag for tag, _ in page.tags].count("script") == (name == "index.html")
        assert ("script-src" in policy) == (name == "index.html")


@pytest.mark.parametrize("evil", [EVIL, QUOTE])
def test_whatever_is_written_stays_text(tmp_path: Path, evil: str) -> None:
    shown = {
        key: {
            evil: drawn(key[1], 2.0, tokens=("a", evil, evil, "b"), prompt_id=evil, group=evil),
            "child": drawn(key[1], 0.0, prompt_id=evil, group=evil),
        }
        for key in LATENTS
    }
    sources = {site: Source(evil, evil) for site in SOURCES}
    plain = {key: {"parent": drawn(key[1], 2.0), "child": drawn(key[1], 0.0)} for key in LATENTS}
    features = table(**{evil: evil})
    write_feature_pages(tmp_path / "evil", features, shown, sources)
    write_feature_pages(tmp_path / "plain", table(word="w"), plain, SOURCES)
    for name in ("index.html", *FILES):
        page, harmless = Page(tmp_path / "evil" / name), Page(tmp_path / "plain" / name)
        assert {tag for tag, _ in page.tags} == {tag for tag, _ in harmless.tags}
        assert {n for _, given in page.tags for n in given} == {
            n for _, given in harmless.tags for n in given
        }
        assert page.text.count(evil) >= 3


def test_tokens_show_their_values_as_titles_and_strengths(folder: Path) -> None:
    tokens = Page(folder / "3-5.html").tokens
    assert [text for _, text in tokens] == [" who", " is", EVIL, "↵"] * 2
    titles = [given["title"] for given, _ in tokens]
    assert titles == ["0", "4.00", "8.00", "0", "0", "1.00", "2.00", "0"]
    strengths = [float(given.get("style", "--v:0").removeprefix("--v:")) for given, _ in tokens]
    # By the maximum over both models: the child's peak is a quarter of the parent's.
    expected = [0 if x == 0 else 0.15 + 0.85 * x / 8 for x in (0, 4, 8, 0, 0, 1, 2, 0)]
    assert strengths == pytest.approx(expected, abs=0.006)
    framed = [text for given, text in tokens if "peak" in given.get("class", "")]
    assert framed == [EVIL, EVIL]


def test_every_number_of_a_portrait_is_shown(folder: Path) -> None:
    text = " ".join(Page(folder / "3-5.html").text.split())
    for part in (
        "separation 0.612",
        "direction unknown",
        "city, unanswerable 1 100% 50.0% 3.00 8.00 100% 50.0% 0.750 2.00",
        "4.00 to 8.00: 2 tokens",
        "1.50",
        "−0.250",
        "8.00 · child 2.00 · one · city, unanswerable · tokens 4 to 7 of 9",
        "2.00 · parent 8.00 · one",
        "some/dictionary",
    ):
        assert part in text
    assert "separation –" in " ".join(Page(folder / "3-117.html").text.split())


def test_a_latent_that_never_fires(tmp_path: Path) -> None:
    shown = portraits() | {(SITE, 5): {"parent": drawn(5, 0.0), "child": drawn(5, 0.0)}}
    write_feature_pages(tmp_path, table(), shown, SOURCES)
    page = Page(tmp_path / "3-5.html")
    assert page.text.count("Never fires on these 4 tokens.") == 2
    assert "svg" not in {tag for tag, _ in page.tags}
    assert page.tokens == []


def test_models_that_were_not_asked_the_same(tmp_path: Path) -> None:
    one = drawn(5, 8.0)
    other = drawn(5, 2.0, prompt_id="elsewhere", group="other")
    bare = Portrait(**(vars(other) | {"effects": None}))
    shown = portraits() | {(SITE, 5): {"parent": one, "child": bare}}
    write_feature_pages(tmp_path, table(), shown, SOURCES)
    text = " ".join(Page(tmp_path / "3-5.html").text.split())
    assert "city, unanswerable 1 100% 50.0% 3.00 8.00 – – – –" in text
    assert "other 1 – – – – 100% 50.0% 0.750 2.00" in text
    assert "8.00 · one" in text
    assert "Not measured." in text


def test_the_same_features_give_the_same_files(folder: Path, tmp_path: Path) -> None:
    write_feature_pages(tmp_path / "again", table(), portraits(), SOURCES)
    for name in ("index.html", *FILES):
        assert (tmp_path / "again" / name).read_bytes() == (folder / name).read_bytes()


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    """A headless Chromium; the tests that need it are skipped where there is none."""
    path = shutil.which("chromium") or shutil.which("google-chrome")
    if path is None:
        pytest.skip("no Chromium on this machine")
    sync_api = pytest.importorskip("playwright.sync_api")
    with sync_api.sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=path, args=["--no-sandbox"])
        yield chromium
        chromium.close()


def test_a_click_sorts_and_the_box_filters(browser: Any, folder: Path) -> None:
    page = browser.new_page()
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    page.goto((folder / "index.html").as_uri())

    def order() -> list[str]:
        links = page.locator("#features tbody tr:visible a")
        return [links.nth(i).get_attribute("href") for i in range(links.count())]

    def click(name: str) -> list[str]:
        page.get_by_role("button", name=name, exact=True).first.click()
        return order()

    first, second, third = FILES
    assert order() == [first, second, third]
    assert click("latent") == [second, first, third]
    assert click("latent") == [first, third, second]
    # What has no number stays last, both ways.
    assert click("separation") == [third, first, second]
    assert click("separation") == [first, third, second]
    assert click("max.") == [first, second, third]
    assert click("site") == [first, second, third]
    assert click("site") == [third, first, second]
    page.fill("#filter", "MLP_out")
    assert order() == [third]
    assert page.inner_text("#count") == "1 of 3"
    page.fill("#filter", "")
    assert order() == [third, first, second]
    assert asked == [(folder / "index.html").as_uri()]
    page.close()


@pytest.mark.parametrize("width", [480, 1280])
def test_pages_run_nothing_and_fit_the_screen(browser: Any, tmp_path: Path, width: int) -> None:
    tokens = (" who", QUOTE, EVIL, "\n" + "unbroken" * 40)
    write_feature_pages(tmp_path, table(), portraits(tokens=tokens, group=QUOTE), SOURCES)
    page = browser.new_page(viewport={"width": width, "height": 800})
    seen: list[str] = []
    page.on("dialog", lambda dialog: (seen.append("dialog"), dialog.dismiss()))
    page.on("console", lambda message: seen.append(message.text))
    page.goto((tmp_path / "3-5.html").as_uri())
    assert page.evaluate("document.documentElement.scrollWidth") == width
    tops = [box["y"] for box in (h.bounding_box() for h in page.locator("#examples h3").all())]
    assert (tops[0] == tops[1]) == (width == 1280)  # side by side, or one after the other
    assert seen == []
    page.close()


def without(column: str) -> pd.DataFrame:
    return table().drop(columns=column)


WRONG: dict[str, tuple[dict[str, Any], str]] = {
    "no latent": ({"features": without("latent")}, "have no column 'latent'"),
    "no site": ({"features": without("site")}, "have no column 'site'"),
    "no rows": ({"features": table().head(0)}, "no features; expected at least one row"),
    "no such site": ({"features": table().assign(site="layer 3")}, "site 'layer 3'"),
    "no portrait": ({"portraits": {(SITE, 5): portraits()[SITE, 5]}}, f"latent 117 at {SITE}"),
    "no model": ({"portraits": {(SITE, 5): {}}}, f"no portrait of latent 5 at {SITE}"),
    "another latent": (
        {"portraits": {(SITE, 5): {"parent": drawn(6, 1.0)}}},
        f"the portrait of latent 5 at {SITE} in parent is of latent 6",
    ),
    "no source": ({"sources": {SITE: Source("x")}}, "the dictionary of mlp_out.12 is from"),
    "twice": (
        {"features": pd.concat([table(), table()])},
        r"latent 5 at resid_post.3 and latent 5 at resid_post.3 share the file 3-5\.html",
    ),
    "two kinds of one layer": (
        {
            "features": pd.DataFrame({"site": [SITE, "attn_out.3"], "latent": 5}),
            "portraits": portraits() | {("attn_out.3", 5): {"parent": drawn(5, 1.0)}},
            "sources": SOURCES | {"attn_out.3": Source("x")},
        },
        r"latent 5 at attn_out.3 and latent 5 at resid_post.3 share the file 3-5\.html",
    ),
}


@pytest.mark.parametrize("case", WRONG)
def test_bad_input_is_named_and_nothing_is_written(tmp_path: Path, case: str) -> None:
    options, message = WRONG[case]
    given = {"features": table(), "portraits": portraits(), "sources": SOURCES} | options
    with pytest.raises(InputError, match=message):
        write_feature_pages(tmp_path / "pages", **given)
    assert not (tmp_path / "pages").exists()
