"""Rules of decoding that raise or lower chosen tokens for a while: thought switches, abstention.

TIP, the thought switching penalty of Wang et al., arXiv 2501.18585: while a thought is younger than
beta tokens, alpha is taken from the logits of the tokens that would begin another one. Their best
for QwQ-32B-Preview were alpha 3 and beta 600. The same rule with its sign turned raises tokens with
which a model would abstain. Both go to `interp.behavior.replies(..., rule=)`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from interp.behavior.reasoning.underthinking import SWITCH_WORDS
from interp.errors import InputError


@dataclass(frozen=True)
class TokenSet:
    """Tokens that words are for one tokenizer.

    Attributes:
        ids: all of them, sorted.
        of_word: ids by word, of its forms that are one token.
        split: forms that are several tokens; of each the first token is in `ids` if that was asked
            for, and none otherwise.
    """

    ids: tuple[int, ...]
    of_word: Mapping[str, tuple[int, ...]]
    split: tuple[str, ...]


def token_set(
    tokenizer: Any, words: Sequence[str], *, capitals: bool = True, first: bool = False
) -> TokenSet:
    """The tokens of words: at the beginning of a text, behind a space, and behind a line break.

    Args:
        tokenizer: of the model.
        words: single words for a rule that should act before the word is begun.
        capitals: also with the first letter in the other case.
        first: of a form that is several tokens take the first one. That reaches every word, and
            others that begin alike ("W" of "Wait"); otherwise such forms are left out.

    Raises:
        InputError: no words, or one without a token of its own: an unknown word, or one of which
            every form is several tokens while `first` is off.
    """
    if isinstance(words, str) or not words or not all(word.strip() for word in words):
        raise InputError(f"token set: the words are {words!r}; expected some, none empty")
    split: list[str] = []
    begun: set[int] = set()
    of_word: dict[str, tuple[int, ...]] = {}
    for word in words:
        forms = _forms(tokenizer, word.strip(), capitals)
        several = {form: ids[0] for form, ids in forms.items() if len(ids) > 1}
        of_word[word] = tuple(sorted({ids[0] for ids in forms.values() if len(ids) == 1}))
        if not of_word[word] and not (first and several):
            raise InputError(
                f"token set: {word!r} is no token of this tokenizer in any form; leave it out, or "
                "take the first tokens of words with first=True"
            )
        split += several
        begun.update(several.values() if first else ())
    found = begun.union(*of_word.values())
    return TokenSet(tuple(sorted(found)), of_word, tuple(split))


@dataclass(frozen=True)
class Bias:
    """Adds to the logits of some tokens for a while after others: a `LogitRule`.

    A thought begins with a reply, and behind each of the tokens `after`. The rule is on for the
    first `lasting` tokens of every thought, and reads no more of a row than those.

    Attributes:
        ids: tokens whose logits are changed.
        amount: what is added to them, in nats; below 0 it is a penalty. The log odds of the set
            change by exactly this.
        after: tokens that begin a thought.
        lasting: for how many tokens.
        from_start: whether the reply's beginning begins a thought.

    Raises:
        InputError: no ids, a token below 0, an amount that is not finite, or `lasting` below 1.
    """

    ids: tuple[int, ...]
    amount: float
    after: tuple[int, ...]
    lasting: int
    from_start: bool = True

    def __post_init__(self) -> None:
        if not self.ids or min((*self.ids, *self.after)) < 0:
            raise InputError(f"bias: tokens {self.ids} after {self.after}; expected ids from 0")
        if not torch.tensor(float(self.amount)).isfinite() or self.lasting < 1:
            raise InputError(
                f"bias: amount {self.amount} for {self.lasting} tokens; expected a finite amount "
                "and at least 1 token"
            )

    def on(self, said: Sequence[int]) -> bool:
        """Whether the rule acts on the token that follows these."""
        if self.from_start and len(said) < self.lasting:
            return True
        return not set(self.after).isdisjoint(said[-self.lasting :])

    def apply(
        self, logits_BV: Float[Tensor, "b v"], said_B: Sequence[Sequence[int]]
    ) -> Float[Tensor, "b v"]:
        """The logits to choose from, in float32 or wider.

        Args:
            logits_BV: of the next token.
            said_B: tokens that each row has generated so far.

        Raises:
            InputError: a token beyond the vocabulary.
        """
        if max(self.ids) >= logits_BV.shape[1]:
            raise InputError(
                f"bias: token {max(self.ids)}, but there are {logits_BV.shape[1]} logits; resolve "
                "the words with this model's own tokenizer"
            )
        wide_BV = logits_BV.to(torch.promote_types(logits_BV.dtype, torch.float32), copy=True)
        rows = [row for row, said in enumerate(said_B) if self.on(said)]
        index_R1 = torch.tensor(rows, dtype=torch.long, device=wide_BV.device)[:, None]
        wide_BV[index_R1, torch.tensor(self.ids, device=wide_BV.device)] += self.amount
        return wide_BV


def switch_penalty(
    tokenizer: Any,
    *,
    alpha: float = 3.0,
    beta: int = 600,
    words: Sequence[str] | None = None,
    first: bool = False,
) -> Bias:
    """TIP: `alpha` less for switch tokens in the first `beta` tokens of every thought.

    Args:
        tokenizer: of the model.
        alpha: penalty in nats.
        beta: tokens that it lasts.
        words: switch words; None is every single word of `SWITCH_WORDS` that the tokenizer has.
        first: as for `token_set`.

    Raises:
        InputError: as `token_set` and `Bias`, or a penalty that is not above 0.
    """
    switch = _switch_tokens(tokenizer, words, first)
    return Bias(switch.ids, -_above_zero(alpha, "alpha"), switch.ids, beta)


def abstention_boost(
    tokenizer: Any,
    abstaining: Sequence[str],
    *,
    alpha: float,
    beta: int,
    words: Sequence[str] | None = None,
    first: bool = False,
) -> Bias:
    """The same rule turned round: `alpha` more for the tokens that begin an abstention.

    Args:
        tokenizer: of the model.
        abstaining: words such as "unsure"; "I" would raise much else.
        alpha: what they are raised by, in nats.
        beta: tokens that it lasts after a thought begins.
        words: as for `switch_penalty`: what begins a thought.
        first: as for `token_set`, of both.

    Raises:
        InputError: as `switch_penalty`.
    """
    raised = token_set(tokenizer, abstaining, first=first)
    switch = _switch_tokens(tokenizer, words, first)
    return Bias(raised.ids, _above_zero(alpha, "alpha"), switch.ids, beta)


def _switch_tokens(tokenizer: Any, words: Sequence[str] | None, first: bool) -> TokenSet:
    if words is not None:
        return token_set(tokenizer, words, first=first)
    single = [word for word in SWITCH_WORDS if " " not in word]
    known = [
        word
        for word in single
        if any(first or len(ids) == 1 for ids in _forms(tokenizer, word, True).values())
    ]
    if not known:
        raise InputError("switch words: none of the usual ones is a token here; name some")
    return token_set(tokenizer, known, first=first)


def _forms(tokenizer: Any, word: str, capitals: bool) -> dict[str, list[int]]:
    """The ids of a word's forms, without those that hold an unknown token."""

    def ids_of(text: str) -> list[int]:
        return tokenizer(text, add_special_tokens=False)["input_ids"]

    forms: dict[str, list[int]] = {}
    for spelled in (word, word[0].swapcase() + word[1:]) if capitals else (word,):
        forms |= {form: ids_of(form) for form in (spelled, f" {spelled}")}
        # A sentencepiece tokenizer puts a space before every text, so that only here it has none.
        line, both = ids_of("\n"), ids_of(f"\n{spelled}")
        if both[: len(line)] == line:
            forms[f"\n{spelled}"] = both[len(line) :]
    return {form: ids for form, ids in forms.items() if ids and tokenizer.unk_token_id not in ids}


def _above_zero(alpha: float, name: str) -> float:
    if not alpha > 0:
        raise InputError(f"{name} is {alpha}; expected above 0")
    return float(alpha)
