"""Public datasets as prompt sets, one file each, and tables of one's own."""

from interp._lazy import attach

__getattr__, __dir__, __all__ = attach(
    __name__,
    {
        "Check": "registry",
        "Counts": "dataset",
        "Dataset": "dataset",
        "check_dataset": "registry",
        "datasets": "registry",
        "is_there": "registry",
        "read_dataset": "registry",
        "read_table": "table",
        "table_columns": "table",
    },
)
