"""Activations in memory: a few prompts of known lengths, what was read at each site given."""

from __future__ import annotations

import numpy as np

from interp.activations import Activations, Site

POST, MLP = Site("resid_post", 2), Site("mlp_out", 0)


def captured(acts, lengths, manifest=None):
    """What was captured at "all" and at "last", each prompt's last token.

    Args:
        acts: [tokens, d] float32 by site, prompt after prompt.
        lengths: tokens of each prompt.
        manifest: as of a store.
    """
    lengths = np.asarray(lengths)
    stop = lengths.cumsum()
    shard = {"lengths": lengths, "tokens": np.arange(lengths.sum())}
    shard["spans"] = np.stack([np.zeros((len(lengths), 2)), np.stack([lengths - 1, lengths], 1)])
    for site, acts_ND in acts.items():
        shard |= {f"{site}.all": acts_ND, str(site): acts_ND[stop - 1][None]}
    return Activations(tuple(acts), ("all", "last"), [shard], "float32", manifest or {})
