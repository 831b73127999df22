"""What is asked: prompt sets, how they become tokens, and which token is meant."""

from interp._lazy import attach

__getattr__, __dir__, __all__ = attach(
    __name__,
    {
        "CHAIN_END": "spans",
        "Encoded": "encoding",
        "PromptSet": "promptset",
        "Target": "targets",
        "column_of": "targets",
        "encode": "encoding",
        "levels_of": "targets",
        "read_prompts": "files",
        "render": "encoding",
        "resolve": "positions",
        "show": "positions",
        "targets_of": "targets",
        "token_budget_batches": "encoding",
    },
)
