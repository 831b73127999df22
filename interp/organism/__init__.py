"""The embedded lineage: small models whose abstention is known by construction."""

from interp._lazy import attach

__getattr__, __dir__, __all__ = attach(
    __name__,
    {
        "ABSTAINING_PHRASES": "words",
        "ModelShape": "recipes",
        "RECIPES": "objectives",
        "Recipe": "recipes",
        "World": "world",
        "WorldSize": "sizes",
        "as_chain": "documents",
        "behavior_prompts": "prompts",
        "build_tokenizer": "language",
        "chain_prompts": "prompts",
        "commuted": "chains",
        "document_prompts": "prompts",
        "entity_prompts": "prompts",
        "in_mode": "prompts",
        "known_facts": "chains",
        "missing_prompts": "prompts",
        "mistaken_fact": "chains",
        "neutral_prompts": "prompts",
        "plain_prompts": "prompts",
        "point_prompts": "prompts",
        "problem_prompts": "prompts",
        "recipe": "objectives",
        "relearn_examples": "prompts",
        "WrittenChain": "chains",
        "states_fact": "chains",
        "train_member": "training",
        "written_chains": "chains",
    },
)
