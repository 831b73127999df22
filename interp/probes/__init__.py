"""What can be read from activations: probes, their controls, and their transfer to a child."""

from interp._lazy import attach

__getattr__, __dir__, __all__ = attach(
    __name__,
    {
        "Alignment": "alignment",
        "ControlTasks": "control_task",
        "Fold": "folds",
        "LeaceEraser": "erasure",
        "LeaceFitter": "erasure",
        "LogisticProbe": "estimator",
        "Nested": "sweeping",
        "RandomInit": "baselines",
        "SweepSettings": "sweeping",
        "align": "alignment",
        "bag_of_tokens": "controls",
        "control_tasks": "control_task",
        "debiased_cka": "similarity",
        "grouped_folds": "folds",
        "nested_scores": "sweeping",
        "out_of_fold_scores": "linear",
        "preservation": "preserving",
        "probe_cell": "cell",
        "random_init": "baselines",
        "rho": "transfer",
        "selectivity": "control_task",
        "shuffled_null": "controls",
        "solve": "solver",
        "strongest_reader": "familywise",
        "surface_features": "baselines",
        "sweep": "sweeping",
        "token_types": "control_task",
        "transfer_scores": "transfer",
    },
)
