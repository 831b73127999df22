"""Feature pages: what a latent does in parent and child, a file each, and an index of them.

The files ask for nothing when they are opened, and everything in them that comes from a model, a
prompt or a table is escaped. Pages of features run no script at all, the index one that sorts and
filters its table.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from interp.features.portraits import Example, Portrait
from interp.figures import feature_text as text
from interp.figures.feature_index import index_of
from interp.figures.feature_table import Feature, Source, features_of
from interp.figures.histogram import HEIGHT, LEFT, RIGHT, WIDTH, Histogram, histogram
from interp.figures.report import _environment

_FAINTEST = 0.15
"""Background strength of a token that barely fires, so that it differs from a silent one."""
_SCALE = (0.1, 0.4, 0.7, 1.0)  # shares of the maximum in the key to the colours


def write_feature_pages(
    folder: Path,
    features: pd.DataFrame,
    portraits: Mapping[tuple[str, int], Mapping[str, Portrait]],
    sources: Mapping[str, Source],
) -> Path:
    """Writes `index.html` and a page for each feature, `LAYER-LATENT.html`.

    Args:
        folder: it is created if missing; other files in it are left alone.
        features: a row a feature: latent, site (or its name), and any columns of evidence, which
            are shown in their order, such as those of `interp.features.search`.
        portraits: by site and latent ("resid_post.3", 117), those of each model by its name,
            parent first. Features that the table does not have are left out.
        sources: where the dictionary of each site is from.

    Returns:
        The index.

    Raises:
        InputError: no features, a column is missing, a feature stands there twice or without a
            portrait, a portrait is of another latent, a site has no source, or two features would
            share a file.
    """
    shown = features_of(features, portraits, sources)
    environment = _environment()
    environment.filters |= {
        "pieces": text.pieces,
        "plain": text.plain,
        "digits": text.digits,
        "percent": text.percent,
    }
    folder.mkdir(parents=True, exist_ok=True)
    page = environment.get_template("feature.html.j2")
    neighbours = [None, *shown, None]
    for before, feature, after in zip(neighbours, shown, neighbours[2:], strict=False):
        _write(folder / feature.file, page.render(_page(feature, before, after)))
    index = environment.get_template("feature_index.html.j2").render(index_of(shown))
    return _write(folder / "index.html", index)


def _write(path: Path, html: str) -> Path:
    partial = path.with_name(f".{path.name}.partial")
    partial.write_text(html, encoding="utf-8", newline="\n")
    return partial.replace(path)


def _page(feature: Feature, before: Feature | None, after: Feature | None) -> dict[str, Any]:
    """What the template of a feature's page is given."""
    drawn = feature.portraits
    names = list(dict.fromkeys(g.name for one in drawn.values() for g in one.groups))
    by_model = {model: {g.name: g for g in one.groups} for model, one in drawn.items()}
    return {
        "feature": feature,
        "link": feature.source.link(feature.latent),
        "before": before,
        "after": after,
        "evidence": [
            (column.replace("_", " "), text.entry(v)) for column, v in feature.evidence.items()
        ],
        "groups": {name: [by_model[model].get(name) for model in drawn] for name in names},
        "overall": [one.overall for one in drawn.values()],
        "histograms": _histograms(feature),
        "frame": {"width": WIDTH, "height": HEIGHT, "left": LEFT, "right": WIDTH - RIGHT},
        "any_effects": any(one.effects for one in drawn.values()),
        "scale": [(share * feature.maximum, _strength(share)) for share in _SCALE],
        "examples": {
            model: [_example(example, feature, model) for example in one.examples]
            for model, one in drawn.items()
        },
    }


def _histograms(feature: Feature) -> dict[str, Histogram | None]:
    """On shared axes; None where the latent never fires."""
    drawn = feature.portraits
    right = max(one.edges[-1] for one in drawn.values())
    tallest = max(max(one.counts) for one in drawn.values())
    return {
        model: histogram(one.edges, one.counts, right, tallest) if any(one.counts) else None
        for model, one in drawn.items()
    }


def _strength(share: float) -> float:
    """Of a token's background, by its value as a share of the feature's maximum."""
    return _FAINTEST + (1 - _FAINTEST) * share if share > 0 else 0.0


def _example(example: Example, feature: Feature, model: str) -> dict[str, Any]:
    """An example, the strength of each token's background, and its peak in the other models."""
    tokens = zip(example.tokens, example.values, strict=True)
    return {
        "example": example,
        "tokens": [(token, x, _strength(x / feature.maximum)) for token, x in tokens],
        "elsewhere": {
            other: one.peaks[example.prompt_id]
            for other, one in feature.portraits.items()
            if other != model and example.prompt_id in one.peaks
        },
    }
