"""What the embedded lineage was asked, for replies that name a question by its id alone."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pandas as pd


def asked_of(run: Mapping[str, Any], items: pd.DataFrame) -> dict[tuple[int, str], str]:
    """The questions of a study of the embedded lineage, by seed and prompt_id.

    They are made from the seed and the size of the world, as `interp.stages.behave.Ask` makes
    them. Empty for replies of other models, whose table holds their questions.

    Args:
        run: config as of a study.
        items: a row a reply.
    """
    config = run["config"]
    if "question" in items or not {"lineage", "world"} <= set(config) or "mode" not in items:
        return {}
    from interp.organism import World, behavior_prompts
    from interp.organism.sizes import WorldSize
    from interp.prompts.words import texts_of

    size = WorldSize(**config["world"])
    found: dict[tuple[int, str], str] = {}
    for seed in items["seed"].unique():
        prompts = behavior_prompts(World(int(seed), size), "test")
        ids = prompts.frame["prompt_id"]
        found |= {
            (int(seed), name): text for name, text in zip(ids, texts_of(prompts), strict=True)
        }
    return found
