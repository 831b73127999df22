"""What models say: scores of continuations, generated answers, grades, and tables of rates."""

from interp._lazy import attach

__getattr__, __dir__, __all__ = attach(
    __name__,
    {
        "abstention_probability": "scoring",
        "abstention_score": "scoring",
        "behavior_table": "measure",
        "continuation_logprobs": "scoring",
        "EditBatch": "scoring",
        "generate": "generation",
        "outcome": "grading",
    },
)
