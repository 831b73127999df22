"""What all stages share: the cache, the model they name, and the shape of what they return."""

from __future__ import annotations

import pickle
from abc import abstractmethod
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import exca
import pandas as pd
import pydantic

from interp.errors import InputError
from interp.organism.sizes import USUAL, WorldSize
from interp.stages.slurm import use_queue

if TYPE_CHECKING:
    from interp.checkpoints import Checkpoint, LoadedModel
    from interp.organism import World

use_queue()

Tables = dict[str, pd.DataFrame]
"""Tidy tables by name, as a stage returns them."""


def keyed(table: pd.DataFrame, keys: Mapping[str, Any]) -> pd.DataFrame:
    """The table with the same leading columns in every row."""
    return pd.concat([pd.DataFrame(dict(keys), index=table.index), table], axis=1)


class ModelRef(pydantic.BaseModel):
    """A checkpoint as a stage names it: the content decides the cache, not the folder.

    Attributes:
        name: member of the lineage.
        folder: where it stands on this machine.
        fingerprint: hash of weights, config, tokenizer and chat template.
        options: what else its `Checkpoint` was made with: adapter, chat template, permissions.
        dtype: it is loaded in.
        device_map: "auto" spreads it over all devices that the process sees; not part of what
            identifies a result.
    """

    model_config = pydantic.ConfigDict(extra="forbid", frozen=True)
    _exclude_from_cls_uid: ClassVar[tuple[str, ...]] = ("folder", "options", "device_map")

    name: str
    folder: str
    fingerprint: str
    options: dict[str, str | bool] = {}
    dtype: str = "float32"
    device_map: Literal["auto"] | None = None

    @classmethod
    def of(
        cls,
        checkpoint: Checkpoint,
        dtype: str = "float32",
        device_map: Literal["auto"] | None = None,
    ) -> ModelRef:
        """Names a checkpoint as it stands now.

        Args:
            checkpoint: on disk.
            dtype: it is loaded in.
            device_map: as the attribute.
        """
        options: dict[str, str | bool] = {
            "chat_template": str(checkpoint.chat_template),
            "allow_pickle": checkpoint.allow_pickle,
            "trust_remote_code": checkpoint.trust_remote_code,
        }
        if checkpoint.adapter is not None:
            options["adapter"] = str(checkpoint.adapter)
        return cls(
            name=checkpoint.name,
            folder=str(checkpoint.path),
            fingerprint=checkpoint.fingerprint,
            options=options,
            dtype=dtype,
            device_map=device_map,
        )

    def checkpoint(self) -> Checkpoint:
        """The checkpoint, not loaded."""
        from interp.checkpoints import Checkpoint

        paths = ("adapter", "chat_template")
        options: dict[str, Any] = {
            name: Path(str(value)) if name in paths and value not in ("own", "none") else value
            for name, value in self.options.items()
        }
        return Checkpoint(Path(self.folder), self.name, **options)

    def load(self, device: str) -> LoadedModel:
        """Loads the checkpoint, checking that it is read exactly and is what was planned with.

        Raises:
            InputError: the folder is damaged, its content changed since the study was planned, or
                a line of the self-check does not hold.
        """
        from interp.selfcheck import require

        checkpoint = self.checkpoint()
        # Asked for by name, the CPU is the one device there is to spread over.
        spread = self.device_map is not None and device != "cpu"
        place = {"device_map": self.device_map} if spread else {"device": device}
        loaded = checkpoint.load(dtype=self.dtype, **place)
        if checkpoint.fingerprint != self.fingerprint:
            raise InputError(
                f"{self.folder} is not the checkpoint that this study trained or was planned "
                "with; delete the folder and run the study again"
            )
        require(loaded)
        return loaded


class Stage(pydantic.BaseModel):
    """A step of a study. Subclasses have an `infra` (exca) and a cached method `run`.

    Attributes:
        seed: of the lineage and of everything random in the stage.
        device: where it runs; not part of what identifies the result.
        world_size: of the embedded lineage's world. exca leaves defaults out of what identifies a
            result, so that results of the usual size stand where they stood before there was
            another.
    """

    model_config = pydantic.ConfigDict(extra="forbid")
    _exclude_from_cls_uid: ClassVar[tuple[str, ...]] = ("device",)

    seed: int
    device: str = "cpu"
    world_size: WorldSize = USUAL

    def world(self) -> World:
        """The world that the embedded lineage of this seed was taught."""
        from interp.organism import World

        return World(self.seed, self.world_size)

    @abstractmethod
    def label(self) -> str:
        """What a progress display calls it."""

    def cached(self) -> bool:
        """Whether the result stands in the cache, without loading it.

        Raises:
            InputError: the cache entry is torn.
        """
        return self._guarded(lambda infra: infra.status() == "completed")

    def result(self) -> Any:
        """The stage's result, computed or from the cache.

        Raises:
            InputError: bad input, or a torn cache entry.
        """
        return self._guarded(lambda _: self.run())  # type: ignore[attr-defined]

    def submitted(self) -> bool:
        """Whether a job for it waits or runs already, of this study or of an earlier run.

        Raises:
            InputError: the cache entry is torn.
        """
        return self._guarded(lambda infra: infra.status() == "running")

    def drop_note(self) -> None:
        """Forgets a result in the cache whose work is gone, so that it is computed again."""

    def _guarded(self, read: Any) -> Any:
        infra: exca.TaskInfra = self.infra  # type: ignore[attr-defined]
        try:
            return read(infra)
        except (EOFError, pickle.UnpicklingError) as error:
            raise InputError(
                f"the cache entry {infra.uid_folder()} is corrupted or half-written; delete this "
                "folder and run the study again (only this stage is computed anew)"
            ) from error


class FolderStage(Stage):
    """A stage whose work stands in a folder; what exca keeps of it is only a note."""

    @property
    @abstractmethod
    def folder(self) -> Path:
        """Where the work stands."""

    def identity(self) -> dict[str, Any]:
        """What the folder's name is made of; a world of the usual size goes unsaid."""
        said: dict[str, Any] = _usual_unsaid(self.model_dump(exclude={"infra", "device"}))
        return said

    def cached(self) -> bool:
        """Whether the folder itself is there: a note of it in the cache is not enough."""
        return super().cached() and self.folder.exists()

    def result(self) -> Any:
        """The stage's result; the work is done again where its folder was deleted."""
        self.drop_note()
        return super().result()

    def drop_note(self) -> None:
        """Forgets the note of a folder that was deleted, but no job that is still at work."""
        if super().cached() and not self.folder.exists():
            self._guarded(lambda infra: infra.clear_job())


def _usual_unsaid(value: Any) -> Any:
    """The value without where models are put and worlds of the usual size, as folders are named."""
    if not isinstance(value, Mapping):
        return value
    usual = USUAL.model_dump()
    return {
        key: _usual_unsaid(part)
        for key, part in value.items()
        if part != usual and key != "device_map"
    }


def task_infra(version: str) -> exca.TaskInfra:
    """The infra of a stage class; a new `version` makes old results of the stage unread."""
    return exca.TaskInfra(version=version, mode="retry")
