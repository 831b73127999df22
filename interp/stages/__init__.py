"""The stages of a study: each a validated config whose result is cached and can run on Slurm."""

from interp._lazy import attach

__getattr__, __dir__, __all__ = attach(
    __name__,
    {
        "Ask": "behave",
        "Behave": "behave",
        "Intervene": "intervene",
        "ModelRef": "common",
        "Probe": "probe",
        "Relearn": "relearn",
        "PromptFile": "questions",
        "Stage": "common",
        "Train": "train",
        "Transfer": "transfer",
        "WorldPrompts": "questions",
    },
)
