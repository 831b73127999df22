"""The embedded lineage: small models whose abstention is known by construction."""

from interp._lazy import attach

__getattr__, __dir__, __all__ = attach(
    __name__,
    {
        "ABSTAINING_PHRASES": "words",
        "ModelShape": "recipes",
        "RECIPES": "recipes",
        "Recipe": "recipes",
        "World": "world",
        "behavior_prompts": "prompts",
        "build_tokenizer": "language",
        "document_prompts": "prompts",
        "entity_prompts": "prompts",
        "missing_prompts": "prompts",
        "neutral_prompts": "prompts",
        "plain_prompts": "prompts",
        "recipe": "recipes",
        "relearn_examples": "prompts",
        "train_member": "training",
    },
)
