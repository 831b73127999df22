"""What models say: scores of continuations, generated answers, grades, and tables of rates."""

from interp._lazy import attach

__getattr__, __dir__, __all__ = attach(
    __name__,
    {
        "abstention_probability": "scoring",
        "abstention_score": "scoring",
        "abstention_table": "abstention",
        "behavior_table": "measure",
        "boxed_answers": "boxed",
        "boxed_outcome": "boxed",
        "calibration_table": "calibration",
        "collect": "collecting",
        "continuation_logprobs": "scoring",
        "Decoding": "decoding",
        "elicit": "elicitation",
        "Elicitation": "elicitation",
        "EditBatch": "scoring",
        "generate": "generation",
        "majority_table": "majority",
        "outcome": "grading",
        "read_objects": "json_stream",
        "reliability_table": "reliability",
        "replies": "generation",
        "Reply": "decoding",
        "risk_coverage_table": "selective",
        "span_confidence": "confidence",
        "Thinking": "decoding",
        "verbalised_confidence": "confidence",
    },
)
