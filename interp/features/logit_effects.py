"""What a direction says in words: the tokens whose logits it raises and lowers most."""

from __future__ import annotations

import copy
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn
from transformers import PreTrainedTokenizerBase

from interp.checkpoints import LoadedModel
from interp.errors import InputError

_NORMS = ("norm", "ln_f", "final_layer_norm", "final_layernorm", "norm_f")
_ROWS = 16_384  # of the unembedding that are made float32 at a time


@dataclass(frozen=True)
class TokenEffect:
    """A token of the vocabulary, and what is added to its logit.

    Attributes:
        id: in the vocabulary.
        text: as it reads within a text.
        logit: above the mean over the vocabulary, for one unit of the direction.
    """

    id: int
    text: str
    logit: float


@dataclass(frozen=True)
class LogitEffects:
    """The ends of what a direction does to the logits.

    Attributes:
        top: tokens it raises most, the most raised first.
        bottom: tokens it lowers most, the most lowered first.
    """

    top: tuple[TokenEffect, ...]
    bottom: tuple[TokenEffect, ...]


@torch.inference_mode()
def logit_effects(loaded: LoadedModel, direction_D: Float[Tensor, " d"], n: int) -> LogitEffects:
    """The tokens that a direction in the residual stream raises and lowers most.

    The logit lens (nostalgebraist 2020, "interpreting GPT: the logit lens") on a direction in
    place of a state: what it writes as the head would read it, and nothing that later blocks make
    of it, so that it says little in low layers. See `direct_logits` for the final norm.

    Args:
        loaded: the model whose norm and head are used.
        direction_D: in the residual stream, such as a latent's decoder direction.
        n: tokens at each end; all of them if the vocabulary has fewer. Ties go to the lower id.

    Raises:
        InputError: n below 1, or as `direct_logits`.
    """
    if n < 1:
        raise InputError(f"logit effects: {n} tokens asked for at each end; expected at least 1")
    ids = torch.tensor(sorted(set(loaded.tokenizer.get_vocab().values())))
    logit_V = direct_logits(loaded, direction_D)[ids]
    # Rows without a token, which pad some heads, are left out of the mean as well.
    logit_V = logit_V - logit_V.mean()
    ends = [logit_V.argsort(descending=down, stable=True)[:n] for down in (True, False)]
    texts = spelled(loaded.tokenizer, torch.cat([ids[end] for end in ends]).tolist())
    top, bottom = (
        tuple(
            TokenEffect(token, texts[token], logit)
            for token, logit in zip(ids[end].tolist(), logit_V[end].tolist(), strict=True)
        )
        for end in ends
    )
    return LogitEffects(top, bottom)


@torch.inference_mode()
def direct_logits(loaded: LoadedModel, direction_D: Float[Tensor, " d"]) -> Float[Tensor, " v"]:
    """Unembedding times direction, through the final norm without its scale; float32, on the CPU.

    A norm divides by the length of the whole state, which a direction alone does not have: that
    scale is left out, so the numbers rank tokens and are no logits of any one token's state. What
    the norm has beside it is used: its weight, where it has one (1 + weight in Gemma), and the
    centring of a LayerNorm. Biases, soft-capping and factors on the logits are left out.

    Args:
        loaded: the model.
        direction_D: in the residual stream.

    Raises:
        InputError: another width than the model's or the head's, no head in memory, or no final
            norm under a known name.
    """
    width = loaded.d_model
    head = _head(loaded)
    if direction_D.shape != (width,) or head.shape[1] != width:
        raise InputError(
            f"logit effects: a direction of shape {tuple(direction_D.shape)} and a head that reads "
            f"{head.shape[1]}; the residual stream of {loaded.checkpoint.name} has {width}"
        )
    gain_D, centres = _linear_part(_final_norm(loaded), width)
    read_D = direction_D.detach().float().cpu()
    read_D = gain_D * (read_D - read_D.mean() if centres else read_D)
    return torch.cat([rows.float().cpu() @ read_D for rows in head.split(_ROWS)])


def spelled(tokenizer: PreTrainedTokenizerBase, ids: Iterable[int]) -> dict[int, str]:
    """Each token as it reads behind another, with the space that it brings along.

    A token that holds only a part of a character, or none, is given as the tokenizer spells it.

    Args:
        tokenizer: of the checkpoint.
        ids: of tokens; each is spelled once.
    """
    return {token: _spell(tokenizer, token) for token in set(ids)}


def _spell(tokenizer: Any, token: int) -> str:
    # Decoders take the space off the first token of a text, so it is read off the second.
    once, twice = (
        tokenizer.decode([token] * n, skip_special_tokens=False, clean_up_tokenization_spaces=False)
        for n in (1, 2)
    )
    text = twice[len(once) :]
    if text and "\N{REPLACEMENT CHARACTER}" not in text:
        return text
    return str(tokenizer.convert_ids_to_tokens(token))


def _head(loaded: LoadedModel) -> Tensor:
    head: Any = loaded.model.get_output_embeddings()
    if head is None or head.weight.is_meta:
        raise InputError(
            f"logit effects: {loaded.checkpoint.name} ({type(loaded.model).__name__}) has no head "
            "in memory; load a causal language model, with its head on a device"
        )
    return head.weight.detach()


def _final_norm(loaded: LoadedModel) -> nn.Module:
    base = loaded.model.base_model
    for name in _NORMS:
        norm = getattr(base, name, None)
        if isinstance(norm, nn.Module):
            return norm
    raise InputError(
        f"logit effects: {type(loaded.model).__name__} has no final norm under a known name "
        f"({', '.join(_NORMS)}), so nothing says how its head reads the stream"
    )


def _linear_part(norm: nn.Module, width: int) -> tuple[Float[Tensor, " d"], bool]:
    """What a norm multiplies each dimension by beside its scale, and whether it centres.

    Read off what it does, since architectures write their weights differently (w, 1 + w, none): on
    a state of mean 0 and mean square 1, both RMSNorm and LayerNorm give gain times state (+ bias).
    """
    own = copy.deepcopy(norm).float().cpu()
    # No entry is 0, also where the width is odd.
    state_D = torch.ones(width)
    state_D[1::2] = -1
    state_D -= state_D.mean()
    state_D /= state_D.square().mean().sqrt()

    def through(state_D: Tensor) -> Tensor:
        return own(100 * state_D[None, None])[0, 0]  # far above the norm's epsilon

    plus_D = through(state_D)
    gain_D = (plus_D - through(-state_D)) / (2 * state_D)
    moved_D = through(state_D + 1) - plus_D
    return gain_D, bool(moved_D.abs().max() < 0.05 * gain_D.abs().max())
