"""Probe runs over any models and prompts, from one YAML file."""

from interp._lazy import attach

__getattr__, __dir__, __all__ = attach(__name__, {"ProbeConfig": "config", "ProbeRun": "run"})
