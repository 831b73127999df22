"""What a finished run leaves for people: tables, figures, the report, dictionaries, pages."""

from interp._lazy import attach

__getattr__, __dir__, __all__ = attach(
    __name__,
    {
        "is_published": "run",
        "publish": "run",
        "publish_dictionaries": "dictionaries",
        "publish_pages": "pages",
        "redraw": "run",
    },
)
