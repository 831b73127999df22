"""Studies of any models on any questions: what post-training did to a child's abstention."""

from interp._lazy import attach

__getattr__, __dir__, __all__ = attach(
    __name__,
    {
        "CompareConfig": "config",
        "Comparison": "run",
        "Questionnaire": "questions",
        "load_study": "opening",
    },
)
