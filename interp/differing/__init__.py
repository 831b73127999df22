"""What differs between two studies: what they were asked, what made them, what came out."""

from interp._lazy import attach

__getattr__, __dir__, __all__ = attach(
    __name__,
    {
        "Change": "changes",
        "Difference": "studies",
        "Side": "side",
        "TableDifference": "rows",
        "difference": "studies",
        "table_difference": "rows",
    },
)
