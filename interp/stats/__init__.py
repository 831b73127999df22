"""Ground floor: intervals by resampled groups, permutation tests, AUROC, d'; numpy and scipy only.

Rows that share a group (an entity, a minimal pair) are never independent, so everything that
resamples or permutes takes whole groups. Resampling is seeded: equal inputs give equal numbers.
"""

from interp._lazy import attach

__getattr__, __dir__, __all__ = attach(
    __name__,
    {
        "HierarchicalInterval": "intervals",
        "Interval": "intervals",
        "Weighted": "ranks",
        "auroc": "ranks",
        "auroc_columns": "ranks",
        "benjamini_hochberg": "testing",
        "bootstrap": "intervals",
        "dprime": "signal",
        "hierarchical_bootstrap": "intervals",
        "max_t": "testing",
        "paired_permutation": "testing",
        "tost": "testing",
        "weighted_auroc": "ranks",
        "weighted_mean": "ranks",
        "weighted_ratio": "ranks",
        "wilson": "proportions",
    },
)
