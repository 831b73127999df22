"""Sparse dictionaries: loaded, checked, and what their latents say."""

from interp._lazy import attach

__getattr__, __dir__, __all__ = attach(
    __name__,
    {
        "Crosscoder": "crosscoder",
        "CrosscoderRecipe": "crosscoder_training",
        "Cutoffs": "latent_classes",
        "Dictionary": "dictionary",
        "SparseCodes": "codes",
        "classify": "latent_classes",
        "confirm": "confirming",
        "dense_probe": "baselines",
        "feature_auroc": "ranks",
        "firing_ratio": "matching",
        "load_dictionary": "dictionary",
        "match_decoders": "matching",
        "reason_score": "lexicon",
        "scale_dictionaries": "matching",
        "scale_latents": "latent_scaling",
        "search": "searching",
        "stability": "seeds",
        "token_lookup": "baselines",
        "train_crosscoder": "crosscoder_training",
    },
)
