"""Feature pages of a study: its picked features in the parent and in every child."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pandas as pd

from interp.activations import Activations, Site, capture
from interp.checkpoints import LoadedModel
from interp.features.dictionary import Dictionary
from interp.features.portraits import Portrait, portrait, token_texts
from interp.figures.feature_pages import write_feature_pages
from interp.figures.feature_table import Source
from interp.prompts import PromptSet, column_of

SHOWN = (
    "site", "latent", "position", "direction", "auroc", "auroc_lo", "auroc_hi",
    "frequency_unknown", "frequency_known", "frequency_generic", "replicates", "dev_passes",
    "passes",
)  # fmt: skip


def publish_pages(
    folder: Path,
    features: pd.DataFrame,
    models: Mapping[str, LoadedModel],
    dictionaries: Mapping[int, Dictionary],
    prompts: PromptSet,
    kinds: str | None = None,
) -> Path:
    """Writes a page for each feature, and their index.

    Args:
        folder: of the pages.
        features: rows of a `Features` stage's table, one a feature.
        models: the parent first; all are read through the parent's dictionaries.
        dictionaries: the parent's, by layer.
        prompts: examples are taken from.
        kinds: column of the prompts that groups are named after, beside answerable or not.

    Returns:
        The index.

    Raises:
        InputError: no features, or prompts that lack the column.
    """
    table = features.assign(site=[str(Site("resid_post", n)) for n in features["layer"]])
    once = table.drop_duplicates(["site", "latent"])
    sites = [Site("resid_post", layer) for layer in sorted(set(features["layer"]))]
    groups = _groups(prompts, kinds)
    acts = {name: capture(loaded, prompts, sites, ["all"]) for name, loaded in models.items()}
    tokens = {name: token_texts(acts[name], loaded) for name, loaded in models.items()}
    portraits: dict[tuple[str, int], dict[str, Portrait]] = {}
    for row in once.itertuples():
        dictionary = dictionaries[row.layer]
        codes = {
            name: _codes(dictionary, part, Site("resid_post", row.layer), row.latent)
            for name, part in acts.items()
        }
        highest = max(float(code_N.max(initial=0)) for code_N in codes.values())
        portraits[row.site, row.latent] = {
            name: portrait(
                dictionary,
                row.latent,
                codes[name],
                acts[name].offsets,
                tokens[name],
                prompts.frame["prompt_id"].tolist(),
                groups=groups,
                loaded=loaded,
                ceiling=highest or None,
            )
            for name, loaded in models.items()
        }
    sources = {str(site): Source(_source(dictionaries[site.layer])) for site in sites}
    return write_feature_pages(folder, once[list(SHOWN)], portraits, sources)


def _groups(prompts: PromptSet, kinds: str | None) -> list[str]:
    names = ["unanswerable" if label else "answerable" for label in prompts.labels]
    if kinds is None:
        return names
    return [f"{kind}, {name}" for kind, name in zip(column_of(prompts, kinds), names, strict=True)]


def _codes(dictionary: Dictionary, acts: Activations, site: Site, latent: int) -> np.ndarray:
    return dictionary.encode(acts.read(site, "all"))[:, latent].cpu().numpy()


def _source(dictionary: Dictionary) -> str:
    """Without the folder of this machine."""
    about = dictionary.about
    return (
        f"{about.get('architecture')} of {about.get('model_name')}, {dictionary.n_latents} latents"
    )
