"""Trained dictionaries where people find them: a folder each, and a table of them all."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from pathlib import Path

import pandas as pd

COLUMNS = {
    "member": "model",
    "layer": "layer",
    "fvu": "FVU",
    "l0": "L0",
    "dead": "dead",
    "ce_recovered": "CE recovered",
}


def publish_dictionaries(
    folders: Mapping[str, Path], dictionaries: pd.DataFrame, folder: Path, about: str
) -> None:
    """Copies dictionaries to `folder/MODEL/SITE`, with a README.

    Args:
        folders: of each model's dictionaries.
        dictionaries: the rows of a study's table that are about these.
        folder: what stood there is replaced.
        about: a sentence on what they were trained on.
    """
    partial = folder.with_name(f".{folder.name}.partial")
    shutil.rmtree(partial, ignore_errors=True)
    for member, source in folders.items():
        shutil.copytree(source, partial / member, ignore=shutil.ignore_patterns(".*"))
    (partial / "README.md").write_text(_readme(dictionaries, folder.name, about), encoding="utf-8")
    shutil.rmtree(folder, ignore_errors=True)
    partial.rename(folder)


def _readme(dictionaries: pd.DataFrame, name: str, about: str) -> str:
    head = "| " + " | ".join(COLUMNS.values()) + " |\n|" + " --- |" * len(COLUMNS)
    rows = [
        f"| {row.member} | {row.layer} | {row.fvu:.4f} | {row.l0:.1f} | {row.dead:.0%} | "
        f"{row.ce_recovered:.3f} |"
        for row in dictionaries.itertuples()
    ]
    return "\n".join(
        [
            f"# Dictionaries of {name}",
            "",
            about,
            "",
            "Each folder `MODEL/SITE` is in SAELens' inference format (`SAE.load_from_disk`, or",
            "`interp.features.load_dictionary`, which also checks that it does to a few kept rows",
            "what it did when it was trained), with all that is known of it in `model_card.json`.",
            "FVU about the mean, L0, and the cross-entropy recovered (zero ablation is 0) are on",
            "prompts that were held back; dead latents fire on none of the card's `dead_rows`.",
            "",
            head,
            *rows,
            "",
        ]
    )
