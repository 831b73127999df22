"""What a model loses when it sees a dictionary's reconstruction: cross-entropy recovered."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy

from interp.activations import Site
from interp.checkpoints import LoadedModel
from interp.errors import InputError
from interp.features.dictionary import Dictionary, load_dictionary
from interp.interventions.edits import Edit, Patch
from interp.interventions.hooks import intervene
from interp.interventions.latents import Splice
from interp.prompts import Encoded, PromptSet, encode, render, token_budget_batches


@dataclass(frozen=True)
class Spliced:
    """Mean next-token cross-entropies over the prompts, in nats.

    Attributes:
        clean: of the model as it is.
        spliced: with the reconstruction at the site, at every token.
        zeroed: with zeros at the site: what a dictionary that holds nothing would leave.
        identity_error: largest change of a logit when reconstruction and error are both put in,
            as a share of the largest logit; anything above rounding is a wrong site or hook.
    """

    clean: float
    spliced: float
    zeroed: float
    identity_error: float

    @property
    def recovered(self) -> float:
        """Share of the loss between zeroed and clean that the reconstruction saves; 1 is all."""
        return (self.zeroed - self.spliced) / (self.zeroed - self.clean)


_LARGEST_IDENTITY_ERROR = {torch.float32: 1e-3, torch.float16: 2e-2, torch.bfloat16: 5e-2}


def load_for(
    loaded: LoadedModel,
    folder: Path,
    prompts: PromptSet,
    *,
    site: Site | None = None,
    another_model: bool = False,
) -> tuple[Dictionary, Spliced]:
    """Loads a dictionary for a model and splices it in, so that a wrong site is seen at once.

    Args:
        loaded: the model.
        folder: of the dictionary, in any format of `interp.features.formats`.
        prompts: some text, a few prompts will do.
        site: where, for formats that do not say.
        another_model: as in `Dictionary.require`.

    Raises:
        InputError: as `load_dictionary`, `Dictionary.require` and `splice`; or reconstruction and
            error together change the logits, so that the site is not what the hook reads.
    """
    dictionary = load_dictionary(folder, site=site, device=str(loaded.device))
    dictionary.require(loaded, dictionary.site, another_model=another_model)
    spliced = splice(loaded, prompts, dictionary)
    allowed = _LARGEST_IDENTITY_ERROR.get(loaded.model.dtype, 1e-3)
    if not spliced.identity_error <= allowed:
        raise InputError(
            f"{folder}: spliced in at {dictionary.site} with its error, the logits change by "
            f"{spliced.identity_error:.1e} of the largest; expected at most {allowed:.0e}"
        )
    return dictionary, spliced


@torch.no_grad()
def splice(
    loaded: LoadedModel,
    prompts: PromptSet,
    dictionary: Dictionary,
    site: Site | None = None,
    *,
    token_budget: int = 8192,
) -> Spliced:
    """Cross-entropies of prompts with and without a dictionary in the model's way.

    Source: the loss recovered of Bricken et al. 2023 and the dictionaries after it; here the
    baseline is zero ablation, and loss is taken on every token but the first of each prompt.

    Args:
        loaded: the model.
        prompts: text to be read, of two tokens or more.
        dictionary: of the model's activations.
        site: where; default: the dictionary's own.
        token_budget: most tokens in a forward, padding included.

    Raises:
        InputError: no site, a dictionary that does not fit, or prompts of one token.
    """
    where = dictionary.site if site is None else site
    if where is None:
        raise InputError(f"{dictionary.source}: does not say its site; give one")
    dictionary.require(loaded, where, another_model=True)
    texts = render(prompts, loaded.tokenizer)
    sums = dict.fromkeys(("clean", "spliced", "zeroed"), 0.0)
    n_tokens, worst, largest = 0, 0.0, 0.0
    lengths = encode(texts, loaded.tokenizer).lengths_B.tolist()
    for rows in token_budget_batches(lengths, token_budget):
        batch = encode([texts[row] for row in rows], loaded.tokenizer, side="right")
        batch = batch.to(loaded.device)
        zeros_BD = torch.zeros(len(rows), dictionary.sae.cfg.d_in)
        runs: dict[str, Sequence[Edit]] = {
            "clean": [],
            "spliced": [Splice(where, dictionary)],
            "zeroed": [Patch(where, zeros_BD)],
        }
        for name, edits in runs.items():
            logits_BTV = _logits(loaded, batch, edits)
            sums[name] += _loss(logits_BTV, batch)
            if name == "clean":
                same_BTV = _logits(loaded, batch, [Splice(where, dictionary, with_error=True)])
                real_BT = batch.attention_mask_BT.bool()
                worst = max(worst, float((same_BTV - logits_BTV)[real_BT].abs().max()))
                largest = max(largest, float(logits_BTV[real_BT].abs().max()))
        n_tokens += int(batch.lengths_B.sum()) - len(rows)
    if not n_tokens:
        raise InputError("splice: every prompt is one token long; there is nothing to predict")
    return Spliced(
        **{name: total / n_tokens for name, total in sums.items()},
        identity_error=worst / largest,
    )


def _logits(loaded: LoadedModel, batch: Encoded, edits: Sequence[Edit]) -> Tensor:
    with intervene(loaded, edits, batch.attention_mask_BT.bool()):
        return loaded.model(**batch.inputs, use_cache=False).logits.float()


def _loss(logits_BTV: Tensor, batch: Encoded) -> float:
    """Summed over all tokens but the first of each prompt."""
    real_BT = batch.attention_mask_BT[:, 1:].bool()
    predicted_NV = logits_BTV[:, :-1][real_BT]
    return float(cross_entropy(predicted_NV, batch.input_ids_BT[:, 1:][real_BT], reduction="sum"))
