"""Runs that ask any models any questions, from one YAML file."""

from interp._lazy import attach

__getattr__, __dir__, __all__ = attach(__name__, {"BehaveConfig": "config", "BehaveRun": "run"})
