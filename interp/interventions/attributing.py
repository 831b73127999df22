"""What latents do to the abstention logit, to first order: gradient times what each writes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import torch
from jaxtyping import Float, Int
from torch import Tensor

from interp.activations import Site
from interp.checkpoints import LoadedModel
from interp.errors import InputError
from interp.features.dictionary import Dictionary
from interp.interventions.hooks import intervene
from interp.interventions.positions import position_mask
from interp.prompts import PromptSet, encode, render, resolve, token_budget_batches
from interp.prompts.encoding import join, tokenize


@dataclass(frozen=True, eq=False)
class Attribution:
    """Latents of a dictionary and their share in the log odds of abstaining.

    Attributes:
        effect_NM: to first order, by how much the log odds would fall if the latent fell silent.
        logodds_N: of the abstaining first tokens, after each prompt.
    """

    effect_NM: Float[Tensor, "n m"]
    logodds_N: Float[Tensor, " n"]


@dataclass(frozen=True, eq=False)
class _Watch:
    """Changes nothing, and keeps the activations and the gradient that reaches them."""

    site: Site
    seen: list[Tensor] = field(default_factory=list)

    def apply(
        self, acts_ND: Float[Tensor, "n d"], row_N: Int[Tensor, " n"], column_N: Int[Tensor, " n"]
    ) -> Float[Tensor, "n d"]:
        """The activations, as a new leaf."""
        leaf_ND = acts_ND.detach().requires_grad_()
        self.seen.append(leaf_ND)
        return leaf_ND

    def check(self, d_model: int, n_rows: int, n_columns: int) -> None:
        """It fits every model."""


def attribute(
    loaded: LoadedModel,
    prompts: PromptSet,
    dictionary: Dictionary,
    phrases: Sequence[str],
    *,
    site: Site | None = None,
    position: str = "last_prompt",
    token_budget: int = 8192,
) -> Attribution:
    """Direct and indirect effects of every latent at a position, from one backward a batch.

    The first-order Taylor effect of ablating a latent, -code * <decoder, gradient>, sign turned
    (attribution patching: Nanda 2023; for features: Marks et al. 2024, arXiv 2403.19647). What is
    attributed are the log odds of the phrases' first tokens at the last token of the prompt.

    Args:
        loaded: the model; its weights get no gradient.
        prompts: rendered with the model's own chat template.
        dictionary: whose latents; of this model or of one it descends from.
        phrases: the abstaining replies.
        site: default: the dictionary's own.
        position: a rule of one token a prompt.
        token_budget: most tokens in a forward.

    Returns:
        Rows in the order of the prompts, on the CPU.

    Raises:
        InputError: no phrases or no site, a position of several tokens, or a dictionary that does
            not fit.
    """
    where = dictionary.site if site is None else site
    if where is None or not phrases:
        raise InputError(f"attribute: {dictionary.source}: expected a site and at least one phrase")
    dictionary.require(loaded, where, another_model=True)
    texts = render(prompts, loaded.tokenizer)
    (span_N2,) = resolve(prompts, texts, loaded.tokenizer, [position])
    if bool((span_N2.diff(dim=1) != 1).any()):
        raise InputError(f"attribute: '{position}' reads several tokens; expected one a prompt")
    first = begins_with(loaded, texts, phrases)
    effect_NM = torch.empty(len(texts), dictionary.n_latents)
    logodds_N = torch.empty(len(texts))
    lengths = encode(texts, loaded.tokenizer).lengths_B.tolist()
    for rows in token_budget_batches(lengths, token_budget):
        batch = encode([texts[row] for row in rows], loaded.tokenizer, side="left")
        watch = _Watch(where)
        mask_BT = position_mask(batch, span_N2[rows], "left")
        batch = batch.to(loaded.device)
        with torch.enable_grad(), intervene(loaded, [watch], mask_BT):
            logits_BV = loaded.model(**batch.inputs, use_cache=False).logits[:, -1].float()
            abstain_B = logits_BV[:, first].logsumexp(1)
            # log p - log(1 - p), from logits: exact where p is next to 0 or 1.
            others_BV = logits_BV.index_fill(1, first.to(logits_BV.device), -torch.inf)
            odds_B = abstain_B - others_BV.logsumexp(1)
            (grad_BD,) = torch.autograd.grad(odds_B.sum(), watch.seen[0])
        codes_BM = dictionary.encode(watch.seen[0].detach()).requires_grad_()
        # Through the decoder as it is: some divide by norms, or multiply the input's scale back.
        with torch.enable_grad():
            out_BD = dictionary.sae.decode(codes_BM)
        (slope_BM,) = torch.autograd.grad(out_BD, codes_BM, grad_BD.to(out_BD))
        effect_NM[rows] = (codes_BM.detach() * slope_BM).float().cpu()
        logodds_N[rows] = odds_B.detach().cpu()
    return Attribution(effect_NM, logodds_N)


def begins_with(loaded: LoadedModel, texts: Sequence[str], phrases: Sequence[str]) -> Tensor:
    """The token that each phrase begins with after the first prompt."""
    (alone,) = (ids for chunk in tokenize(texts[:1], loaded.tokenizer) for ids in chunk)
    found = set()
    for phrase in phrases:
        joined = join(texts[:1], [phrase], loaded.tokenizer)
        (ids,) = (ids for chunk in tokenize(joined, loaded.tokenizer) for ids in chunk)
        if ids[: len(alone)] != alone or len(ids) == len(alone):
            raise InputError(f"attribute: {phrase!r} has no token of its own after the prompt")
        found.add(ids[len(alone)])
    return torch.tensor(sorted(found))
