"""Lines of evidence, the decision rule, and the gate on the planted controls."""

from interp._lazy import attach

__getattr__, __dir__, __all__ = attach(
    __name__,
    {
        "Evidence": "judging",
        "Rule": "rule",
        "cut_offs": "calibration",
        "decide": "judging",
        "gated": "judging",
        "judge": "judging",
        "load_rule": "rule",
    },
)
