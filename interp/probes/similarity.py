"""How alike two sets of activations are, whatever their bases: debiased CKA."""

from __future__ import annotations

from jaxtyping import Float
from torch import Tensor

from interp.errors import InputError


def debiased_cka(a_ND: Float[Tensor, "n d"], b_NE: Float[Tensor, "other_n e"]) -> float:
    """Linear CKA with HSIC_1 in the place of HSIC, so that chance agreement does not count.

    CKA = HSIC_1(K, L) / sqrt(HSIC_1(K, K) HSIC_1(L, L)) of the Gram matrices K = A A' and L = B B'.
    HSIC_1 is unbiased (Song et al. 2012, JMLR 13:1393; in CKA: Nguyen et al. 2021, arXiv
    2010.15327; CKA: Kornblith et al. 2019, arXiv 1905.00414). With fewer rows than columns the
    usual CKA of independent activations is near 1, this one near 0; the ratio of unbiased estimates
    keeps a bias of order 1/n. Rows must be independent: of an entity or minimal pair give one row,
    since what its rows share counts as agreement.

    No n x n matrix is built: cost is n d e, memory d e.

    Args:
        a_ND: one model's, layer's or prompt format's activations.
        b_NE: the other's, of the same rows; the width may differ.

    Returns:
        1 for the same up to rotation, shift and scale; about 0, of either sign, for independent
        ones.

    Raises:
        InputError: not two matrices of the same rows, fewer than 4 rows, a value that is not
            finite, or rows that are all alike.
    """
    if a_ND.ndim != 2 or b_NE.ndim != 2 or len(a_ND) != len(b_NE):
        raise InputError(
            f"CKA: activations of shapes {tuple(a_ND.shape)} and {tuple(b_NE.shape)}; expected "
            "(n, d) and (n, e) of the same rows."
        )
    if len(a_ND) < 4:
        raise InputError(f"CKA: {len(a_ND)} rows; the unbiased estimate needs at least 4.")
    a, b = _scaled("first", a_ND), _scaled("second", b_NE)
    return _hsic(a, b) / (_hsic(a, a) * _hsic(b, b)) ** 0.5


def _scaled(name: str, acts_ND: Tensor) -> Tensor:
    """Centred, in float64 and of mean square 1, which changes nothing but the rounding."""
    acts = acts_ND.detach().cpu().double()
    finite_N = acts.isfinite().all(1)
    if not finite_N.all():
        raise InputError(
            f"CKA: NaN or Inf in row {int((~finite_N).int().argmax())} of the {name} activations; "
            "capture them again in a wider dtype."
        )
    centred = acts - acts.mean(0)
    size = centred.square().mean().sqrt()
    if not size > 0:
        raise InputError(f"CKA: all rows of the {name} activations are alike.")
    return centred / size


def _hsic(a_ND: Tensor, b_NE: Tensor) -> float:
    """HSIC_1 times n (n - 3); K~ and L~ are the Gram matrices K and L without their diagonals."""
    n = len(a_ND)
    k_N, l_N = a_ND.square().sum(1), b_NE.square().sum(1)  # the diagonals
    product = float((a_ND.T @ b_NE).square().sum() - k_N @ l_N)  # tr K~ L~
    # A and B are centred, so that K 1 = L 1 = 0 and K~ 1 = -diag K.
    sums = float(k_N.sum() * l_N.sum()) / ((n - 1) * (n - 2))
    return product + sums - 2 * float(k_N @ l_N) / (n - 2)
