"""How replies are drawn from a model, and what one reply is."""

from __future__ import annotations

import hashlib
import random
from collections import deque
from dataclasses import dataclass
from typing import Any, Literal

import pydantic

from interp.errors import InputError

Ending = Literal["end", "stop", "length"]
"""The model's own end token, a stop string, or cut off by `max_new_tokens` (truncated)."""


class Thinking(pydantic.BaseModel):
    """Where a chain of thought ends, and how long it may be.

    Attributes:
        end: what stands between chain and answer. A prompt may open the chain itself, as the
            templates of reasoning models do.
        budget: most tokens before `force` is put in: the forced stop. None is the natural stop.
        force: what is put in, in place of the model's own next tokens. Nothing that hints at an
            answer should stand in it: "Final Answer:" turns doubt into an answer.
        extend: how often the model's own end of the chain is replaced by `more`: the forced
            extension of s1 (arXiv 2501.19393) and of Ghosal et al. (arXiv 2506.04210). The token
            that completes the end is replaced, so that of an end of several tokens the ones before
            it stay. One that `more` would take beyond the budget is let stand.
        least: a chain of as many tokens may end all the same; None replaces whatever its length.
        more: what is put in, in place of an end that comes too soon.
    """

    model_config = pydantic.ConfigDict(extra="forbid", frozen=True)

    end: str = pydantic.Field(default="</think>", min_length=1)
    budget: int | None = pydantic.Field(default=None, ge=0)
    force: str = "\n</think>\n\n"
    extend: int = pydantic.Field(default=0, ge=0)
    least: int | None = pydantic.Field(default=None, ge=1)
    more: str = pydantic.Field(default=" Wait,", min_length=1)

    @pydantic.model_validator(mode="after")
    def _force_ends(self) -> Thinking:
        if self.budget is not None and self.end not in self.force:
            raise ValueError(f"force is {self.force!r}, which lacks the end {self.end!r}")
        if self.extend and self.end in self.more:
            raise ValueError(f"more is {self.more!r}, which holds the end {self.end!r}")
        if self.least is not None and not self.extend:
            raise ValueError(f"least is {self.least}, but extend is 0; say how often to extend")
        if self.least is not None and self.budget is not None and self.least > self.budget:
            raise ValueError(f"least is {self.least}, above the budget of {self.budget}")
        return self


class Decoding(pydantic.BaseModel):
    """How replies are drawn.

    Attributes:
        max_new_tokens: most tokens of a reply, chain and forced tokens included.
        samples: replies a prompt.
        temperature: 0 takes the most likely token.
        top_p: tokens are drawn from the fewest most likely ones whose probability reaches it.
        seed: each reply's draws depend on it, the prompt's id and the sample's number alone, so
            that neither batches nor other prompts change a reply.
        stop: texts that end a reply, and are no part of it, such as the "Q:" of a next question.
        thinking: None for replies without a chain of their own.
    """

    model_config = pydantic.ConfigDict(extra="forbid", frozen=True)

    max_new_tokens: int = pydantic.Field(default=256, ge=1)
    samples: int = pydantic.Field(default=1, ge=1)
    temperature: float = pydantic.Field(default=0.0, ge=0, allow_inf_nan=False)
    top_p: float = pydantic.Field(default=1.0, gt=0, le=1)
    seed: int = 0
    stop: tuple[str, ...] = ()
    thinking: Thinking | None = None

    @pydantic.model_validator(mode="after")
    def _sound(self) -> Decoding:
        if self.samples > 1 and self.temperature == 0:
            raise ValueError(
                f"{self.samples} samples at temperature 0 are the same; expected 1, or a "
                "temperature above 0"
            )
        if not all(self.stop):
            raise ValueError("a stop string is empty")
        budget = self.thinking.budget if self.thinking else None
        if budget is not None and budget >= self.max_new_tokens:
            raise ValueError(
                f"a thinking budget of {budget} leaves nothing of {self.max_new_tokens} new tokens "
                "for the answer"
            )
        return self


@dataclass(frozen=True)
class Reply:
    """One reply.

    Attributes:
        prompt_id: of the prompt.
        sample: number of the reply among those of its prompt.
        text: without special tokens; with the chain, if there is one.
        answer: what follows the chain: all of the text if none was watched for (`Thinking`), "" if
            the chain did not come to its end.
        tokens: ids as they were said, without the end token.
        ending: how it ended.
        thought: tokens of the chain, its end and forced ones not counted; None if none was watched
            for.
        forced: whether the chain was stopped by its budget.
        extended: how often an end of the chain was replaced.
    """

    prompt_id: str
    sample: int
    text: str
    answer: str
    tokens: tuple[int, ...]
    ending: Ending
    thought: int | None
    forced: bool
    extended: int = 0

    @property
    def truncated(self) -> bool:
        """Whether it was cut off: its last words are not a conclusion."""
        return self.ending == "length"


