"""What is written back into a model: edits of its residual stream, grafts, relearning."""

from interp._lazy import attach

__getattr__, __dir__, __all__ = attach(
    __name__,
    {
        "Ablate": "edits",
        "Attribution": "attributing",
        "Add": "edits",
        "Edit": "edits",
        "Intervention": "hooks",
        "Patch": "edits",
        "RelearnCurve": "relearning",
        "ScaleLatents": "latents",
        "Splice": "latents",
        "Spliced": "splicing",
        "attribute": "attributing",
        "graft": "grafting",
        "intervene": "hooks",
        "load_for": "splicing",
        "position_mask": "positions",
        "relearn": "relearning",
        "splice": "splicing",
    },
)
