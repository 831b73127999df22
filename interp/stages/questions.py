"""The prompts that a stage asks: a file, or people of the embedded world."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, ClassVar, Literal

import pydantic

from interp.errors import InputError
from interp.organism.sizes import USUAL, WorldSize

if TYPE_CHECKING:
    from interp.prompts import PromptSet


N_DOCUMENTS = 3000
"""Of the embedded world's text for dictionaries: some 54,000 tokens."""
N_PLAIN = 600
"""Of the documents in which a feature must not fire: some 10,000 tokens."""


N_CHAINED = 60
"""Known people whose chains are read, and as many unknown ones."""


class PromptFile(pydantic.BaseModel):
    """A JSONL prompt set as a stage names it: the content decides the cache, not the place.

    Attributes:
        path: where it stands on this machine.
        fingerprint: of the prompts in it.
    """

    model_config = pydantic.ConfigDict(extra="forbid", frozen=True)
    _exclude_from_cls_uid: ClassVar[tuple[str, ...]] = ("path",)

    kind: Literal["file"] = "file"
    path: str
    fingerprint: str

    @classmethod
    def of(cls, path: Path) -> PromptFile:
        """Reads the file once, so that its errors come before any work."""
        from interp.prompts import read_prompts

        return cls(path=str(path), fingerprint=read_prompts(path).fingerprint)

    def load(self) -> PromptSet:
        """The prompts.

        Raises:
            InputError: as `read_prompts`, or the file has changed since the work was planned.
        """
        from interp.prompts import read_prompts

        prompts = read_prompts(Path(self.path))
        if prompts.fingerprint != self.fingerprint:
            raise InputError(f"{self.path}: changed since this work was planned; start it again")
        return prompts


class WorldPrompts(pydantic.BaseModel):
    """Questions about people of the embedded world.

    Attributes:
        world: its seed.
        what: "dev" or "test", direct questions about the people of that split; "neutral", questions
            that have nothing to do with whom a model knows; "documents", text like that of the
            pre-training, for dictionaries; "plain", the part of it that asks nothing; "chains",
            chains of thought up to where a sentence begins, about the people of "test".
        size: of the world.
    """

    model_config = pydantic.ConfigDict(extra="forbid", frozen=True)

    kind: Literal["world"] = "world"
    world: int
    what: Literal["dev", "test", "neutral", "documents", "plain", "chains"]
    size: WorldSize = USUAL

    def load(self) -> PromptSet:
        """The prompts."""
        from interp import organism

        world = organism.World(self.world, self.size)
        match self.what:
            case "documents":
                return organism.document_prompts(world, N_DOCUMENTS)
            case "plain":
                return organism.plain_prompts(world, N_PLAIN)
            case "chains":
                return organism.point_prompts(world, "test", N_CHAINED)
            case "neutral":
                return organism.neutral_prompts(world)
            case split:
                return organism.entity_prompts(world, split, "direct")


Questions = Annotated[PromptFile | WorldPrompts, pydantic.Field(discriminator="kind")]
