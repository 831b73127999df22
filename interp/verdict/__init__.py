"""Lines of evidence, the decision rule, and the gate on the planted controls."""

from interp._lazy import attach

__getattr__, __dir__, __all__ = attach(
    __name__,
    {
        "Claims": "claims",
        "Controls": "controls",
        "Evidence": "judging",
        "Rule": "rule",
        "claims_table": "claim_table",
        "cut_offs": "calibration",
        "decide": "judging",
        "gated": "judging",
        "judge": "judging",
        "judge_children": "pairs",
        "load_claims": "claims",
        "load_rule": "rule",
        "read_claims": "claims",
        "read_controls": "controls",
        "signature_table": "signature",
    },
)
