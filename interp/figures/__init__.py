"""One pure function per figure (tables in, figure out), and the HTML report around them."""

from interp._lazy import attach

__getattr__, __dir__, __all__ = attach(
    __name__,
    {
        "FEATURE_FIGURES": "registry",
        "FIGURES": "registry",
        "FigureSpec": "spec",
        "OBJECTIVE_FIGURES": "objective_figures",
        "draw": "registry",
        "Look": "style",
        "PAPER_FIGURES": "registry",
        "Paper": "papers",
        "REASONING_FIGURES": "registry",
        "write_report": "report",
    },
)
