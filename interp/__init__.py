"""Does post-training erase a model's knowledge of its own ignorance, or only deselect it?

The public names load their room at first use, so that `import interp` stays light.
"""

from interp._lazy import attach

__version__ = "0.1.0"

__getattr__, __dir__, __all__ = attach(
    __name__,
    {
        "Ablate": "interventions",
        "Add": "interventions",
        "Checkpoint": "checkpoints",
        "Comparison": "comparing",
        "Direction": "directions",
        "Lineage": "checkpoints",
        "Patch": "interventions",
        "PromptSet": "prompts",
        "Site": "activations",
        "Study": "study",
        "abstention_score": "behavior",
        "capture": "activations",
        "capture_sharded": "activations",
        "capture_together": "activations",
        "generate": "behavior",
        "graft": "interventions",
        "intervene": "interventions",
        "load": "selfcheck",
        "load_study": "comparing",
        "mean_difference": "directions",
        "relearn": "interventions",
        "show_progress": "progress",
    },
)
__all__ += ["__version__"]
