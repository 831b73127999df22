"""Which models: checkpoints on disk, what they are loaded as, and how they descend."""

from interp._lazy import attach

__getattr__, __dir__, __all__ = attach(
    __name__,
    {
        "Checkpoint": "checkpoint",
        "Lineage": "lineage",
        "LoadedModel": "checkpoint",
        "Member": "lineage",
        "lineages": "lineage",
        "save_manifest": "files",
        "weight_changes": "change",
    },
)
