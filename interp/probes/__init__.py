"""What can be read from activations: probes, their controls, and their transfer to a child."""

from interp._lazy import attach

__getattr__, __dir__, __all__ = attach(
    __name__,
    {
        "bag_of_tokens": "controls",
        "Fold": "folds",
        "grouped_folds": "folds",
        "out_of_fold_scores": "linear",
        "probe_cell": "cell",
        "rho": "transfer",
        "shuffled_null": "controls",
        "strongest_reader": "familywise",
        "transfer_scores": "transfer",
    },
)
