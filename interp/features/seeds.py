"""Dictionaries of several seeds: which latents of one the others hold too."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
from jaxtyping import Float
from torch import Tensor

from interp.errors import InputError
from interp.features.matching import match_decoders


def stability(decoders: Sequence[Float[Tensor, "_ d"]], *, cut: float = 0.7) -> pd.DataFrame:
    """Whether dictionaries of other seeds hold the same latents, by decoder direction.

    Dictionaries of one model and one set of rows share only some of their latents (Paulo & Belrose
    2025, arXiv 2501.16615); a finding about one that no other seed has is about the seed.

    Args:
        decoders: the first's latents are looked for in the others, [m, d] each, at least two.
        cut: cosine from which two latents, each the other's nearest, count as one.

    Returns:
        A row a latent of the first: latent; match_1, cosine_1, mutual_1, match_2, ...: its nearest
        in each other dictionary (numbered as in the list), their cosine, and whether it is that
        one's nearest too; mean_cosine; replicates: others that hold it.

    Raises:
        InputError: fewer than two decoders, or what `match_decoders` refuses.
    """
    if len(decoders) < 2:
        raise InputError(f"stability: {len(decoders)} decoders; expected at least 2 seeds")
    first, *others = decoders
    found = [match_decoders(first, other) for other in others]
    columns: dict[str, np.ndarray] = {"latent": np.arange(len(first))}
    for seed, match in enumerate(found, start=1):
        columns |= {f"match_{seed}": match.index_M, f"cosine_{seed}": match.cosine_M}
        columns[f"mutual_{seed}"] = match.mutual_M
    columns["mean_cosine"] = np.mean([match.cosine_M for match in found], axis=0)
    columns["replicates"] = np.sum([m.mutual_M & (m.cosine_M >= cut) for m in found], axis=0)
    return pd.DataFrame(columns)
