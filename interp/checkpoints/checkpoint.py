"""A checkpoint (weights, tokenizer and chat template in a folder), and one that is in memory."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import nn
from transformers import PreTrainedModel, PreTrainedTokenizerFast

from interp.checkpoints import adapters, contents, files, sources
from interp.checkpoints.anatomy import block_list
from interp.checkpoints.lineage import Member
from interp.checkpoints.loading import load_model, load_tokenizer
from interp.errors import InputError


@dataclass(frozen=True)
class Checkpoint:
    """A Hugging Face folder with `config.json`, safetensors weights and a fast tokenizer.

    Attributes:
        path: the folder.
        name: what tables and figures call it.
        adapter: folder of a PEFT adapter over the weights; a tokenizer in it is the one used.
        chat_template: "own"; "none" records that the model is used without one, as a base model is
            that ships one; or a Jinja file to use in place of its own.
        allow_pickle: read weights that are pickles, if there are no safetensors: tensors only.
        trust_remote_code: run the checkpoint's own Python files, for architectures that
            transformers doesn't have.
    """

    path: Path
    name: str
    adapter: Path | None = None
    chat_template: str | Path = "own"
    allow_pickle: bool = False
    trust_remote_code: bool = False

    def __post_init__(self) -> None:
        """Refuses a chat template that is a misspelt word."""
        if isinstance(self.chat_template, str) and self.chat_template not in ("own", "none"):
            raise InputError(
                f"chat template '{self.chat_template}': expected 'own', 'none' or a Path to a file"
            )

    @classmethod
    def find(
        cls,
        source: str | Path,
        *,
        name: str | None = None,
        revision: str | None = None,
        base: str | Path | None = None,
        chat_template: str | Path = "own",
        allow_pickle: bool = False,
        trust_remote_code: bool = False,
    ) -> Checkpoint:
        """A checkpoint from wherever it is; what is on the Hub is fetched, or read from its cache.

        Args:
            source: a folder of a checkpoint or of a PEFT adapter, or a Hugging Face id of either.
            name: by default the folder's, or the id's last part with the revision.
            revision: branch, tag or commit, of an id.
            base: what an adapter stands over, in place of what its config names.
            chat_template: as the attribute; a string other than "own" and "none" is a file's path.
            allow_pickle: as the attribute.
            trust_remote_code: as the attribute.

        Raises:
            InputError: it is nowhere, or cannot be fetched; one line that says what to do.
        """
        allowed = {"allow_pickle": allow_pickle, "trust_remote_code": trust_remote_code}
        located = sources.locate(source, revision=revision, base=base, **allowed)
        template = chat_template if chat_template in ("own", "none") else Path(chat_template)
        called = located.name if name is None else name
        return cls(located.path, called, located.adapter, template, **allowed)

    @classmethod
    def of(cls, member: Member, **options: Any) -> Checkpoint:
        """The checkpoint of a lineage's member, by the member's name.

        Args:
            member: as from `Lineage.member`.
            options: keywords of `find`, over what the member says.

        Raises:
            InputError: as `find`.
        """
        said = member.model_dump(include={"name", "revision", "chat_template"})
        return cls.find(member.source, **said | options)

    @property
    def fingerprint(self) -> str:
        """SHA-256 (hex) over config, weights, tokenizer, the chat template used, and the adapter.

        Raises:
            InputError: the folder is no checkpoint.
        """
        parts = contents.model_parts(
            self.path, allow_pickle=self.allow_pickle, code=self.trust_remote_code
        )
        if self.adapter is not None:
            parts |= contents.adapter_parts(self.adapter, allow_pickle=self.allow_pickle)
        return contents.identity(parts | self._tokenizer_parts)

    @property
    def tokenizer_fingerprint(self) -> str:
        """SHA-256 (hex) over tokenizer and chat template."""
        return contents.identity(self._tokenizer_parts)

    @property
    def manifest(self) -> dict[str, Any]:
        """What `save_manifest` wrote; empty for a checkpoint without one.

        Raises:
            InputError: it is damaged.
        """
        return files.read_manifest(self.path)

    @property
    def tokenizer_folder(self) -> Path:
        """The adapter's folder if there is a tokenizer in it, else that of the weights."""
        if self.adapter is not None and (self.adapter / "tokenizer.json").is_file():
            return self.adapter
        return self.path

    @property
    def without_adapter(self) -> Checkpoint:
        """The model that the adapter stands over, named after its folder."""
        return replace(self, name=sources.name_of(self.path), adapter=None)

    def load(
        self,
        device: str = "cpu",
        dtype: str = "float32",
        *,
        device_map: Any = None,
        attention: str | None = None,
    ) -> LoadedModel:
        """Loads weights and tokenizer, and checks that they are whole and fit each other.

        No code from the folder is run unless asked for: weights are safetensors, and architectures
        that transformers itself doesn't have are refused.

        Args:
            device: "auto", "cpu", "cuda" or "cuda:N".
            dtype: "float32", "bfloat16", "float16", or "auto" for the one it was saved in.
            device_map: in place of `device`, as accelerate takes it: "auto" or a dict.
            attention: "eager", "sdpa" or "flash_attention_2"; by default transformers' choice.

        Raises:
            InputError: the folder is no checkpoint, its weights are cut short, pickled, or not
                those of config, manifest or tokenizer, or the adapter does not fit.
        """
        loaded = self._load_plain(device, dtype, device_map, attention)
        if self.adapter is None:
            return loaded
        return replace(loaded, model=adapters.attach(loaded.model, self.adapter))

    def load_pair(self, **options: Any) -> tuple[LoadedModel, LoadedModel]:
        """Parent and child on one set of weights: the base, and the base with the adapter.

        Args:
            options: those of `load`, by name.

        Returns:
            The parent, named after its folder, and the child. Nothing is switched between them:
            use either at any time. What changes the weights of one in place changes the other.

        Raises:
            InputError: as for `load`; or this checkpoint is no adapter, or its adapter changes the
                weights under it.
        """
        if self.adapter is None:
            raise InputError(
                f"{self.name}: not an adapter, so there is no pair on one set of weights; load "
                "parent and child as two checkpoints"
            )
        child = self._load_plain(**options)
        parent = self.without_adapter
        tokenizer = load_tokenizer(parent.path, parent.chat_template)
        adapted = adapters.attach_to_copy(child.model, self.adapter)
        return LoadedModel(child.model, tokenizer, parent), replace(child, model=adapted)

    def _load_plain(
        self,
        device: str = "cpu",
        dtype: str = "float32",
        device_map: Any = None,
        attention: str | None = None,
    ) -> LoadedModel:
        """The weights without the adapter, and the tokenizer that they are used with here."""
        files.check_folder(self.path)
        files.check_weights(self.path, allow_pickle=self.allow_pickle)
        if self.adapter is not None:
            adapters.check_adapter(self.adapter, allow_pickle=self.allow_pickle)
        tokenizer = load_tokenizer(self.tokenizer_folder, self.chat_template)
        model = load_model(
            self.path,
            tokenizer,
            device=device,
            dtype=dtype,
            device_map=device_map,
            attention=attention,
            allow_pickle=self.allow_pickle,
            trust_remote_code=self.trust_remote_code,
        )
        return LoadedModel(model, tokenizer, self)

    @property
    def _tokenizer_parts(self) -> contents.Parts:
        return contents.tokenizer_parts(self.tokenizer_folder, self.chat_template)


@dataclass(frozen=True, eq=False)
class LoadedModel:
    """A model in memory, with the tokenizer it reads by.

    Attributes:
        model: the transformers model, in eval mode; unmodified but for the adapter's layers.
        tokenizer: fast, with the checkpoint's chat template.
        checkpoint: where it was loaded from.
    """

    model: PreTrainedModel
    tokenizer: PreTrainedTokenizerFast
    checkpoint: Checkpoint

    @property
    def blocks(self) -> list[nn.Module]:
        """The decoder blocks, from the lowest."""
        return list(block_list(self.model))

    @property
    def n_layers(self) -> int:
        """Number of decoder blocks."""
        return len(block_list(self.model))

    @property
    def d_model(self) -> int:
        """Width of the residual stream."""
        return int(self.model.config.hidden_size)

    @property
    def device(self) -> torch.device:
        """Where the input embedding is, and so where token ids belong."""
        return next(self.model.get_input_embeddings().parameters()).device
