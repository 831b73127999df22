"""What is asked: prompt sets, how they become tokens, and which token is meant."""

from interp._lazy import attach

__getattr__, __dir__, __all__ = attach(
    __name__,
    {
        "CHAIN_END": "spans",
        "Encoded": "encoding",
        "PromptSet": "promptset",
        "encode": "encoding",
        "render": "encoding",
        "resolve": "positions",
        "show": "positions",
        "token_budget_batches": "encoding",
    },
)
