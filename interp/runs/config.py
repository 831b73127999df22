"""The models of a run as its YAML file states them."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

import pydantic

from interp import configs
from interp.checkpoints.lineage import Lineage
from interp.errors import InputError
from interp.stages.common import ModelRef
from interp.stages.infra import Infra


class Source(pydantic.BaseModel):
    """Where a model of a run comes from.

    Attributes:
        source: a folder of a checkpoint or of a PEFT adapter, or a Hugging Face id of either.
        parent: the model that this one is compared with.
        revision: branch, tag or commit, of an id.
        base: what an adapter stands over, in place of what its config names.
        chat_template: "own", "none", or a Jinja file.
        allow_pickle: read weights that are pickles.
        trust_remote_code: run the checkpoint's own code.
        device_map: "auto" spreads the model over the devices of a run, where one is too small. It
            is no part of what identifies a result, nor of the config that tables name.
    """

    model_config = pydantic.ConfigDict(extra="forbid", frozen=True)

    source: str
    parent: str | None = None
    revision: str | None = None
    base: str | None = None
    chat_template: str = "own"
    allow_pickle: bool = False
    trust_remote_code: bool = False
    device_map: Literal["auto"] | None = pydantic.Field(default=None, exclude=True)


class RunConfig(pydantic.BaseModel):
    """What the YAML files of all runs have; paths are from where the file stands.

    Attributes:
        name: of the run; tables and figures stand in `figures/<name>/`.
        description: one line.
        models: by name, each a source or its fields; or
        lineage: a packaged lineage or a lineage file, whose members are the models.
        members: of the lineage; default: all.
        dtype: the models are loaded in.
        seed: of everything random.
        infra: where the stages run; no part of what identifies the run.
    """

    model_config = pydantic.ConfigDict(extra="forbid", frozen=True)

    name: str = pydantic.Field(pattern=r"^[A-Za-z0-9_.-]+$")
    description: str = ""
    models: dict[str, Source] | None = pydantic.Field(default=None, min_length=1)
    lineage: str | None = None
    members: list[str] | None = None
    dtype: Literal["float32", "bfloat16", "float16", "auto"] = "float32"
    seed: int = 0
    infra: Infra = Infra()
    _home: Path = pydantic.PrivateAttr(default=Path())

    @pydantic.field_validator("models", mode="before")
    @classmethod
    def _plain_sources(cls, models: Any) -> Any:
        """`name: folder` is short for `name: {source: folder}`."""
        if not isinstance(models, Mapping):
            return models
        return {
            name: {"source": entry} if isinstance(entry, str) else entry
            for name, entry in models.items()
        }

    @pydantic.model_validator(mode="after")
    def _one_kind_of_models(self) -> RunConfig:
        if (self.models is None) == (self.lineage is None):
            raise ValueError("expected either `models` or `lineage`, one of them")
        if self.members is not None and self.lineage is None:
            raise ValueError("`members` are of a lineage; leave them out beside `models`")
        return self

    @property
    def sources(self) -> dict[str, Source]:
        """The models by name, those of a lineage with their parents among them.

        Raises:
            InputError: no such lineage or member, a parent that is no model of the run, or models
                that descend from themselves.
        """
        found = self.models or self._members()
        for name, source in found.items():
            if source.parent is not None and source.parent not in found:
                raise InputError(
                    f"run '{self.name}': the parent of '{name}' is '{source.parent}'"
                    f"{configs.nearest(source.parent, found)}, which is no model of it"
                )
        for name in found:
            _above(name, found)
        return found

    def ancestors(self, name: str) -> list[str]:
        """Parent, parent's parent and so on, as far as they are models of the run."""
        return _above(name, self.sources)

    def place(self, home: Path) -> None:
        """Takes paths from `home`, the folder that the file stands in."""
        self._home = home

    def refs(self) -> dict[str, ModelRef]:
        """The checkpoints of the models, as stages name them.

        Raises:
            InputError: a checkpoint that is not there or damaged.
        """
        from interp.checkpoints import Checkpoint

        found = {}
        for name, source in self.sources.items():
            options = source.model_dump(exclude={"source", "parent"})
            for field in ("base", "chat_template"):
                if options[field] is not None:
                    options[field] = self.path(options[field])
            checkpoint = Checkpoint.find(self.path(source.source), name=name, **options)
            found[name] = ModelRef.of(checkpoint, self.dtype, source.device_map)
        return found

    def path(self, given: str) -> str:
        """What is given, from the file's folder if it stands there; a name stays a name."""
        there = self._home / given
        return str(there) if there.exists() else given

    def _members(self) -> dict[str, Source]:
        lineage = Lineage.load(self.path(str(self.lineage)))
        members = [lineage.member(name) for name in self.members or lineage.members]
        names = {member.name for member in members}
        return {
            member.name: Source(
                source=member.source,
                parent=member.parent if member.parent in names else None,
                revision=member.revision,
                chat_template=member.chat_template,
            )
            for member in members
        }


def _above(name: str, sources: Mapping[str, Source]) -> list[str]:
    above: list[str] = []
    parent = sources[name].parent
    while parent is not None:
        if parent == name or parent in above:
            raise InputError(f"models: '{name}' descends from itself by way of '{parent}'")
        above.append(parent)
        parent = sources[parent].parent
    return above
