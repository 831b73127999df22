"""Directions at a site: differences of class means, how reliable they are, how they compare."""

from interp._lazy import attach

__getattr__, __dir__, __all__ = attach(
    __name__,
    {
        "cosine_null": "agreement",
        "cross_validated_cosine": "agreement",
        "shuffled_over_groups": "agreement",
        "Direction": "means",
        "mean_difference": "means",
        "cosine": "geometry",
        "noise_corrected_cosine": "geometry",
        "random_directions": "geometry",
        "split_half_reliability": "geometry",
        "Strategies": "strategy",
        "chain_sentences": "strategy",
        "cosine_table": "strategy_tables",
        "label_windows": "strategy",
        "strategy_directions": "strategy",
        "transfer_table": "strategy_tables",
    },
)
