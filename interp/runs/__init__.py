"""Runs over any models from one YAML file: what those of every kind share."""

from interp._lazy import attach

__getattr__, __dir__, __all__ = attach(
    __name__, {"Run": "run", "RunConfig": "config", "Source": "config"}
)
