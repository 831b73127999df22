"""What a latent has to beat: a probe on all of the site, and a look-up of the tokens."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float
from torch import Tensor

from interp.errors import InputError
from interp.features.codes import SparseCodes
from interp.features.rows import Labels, labels_of
from interp.probes import LogisticProbe
from interp.probes.linear import DEFAULT_C


def dense_probe(
    acts_ND: Float[Tensor, "n d"],
    labels: Labels,
    test_acts_MD: Float[Tensor, "m _"],
    *,
    c: float = DEFAULT_C,
) -> Float[np.ndarray, " m"]:
    """Scores of test rows by a logistic probe fitted on dev rows: what all of the site can tell.

    Given `codes.dense(latents)` in place of activations it is the probe on those k latents.

    Args:
        acts_ND: the rows that latents are picked on.
        labels: of those rows, as in `search`.
        test_acts_MD: the rows that are reported.
        c: inverse strength of the L2 penalty on standardised columns.

    Returns:
        Log odds of the label, a baseline of `confirm`.

    Raises:
        InputError: not one label a row, only one class, or activations the probe refuses.
    """
    label_N = labels_of(acts_ND, labels)
    return LogisticProbe(C=c).fit(acts_ND, label_N).decision_function(test_acts_MD)


def token_lookup(
    tokens: SparseCodes, labels: Labels, test_tokens: SparseCodes, *, smoothing: float = 1.0
) -> Float[np.ndarray, " m"]:
    """Scores of test rows by their tokens alone: what "it fires on the word" can tell.

    Each token counts by the log of how much likelier it is in dev rows labelled True (multinomial
    naive Bayes, class sizes left out; for one token a row, a look-up table).

    Args:
        tokens: counts in the rows that latents are picked on, from `SparseCodes.from_tokens`.
        labels: of those rows, as in `search`.
        test_tokens: counts in the rows that are reported.
        smoothing: added to the count of each token.

    Returns:
        A baseline of `confirm`.

    Raises:
        InputError: labels that do not fit, another vocabulary, or no smoothing.
    """
    label_N = labels_of(tokens, labels)
    if tokens.n_latents != test_tokens.n_latents or not smoothing > 0:
        raise InputError(
            f"token lookup: vocabularies of {tokens.n_latents} and {test_tokens.n_latents} tokens, "
            f"smoothing {smoothing}; expected one vocabulary, and smoothing above 0"
        )
    log_share = []
    for class_N in (label_N, ~label_N):
        count_V = class_N @ tokens.matrix + smoothing
        log_share.append(np.log(count_V / count_V.sum()))
    return test_tokens.matrix @ (log_share[0] - log_share[1])
