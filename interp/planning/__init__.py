"""What a study is going to take, told before it starts and while it runs."""

from interp._lazy import attach

__getattr__, __dir__, __all__ = attach(
    __name__,
    {
        "Forecast": "forecast",
        "Remaining": "remaining",
        "Row": "forecast",
        "Task": "forecast",
        "foresee": "forecast",
        "makespan": "schedule",
    },
)
