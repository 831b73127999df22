"""Activation-Steered Compression: a direction along which chains of thought are shorter.

Azizi et al., arXiv 2507.04742. The direction is v = mean of h(q + concise)[-1] - h(q + verbose)[-1]
at one site, and `h + gamma v` at every decoding step moves towards concise, as in the paper; their
public code subtracts it, and reads one block above the one it writes to. Here reading and writing
share one `Site`, so that `resid_post` of a layer is both. `kl_bounded` sets gamma.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from interp.activations import Site, capture
from interp.behavior.scores.scoring import EditBatch
from interp.checkpoints import LoadedModel
from interp.directions import Direction
from interp.errors import InputError
from interp.interventions.edits import Add
from interp.interventions.hooks import intervene
from interp.interventions.kl_bound import last_mask
from interp.prompts import Encoded, PromptSet


def concise_direction(
    loaded: LoadedModel,
    prompts: PromptSet,
    concise: Sequence[str],
    verbose: Sequence[str],
    *,
    layer: int,
    token_budget: int | None = None,
) -> Direction:
    """From the last token of verbose chains to that of concise ones, at resid_post of a layer.

    Args:
        loaded: the model.
        prompts: the questions, 50 to 100 in the paper.
        concise: a short chain for each; the paper's are written by a larger model.
        verbose: a long one for each; the paper's are the model's own.
        layer: of the block whose output is read, from 0; the paper's are 20 of 28 and 32, 57 of 64.
        token_budget: as for `capture`.

    Returns:
        The direction; `norm * vector_D` is the paper's v.

    Raises:
        InputError: the chains are the same in the mean, or as `capture`.
    """
    site = Site("resid_post", layer)
    mean_D = {
        name: capture(
            loaded, prompts, [site], ["reply_last"], replies=list(chains), token_budget=token_budget
        )
        .read(site, "reply_last")
        .double()
        .mean(0)
        for name, chains in (("concise", concise), ("verbose", verbose))
    }
    v_D = mean_D["concise"] - mean_D["verbose"]
    norm = float(v_D.norm())
    if norm == 0:
        raise InputError(f"concise direction at {site}: both kinds of chains have the same mean")
    name = loaded.checkpoint.name
    return Direction((v_D / norm).float(), norm, site, "reply_last", name, "concise_minus_verbose")


def decoding_edits(loaded: LoadedModel, direction: Direction, coefficient: float) -> EditBatch:
    """What adds coefficient times v at the prompt's last and every generated token, for `replies`.

    Args:
        loaded: the model that is steered.
        direction: v is its `norm * vector_D`.
        coefficient: gamma, as `kl_bounded` gives it; above 0 is towards concise.
    """

    def edits(encoded: Encoded, rows: list[int]) -> Any:
        add = Add(direction.site, direction.vector_D, coefficient * direction.norm)
        return intervene(loaded, [add], last_mask(encoded), generated=True)

    return edits
