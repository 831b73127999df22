"""Sparse dictionaries: loaded, checked, and what their latents say."""

from interp._lazy import attach

__getattr__, __dir__, __all__ = attach(
    __name__,
    {
        "Dictionary": "dictionary",
        "load_dictionary": "dictionary",
    },
)
