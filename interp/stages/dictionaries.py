"""Stage: a dictionary for every layer of a model, trained on text."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

import exca
import numpy as np
import pandas as pd
import pydantic

from interp.features.recipe import DictionaryRecipe
from interp.settings import cache_root
from interp.stages.common import FolderStage, ModelRef, Tables, keyed, task_infra
from interp.stages.questions import Questions
from interp.stages.reading import Cells

if TYPE_CHECKING:
    from interp.features import Dictionary

CARD = ("fvu", "l0", "dead", "rows")


class DictionaryRef(pydantic.BaseModel):
    """The dictionaries of a model as a stage names them.

    Attributes:
        name: their folder's name, which holds the hash of all that made them.
        folder: where they stand on this machine.
    """

    model_config = pydantic.ConfigDict(extra="forbid", frozen=True)
    _exclude_from_cls_uid: ClassVar[tuple[str, ...]] = ("folder",)

    name: str
    folder: str

    @classmethod
    def of(cls, folder: Path) -> DictionaryRef:
        """Names a folder of dictionaries."""
        return cls(name=folder.name, folder=str(folder))

    def load(self, device: str) -> dict[int, Dictionary]:
        """Dictionaries by layer."""
        return load_dictionaries(Path(self.folder), device)


class Dictionaries(FolderStage):
    """Trains a model's dictionaries and returns how well they hold its activations.

    Attributes:
        model: whose activations.
        text: what they are trained on.
        recipe: how.
        draw: number of the dictionary seed; more than one tells what is about the seed.
        sites: kinds or single sites.
    """

    model: ModelRef
    text: Questions
    recipe: DictionaryRecipe
    draw: int = 0
    sites: tuple[str, ...] = ("resid_post",)
    infra: exca.TaskInfra = task_infra("2")

    def label(self) -> str:
        """What a progress display calls it."""
        return f"dictionaries of {self.model.name}, draw {self.draw} (seed {self.seed})"

    @property
    def folder(self) -> Path:
        """Where the dictionaries stand."""
        identity = self.identity()
        identity["model"] = self.model.fingerprint
        digest = hashlib.sha256(json.dumps(identity, sort_keys=True).encode()).hexdigest()[:12]
        return cache_root() / "dictionaries" / f"{self.model.name}-{digest}"

    @infra.apply
    def run(self) -> Tables:
        """Table `dictionaries`: a row a layer, from the cards."""
        from interp.features.card import note
        from interp.features.training import batches_of, train_dictionaries
        from interp.interventions import splice

        loaded = self.model.load(self.device)
        prompts = self.text.load()
        acts = Cells(sites=self.sites, positions=("all",)).read(loaded, prompts).acts
        seed = self.seed * 1000 + self.draw
        trained = train_dictionaries(
            acts,
            self.recipe,
            self.folder,
            seed=seed,
            about={"model_name": self.model.name, "checkpoint": self.model.fingerprint},
            device=self.device,
            task=self.label(),
        )
        held = batches_of(acts, self.recipe, seed=seed).held_prompts
        unseen = prompts.where(np.isin(np.arange(len(prompts)), held))
        rows = []
        for site, dictionary in trained.items():
            spliced = splice(loaded, unseen, dictionary)
            recovered = {
                "ce_recovered": spliced.recovered,
                "ce_clean": spliced.clean,
                "ce_spliced": spliced.spliced,
                "identity_error": spliced.identity_error,
            }
            note(self.folder / str(site), **recovered)
            card = {name: dictionary.about[name] for name in CARD}
            rows.append({"site": site.kind, "layer": site.layer} | card | recovered)
        keys = {"seed": self.seed, "member": self.model.name, "draw": self.draw}
        return {"dictionaries": keyed(pd.DataFrame(rows), keys)}


def load_dictionaries(folder: Path, device: str) -> dict[int, Dictionary]:
    """A stage's dictionaries by layer.

    Raises:
        InputError: as `interp.features.load_dictionary`.
    """
    from interp.activations import Site
    from interp.features import load_dictionary

    places = sorted(place for place in folder.iterdir() if not place.name.startswith("."))
    return {Site.parse(place.name).layer: load_dictionary(place, device=device) for place in places}
