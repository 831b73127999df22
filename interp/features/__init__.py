"""Sparse dictionaries: loaded, checked, and what their latents say."""

from interp._lazy import attach

__getattr__, __dir__, __all__ = attach(
    __name__,
    {
        "ABSTAINING_WORDS": "words",
        "Crosscoder": "crosscoder",
        "CrosscoderRecipe": "crosscoder_training",
        "Cutoffs": "latent_classes",
        "Dictionary": "dictionary",
        "DictionaryRecipe": "recipe",
        "Portrait": "portraits",
        "REASONING_WORDS": "words",
        "SparseCodes": "codes",
        "classify": "latent_classes",
        "confirm": "confirming",
        "dense_probe": "baselines",
        "feature_auroc": "ranks",
        "firing_ratio": "matching",
        "lexicon_of": "words",
        "load_dictionary": "dictionary",
        "load_release": "dictionary",
        "match_decoders": "matching",
        "portrait": "portraits",
        "reason_score": "lexicon",
        "scale_dictionaries": "matching",
        "scale_latents": "latent_scaling",
        "search": "searching",
        "stability": "seeds",
        "token_lookup": "baselines",
        "train_crosscoder": "crosscoder_training",
        "train_dictionaries": "training",
    },
)