class Draft:
    """A reply while it is being written, token by token.

    Attributes:
        tokens: ids so far.
        ending: how it ended; None while it has not.
        seed: of its draws, for an engine that draws by itself.
    """

    def __init__(
        self,
        prompt_id: str,
        sample: int,
        decoding: Decoding,
        tokenizer: Any,
        ends: frozenset[int],
    ) -> None:
        self.tokens: list[int] = []
        self.ending: Ending | None = None
        self._prompt_id, self._sample = prompt_id, sample
        self._decoding, self._tokenizer, self._ends = decoding, tokenizer, ends
        self._put_in: deque[int] = deque()
        self._answer_from: int | None = None if decoding.thinking else 0
        self._thought: int | None = None
        self._forced = False
        self._extended = 0
        self._more = self._ids(decoding.thinking.more) if decoding.thinking else []
        if decoding.thinking:
            self._check(decoding.thinking)
        self._beyond = 0  # characters from a stop string on
        digest = hashlib.sha256(f"{decoding.seed}\0{prompt_id}\0{sample}".encode()).digest()
        self.seed = int.from_bytes(digest[:4], "big") >> 1
        self._rng = random.Random(digest)  # a NumPy generator takes a hundred times as long to make

    def draw(self) -> float:
        """The next of the reply's own uniform numbers."""
        return self._rng.random()

    @property
    def forces(self) -> bool:
        """Whether the next token is put in, whatever the model chooses."""
        if self._put_in:
            return True
        thinking = self._decoding.thinking
        if thinking is None or thinking.budget is None or self._answer_from is not None:
            return False
        return not self._forced and len(self.tokens) >= thinking.budget

    def take(self, token: int) -> int:
        """Goes on by the model's choice, or by what is put in instead; returns which it was."""
        if self.forces:
            token = self._next_forced()
        elif token in self._ends:
            self.ending = "end"
            return token
        elif self._ends_too_soon(token):
            self._extended += 1
            self._put_in.extend(self._more)
            token = self._put_in.popleft()
        self.tokens.append(token)
        if self._answer_from is None:
            self._look_for_end_of_chain()
        else:
            self._look_for_stop()
        if self.ending is None and len(self.tokens) >= self._decoding.max_new_tokens:
            self.ending = "length"
        return token

    def cut_off(self) -> None:
        """Ends the reply where it is."""
        self.ending = "length"

    def done(self) -> Reply:
        """The finished reply."""
        assert self.ending is not None
        first, thought = self._answer_from, self._thought
        if thought is None and self._decoding.thinking is not None:
            thought = len(self.tokens)
        return Reply(
            self._prompt_id,
            self._sample,
            text=self._said(0),
            answer="" if first is None else self._said(first),
            tokens=tuple(self.tokens),
            ending=self.ending,
            thought=thought,
            forced=self._forced,
            extended=self._extended,
        )

    def _check(self, thinking: Thinking) -> None:
        if thinking.extend and not self._more:
            raise InputError(f"thinking: more is {thinking.more!r}, which has no tokens")
        most = self._decoding.max_new_tokens
        n_force = len(self._ids(thinking.force))
        if thinking.budget is not None and thinking.budget + n_force >= most:
            raise InputError(
                f"thinking: a budget of {thinking.budget} and the {n_force} tokens of "
                f"{thinking.force!r} leave nothing of {most} new tokens for the answer"
            )

    def _next_forced(self) -> int:
        assert self._decoding.thinking is not None
        if not self._put_in:
            self._forced, self._thought = True, len(self.tokens)
            self._put_in.extend(self._ids(self._decoding.thinking.force))
        return self._put_in.popleft()

    def _ends_too_soon(self, token: int) -> bool:
        """Whether the token would complete an end of the chain that is to be replaced."""
        thinking = self._decoding.thinking
        if thinking is None or self._answer_from is not None or self._extended >= thinking.extend:
            return False
        if thinking.end not in self._recent(thinking.end, special=True, coming=(token,)):
            return False
        thought = len(self.tokens) + 1 - len(self._ids(thinking.end))
        longer = len(self.tokens) + len(self._more)
        if thinking.least is not None and thought >= thinking.least:
            return False
        return thinking.budget is None or longer <= thinking.budget

    def _look_for_end_of_chain(self) -> None:
        assert self._decoding.thinking is not None
        if self._forced:
            if not self._put_in:
                self._answer_from = len(self.tokens)
            return
        end = self._decoding.thinking.end
        if end in self._recent(end, special=True):
            self._answer_from = len(self.tokens)
            self._thought = max(0, len(self.tokens) - len(self._ids(end)))

    def _look_for_stop(self) -> None:
        if not self._decoding.stop:
            return
        recent = self._recent(max(self._decoding.stop, key=len), special=False)
        places = [place for stop in self._decoding.stop if (place := recent.find(stop)) >= 0]
        if places:
            self.ending, self._beyond = "stop", len(recent) - min(places)

    def _recent(self, wanted: str, *, special: bool, coming: tuple[int, ...] = ()) -> str:
        """The last tokens: enough for what is wanted, as each holds a byte of text or more."""
        first = max(self._answer_from or 0, len(self.tokens) - len(wanted.encode()) - 2)
        recent = [*self.tokens[first:], *coming]
        return self._tokenizer.decode(recent, skip_special_tokens=not special)

    def _said(self, first: int) -> str:
        text = self._tokenizer.decode(self.tokens[first:], skip_special_tokens=True)
        return text[: len(text) - self._beyond]

    def _ids(self, text: str) -> list[int]:
        return self._tokenizer(text, add_special_tokens=False)["input_ids"]
