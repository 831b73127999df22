"""What the models hold: activations at sites and positions, read exactly and kept on disk."""

from interp._lazy import attach

__getattr__, __dir__, __all__ = attach(
    __name__,
    {
        "Activations": "shards",
        "Site": "sites",
        "capture": "capturing",
        "capture_sharded": "dealing",
        "capture_together": "together",
        "open_store": "store",
        "sites_of": "sites",
    },
)
