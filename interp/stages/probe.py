"""Stage: what linear and nonlinear readers find in a child's layers, and what transfers to it."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

import exca
import numpy as np
import pandas as pd
import pydantic

from interp.settings import cache_root
from interp.stages.common import ModelRef, Stage, Tables, columns, keyed, task_infra
from interp.stats import Interval, auroc, bootstrap
from interp.tables import code_version

if TYPE_CHECKING:
    from interp.activations import Activations, Site
    from interp.checkpoints import LoadedModel
    from interp.probes import Fold
    from interp.prompts import PromptSet

POSITIONS = ("entity_last", "question_last", "last_prompt")
LINE_OF_POSITION = {"entity_last": "transfer", "last_prompt": "transfer_last"}
"""The line of evidence that a position's retention is; the name is where it is decisive."""


class ProbeSettings(pydantic.BaseModel):
    """Folds and nulls of the probe stage."""

    model_config = pydantic.ConfigDict(extra="forbid", frozen=True)

    n_splits: int = 5
    n_shuffles: int = 20
    """Label shuffles behind each cell's shuffled-label interval."""
    n_familywise: int = 500
    """Label shuffles behind the test over all layers and positions at once."""
    n_boot: int = 300
    """Resamples of the entities behind the interval of each cell; lines of evidence use 1000."""


@dataclass(frozen=True)
class _Held:
    """Activations of one split in both models, with the labels and folds that all cells share."""

    child: Activations
    parent: Activations
    prompts: PromptSet
    unknown_N: np.ndarray
    folds: list[Fold]


