"""The grammar of positions: a rule's name taken apart into a span and a part of its tokens."""

from __future__ import annotations

import re
from dataclasses import dataclass
from itertools import product

import numpy as np

from interp import configs
from interp.errors import InputError
from interp.prompts.spans import REPLY_SPANS, SPANS

_PARTS = {"first": 0, "last": 100, "mean": None}
_PATTERN = re.compile(r"(.+)_(?:(first|last|mean)|(0|[1-9]\d?|100)%)")
_KNOWN = (
    "last_prompt",
    "all",
    *(f"{span}_{part}" for span, part in product(SPANS, (*_PARTS, "50%"))),
)


@dataclass(frozen=True)
class Rule:
    """A position's rule.

    Attributes:
        name: as it is written.
        span: whose tokens; "" is the whole text.
        percent: how far through them; None is all of them.
    """

    name: str
    span: str
    percent: int | None

    def pick(self, span_B2: np.ndarray) -> np.ndarray:
        """The [start, stop) tokens that are meant, of those of the span, shape (b, 2)."""
        if self.percent is None:
            return span_B2
        start_B, stop_B = span_B2.T
        token_B = start_B + (self.percent * (stop_B - start_B - 1) + 50) // 100
        return np.stack([token_B, token_B + 1], axis=1)


def parse(name: str, *, replied: bool) -> Rule:
    """Takes a rule's name apart; `interp.prompts.resolve` says what it means.

    Args:
        name: the rule.
        replied: whether there are replies.

    Raises:
        InputError: no such rule, or one that needs replies.
    """
    if name == "all":
        return Rule(name, "", None)
    if name == "last_prompt":
        return Rule(name, "prompt", 100)
    if name == "prompt_last":
        raise InputError("position 'prompt_last': write last_prompt")
    match = _PATTERN.fullmatch(name)
    if match is None:
        raise InputError(
            f"position '{name}': no such rule{configs.nearest(name, _KNOWN)}; there are "
            "last_prompt, all, and SPAN_first, SPAN_last, SPAN_mean and SPAN_0% to SPAN_100%, "
            f"where SPAN is {', '.join(SPANS)}, or a name in the row's `meta['spans']`"
        )
    span, part, percent = match.groups()
    if span in REPLY_SPANS and not replied:
        raise InputError(f"position '{name}' needs `replies`, one for each prompt; there are none")
    return Rule(name, span, _PARTS[part] if part else int(percent))
