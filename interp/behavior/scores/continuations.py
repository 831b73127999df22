"""How replies begin, by what they amount to: abstaining, asking back, refusing, answering."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass, fields, replace
from typing import Any

import pydantic

from interp import configs
from interp.errors import InputError

FOLDER = "behavior/scores/languages"
"""Where the package keeps them, one file a language."""


class _File(pydantic.BaseModel):
    """A file of continuations, key by key."""

    model_config = pydantic.ConfigDict(extra="forbid")

    language: str
    abstain: tuple[str, ...]
    answer: tuple[str, ...]
    clarify: tuple[str, ...] = ()
    false_premise: tuple[str, ...] = ()
    refuse: tuple[str, ...] = ()


@dataclass(frozen=True)
class Continuations:
    """Beginnings of replies in one language, by the kind of reply.

    Attributes:
        language: what they are written in, for instance "en".
        abstain: the reply says that it does not know, or that nobody can.
        answer: it answers, whatever the answer may be.
        clarify: it asks for what is missing.
        false_premise: it says that what the question takes for granted is not so.
        refuse: it will not; this is policy and says nothing about knowledge.
        source: the file they are from, for messages.

    Raises:
        InputError: nothing abstains or nothing answers, a continuation is empty, has space around
            it, or stands there twice; the message names file and key. Whether one begins with
            another one is up to the tokenizer: scores that sum probabilities refuse it.
    """

    language: str
    abstain: tuple[str, ...]
    answer: tuple[str, ...]
    clarify: tuple[str, ...] = ()
    false_premise: tuple[str, ...] = ()
    refuse: tuple[str, ...] = ()
    source: str = "continuations"

    def __post_init__(self) -> None:
        if not self.language.strip():
            raise InputError(f"{self.source}: 'language' is empty; name the language, such as en")
        for kind in ("abstain", "answer"):
            if not getattr(self, kind):
                raise InputError(
                    f"{self.source}: '{kind}' has no continuation; a score weighs abstaining "
                    "against answering, so give each at least one"
                )
        for key, text in self._keyed():
            if not text.strip():
                raise InputError(f"{self.source}: '{key}' is empty; write a beginning of a reply")
            if text != text.strip():
                raise InputError(
                    f"{self.source}: '{key}' ({text!r}) has space around it; leave it out, as the "
                    "space after a prompt is put in by need"
                )
        self._refuse_repeats()

    @property
    def kinds(self) -> tuple[str, ...]:
        """Kinds that have a continuation: abstain and answer, and others in a fixed order."""
        return tuple(kind for kind in KINDS if getattr(self, kind))

    @property
    def texts(self) -> tuple[str, ...]:
        """All continuations, kind after kind."""
        return tuple(text for _, text in self._keyed())

    @property
    def kind_of_each(self) -> tuple[str, ...]:
        """The kind of each of the `texts`."""
        return tuple(kind for kind in self.kinds for _ in getattr(self, kind))

    def only(self, texts: Collection[str]) -> Continuations:
        """Those of them that are among the texts, in the same order.

        Raises:
            InputError: a text is none of them, or none that abstains, or answers, is left.
        """
        if unknown := sorted(set(texts) - set(self.texts)):
            raise InputError(
                f"{self.source}: {unknown[0]!r} is none of its continuations"
                f"{configs.nearest(unknown[0], self.texts)}"
            )
        kept: dict[str, Any] = {
            kind: tuple(text for text in getattr(self, kind) if text in texts)
            for kind in self.kinds
        }
        return replace(self, **kept)

    def _keyed(self) -> Iterator[tuple[str, str]]:
        """Each continuation with its key in the file."""
        for kind in self.kinds:
            for place, text in enumerate(getattr(self, kind)):
                yield f"{kind}.{place}", text

    def _refuse_repeats(self) -> None:
        key_of: dict[str, str] = {}
        for key, text in self._keyed():
            if key_of.setdefault(text, key) != key:
                raise InputError(
                    f"{self.source}: '{key}' is '{key_of[text]}' again ({text!r}); leave one out"
                )


KINDS = tuple(f.name for f in fields(Continuations) if f.name not in ("language", "source"))
"""Kinds of continuations: those of `ReplyKind` that begin with words."""


def read_continuations(name_or_path: str) -> Continuations:
    """Continuations of a packaged language, such as "en", or of a YAML file.

    The file has the key `language` and lists of texts under `abstain` and `answer`, and, where
    wanted, under `clarify`, `false_premise` and `refuse`.

    Raises:
        InputError: there is no such language or file, it is no such YAML, or as `Continuations`.
    """
    path = configs.locate(name_or_path, FOLDER)
    content: dict[str, Any] = configs.load(path, _File).model_dump()
    return Continuations(**content, source=str(path))


def check_readable(continuations: Continuations, tokenizer: Any) -> None:
    """Refuses continuations with words that the tokenizer does not have.

    Such words all become one unknown token, whose probability says nothing.

    Raises:
        InputError: as said, with the first such continuation.
    """
    unknown = tokenizer.unk_token_id
    if unknown is None:
        return
    for key, text in continuations._keyed():
        ids = tokenizer(text, add_special_tokens=False)["input_ids"]
        if unknown in ids and tokenizer.unk_token not in text:
            raise InputError(
                f"{continuations.source}: '{key}' ({text!r}) has words that the model's tokenizer "
                f"does not know; it reads {tokenizer.decode(ids)!r}. Give a file of continuations "
                "in words that the model has"
            )