class Probe(Stage):
    """Probes every layer and position of a child, and reads it with its parent's probes.

    Attributes:
        child: the model under test.
        parent: gives the zero-shot probes and the scale of what is retained.
        settings: folds and nulls.
    """

    child: ModelRef
    parent: ModelRef
    settings: ProbeSettings = ProbeSettings()
    infra: exca.TaskInfra = task_infra("1")

    def label(self) -> str:
        """What a progress display calls it."""
        return f"probe {self.child.name} (seed {self.seed})"

    @infra.apply
    def run(self) -> Tables:
        """Tables `probes`, `readable`, `transfer` and `measures`."""
        from interp.organism import World, entity_prompts

        world = World(self.seed)
        child, parent = self.child.load(self.device), self.parent.load(self.device)
        sites = _sites(child)
        dev, test = (
            self._hold(child, parent, entity_prompts(world, split, "direct"), sites)
            for split in ("dev", "test")
        )
        cells = [
            (position, site)
            for position in POSITIONS
            for site in sites
            if _varies(test.parent, site, position)
        ]
        chosen = {
            position: max(
                (site for cell_position, site in cells if cell_position == position),
                key=lambda site: self._auroc(dev, dev.parent, site, position),
            )
            for position in POSITIONS
        }
        tables = {
            "probes": self._probes(test, cells, child),
            "readable": self._readable(test, cells),
            "transfer": self._transfer(test, cells, chosen),
        }
        tables["measures"] = self._measures(tables, test, chosen)
        keys = {"seed": self.seed, "member": self.child.name}
        return {name: keyed(table, keys) for name, table in tables.items()}

    def _hold(
        self, child: LoadedModel, parent: LoadedModel, prompts: PromptSet, sites: list[Site]
    ) -> _Held:
        from interp.activations import capture
        from interp.probes import grouped_folds

        unknown_N = np.asarray(prompts.labels, dtype=bool)
        child_acts, parent_acts = (
            capture(
                loaded,
                prompts,
                sites,
                POSITIONS,
                folder=cache_root() / "activations" / _store_name(loaded, prompts),
            )
            for loaded in (child, parent)
        )
        folds = grouped_folds(prompts.groups, unknown_N, self.settings.n_splits, self.seed)
        return _Held(child_acts, parent_acts, prompts, unknown_N, folds)

    def _auroc(self, held: _Held, acts: Activations, site: Site, position: str) -> float:
        from interp.probes import out_of_fold_scores

        return auroc(
            out_of_fold_scores(acts.read(site, position), held.unknown_N, held.folds),
            held.unknown_N,
        )

    def _probes(
        self, held: _Held, cells: list[tuple[str, Site]], child: LoadedModel
    ) -> pd.DataFrame:
        """Linear and MLP probes with shuffled labels beside them, and the bag of tokens."""
        from interp.probes import bag_of_tokens, probe_cell
        from interp.prompts import encode, render

        rows: list[dict[str, Any]] = []
        for position, site in cells:
            for row in self._cell(probe_cell, held, held.child.read(site, position), mlp=True):
                rows.append({"position": position, "layer": _layer(site), **row})
        tokens = bag_of_tokens(encode(render(held.prompts, child.tokenizer), child.tokenizer))
        surface = self._cell(probe_cell, held, tokens, mlp=False)[0]
        rows += [
            {"position": position, "layer": -1, **surface, "probe": "surface"}
            for position in POSITIONS
        ]
        return pd.DataFrame(rows)

    def _cell(self, probe_cell: Any, held: _Held, acts: Any, *, mlp: bool) -> list[dict[str, Any]]:
        return probe_cell(
            acts,
            held.unknown_N,
            held.prompts.groups,
            n_splits=self.settings.n_splits,
            n_shuffles=self.settings.n_shuffles,
            seed=self.seed,
            mlp=mlp,
            n_boot=self.settings.n_boot,
        )

    def _readable(self, held: _Held, cells: list[tuple[str, Site]]) -> pd.DataFrame:
        """One test over all cells: can any linear reader tell the classes apart anywhere?"""
        from interp.probes import strongest_reader

        found = strongest_reader(
            {(position, site): held.child.read(site, position) for position, site in cells},
            held.unknown_N,
            held.prompts.groups,
            held.folds,
            n_shuffles=self.settings.n_familywise,
            seed=self.seed,
        )
        return pd.DataFrame(
            [
                {
                    "position": position,
                    "layer": _layer(site),
                    "estimate": value.estimate,
                    "null_lo": value.lo,
                    "null_hi": value.hi,
                    "p_adjusted": p,
                }
                for (position, site), (value, p) in found.items()
            ]
        )

    def _transfer(
        self, held: _Held, cells: list[tuple[str, Site]], chosen: dict[str, Site]
    ) -> pd.DataFrame:
        """Zero-shot transfer and the geometry of the mean differences, in every cell."""
        from interp.directions import cosine, mean_difference
        from interp.probes import rho, transfer_scores
        from interp.probes.cell import auroc_of

        rows = []
        for position, site in cells:
            acts = [model.read(site, position) for model in (held.parent, held.child)]
            scores = transfer_scores(*acts, held.unknown_N, held.folds)
            retained = rho(
                *scores,
                held.unknown_N,
                held.prompts.groups,
                seed=self.seed,
                n_boot=1000 if site == chosen[position] else self.settings.n_boot,
            )
            read = bootstrap(
                partial(auroc_of, scores[1], held.unknown_N),
                held.prompts.groups,
                strata=held.unknown_N,
                seed=self.seed,
                n_boot=self.settings.n_boot,
            )
            of_parent, of_child = (
                mean_difference(
                    model_acts,
                    held.unknown_N,
                    site=site,
                    position=position,
                    source=name,
                )
                for model_acts, name in zip(acts, ("parent", "child"), strict=True)
            )
            values = {
                "auroc": read,
                "rho": retained,
                "cosine": _exact(cosine(of_parent, of_child)),
                "norm_ratio": _exact(of_child.norm / of_parent.norm),
            }
            rows += [
                {
                    "parent": self.parent.name,
                    "position": position,
                    "layer": _layer(site),
                    "measure": measure,
                    "selected": site == chosen[position],
                    **columns(value),
                }
                for measure, value in values.items()
            ]
        return pd.DataFrame(rows)

    def _measures(
        self, tables: dict[str, pd.DataFrame], held: _Held, chosen: dict[str, Site]
    ) -> pd.DataFrame:
        """Lines of evidence at the layer chosen on dev: zero-shot, nonlinear and refitted."""
        from interp.probes import out_of_fold_scores, rho

        transfer = tables["transfer"]
        rows = []
        for position, line in LINE_OF_POSITION.items():
            cell = transfer[
                (transfer["position"] == position)
                & (transfer["measure"] == "rho")
                & transfer["selected"]
            ].iloc[0]
            rows.append({"line": line, **cell[["estimate", "lo", "hi"]]})
        site = chosen["entity_last"]
        for line, kind in (("refit", "linear"), ("nonlinear", "mlp")):
            scores = (
                out_of_fold_scores(
                    acts.read(site, "entity_last"), held.unknown_N, held.folds, kind=kind
                )
                for acts in (held.parent, held.child)
            )
            value = rho(*scores, held.unknown_N, held.prompts.groups, seed=self.seed)
            rows.append({"line": line, **columns(value)})
        return pd.DataFrame(rows)


def _store_name(loaded: LoadedModel, prompts: PromptSet) -> str:
    """One folder for each model, prompt set and code version: no store is ever refused as stale."""
    parts = (loaded.checkpoint.fingerprint, prompts.fingerprint, code_version())
    return hashlib.sha256("/".join(parts).encode()).hexdigest()[:24]


def _sites(loaded: LoadedModel) -> list[Site]:
    """The embedding and the residual stream after every block."""
    from interp.activations import Site

    blocks = [Site("resid_post", layer) for layer in range(loaded.n_layers)]
    return [Site("resid_pre", 0), *blocks]


def _layer(site: Site) -> int:
    return site.layer if site.kind == "resid_post" else -1


def _varies(acts: Activations, site: Site, position: str) -> bool:
    """False where the architecture makes every prompt alike: there is nothing to read there."""
    return bool(acts.read(site, position).std(0).max() > 1e-6)


def _exact(value: float) -> Interval:
    return Interval(value, float("nan"), float("nan"))
