"""Checks a checkpoint before anybody computes with it, and says what does not hold."""

from interp._lazy import attach

__getattr__, __dir__, __all__ = attach(
    __name__,
    {
        "Line": "line",
        "check": "checking",
        "examine": "checking",
        "load": "checking",
        "require": "checking",
    },
)
