"""A study: which members of which lineage go through which stages, and what comes out."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import pandas as pd
import pydantic

from interp import configs
from interp.checkpoints.lineage import Lineage
from interp.errors import InputError
from interp.organism.recipes import RECIPES, ModelShape, recipe
from interp.settings import cache_root, figures_root, resolve_device
from interp.stages.common import ModelRef, infra_config
from interp.stages.graph import Graph, Results, Watcher
from interp.stages.intervene import InterventionSettings
from interp.stages.plan import Plan
from interp.stages.probe import ProbeSettings
from interp.stages.relearn import RelearnSettings
from interp.tables import read_csv, run_info, write_csv, write_table
from interp.verdict.calibration import cut_offs
from interp.verdict.judging import judge
from interp.verdict.rule import load_rule, rule_text

FREE_BYTES = 300 * 2**20
"""What a study wants free on the disk of its cache before it starts."""

UNPUBLISHED = ("items",)
"""Tables too long to stand beside the figures; the cache has them as parquet."""

FULL_BYTES = 16 * 2**20
"""A disk with less than this free is full: a training save alone takes 9 MB."""


class StudyConfig(pydantic.BaseModel):
    """A study as its YAML file states it.

    Attributes:
        name: of the study; its figures stand in `figures/<name>/`.
        purpose: "verdict" judges every member; "calibration" measures the controls from which
            the rule's cut-offs come, and judges nobody.
        description: one line for listings.
        lineage: packaged lineage, or a lineage YAML file.
        seeds: one lineage is trained and judged for each.
        members: of the lineage; parents of children must be among them.
        examined: members whose evidence is gathered; default: all.
        stages: what the evidence consists of.
        shape: of the decoder.
        budget: share of each recipe's training steps; below 1 for a smoke run.
        probe, intervention, relearn: settings of the stages.
    """

    model_config = pydantic.ConfigDict(extra="forbid", frozen=True)

    name: str
    purpose: Literal["verdict", "calibration"]
    description: str
    lineage: str
    seeds: list[int] = pydantic.Field(min_length=1)
    members: list[str] = pydantic.Field(min_length=1)
    examined: list[str] | None = None
    stages: list[Literal["probe", "intervene", "relearn"]] = ["probe", "intervene", "relearn"]
    shape: ModelShape = ModelShape()
    budget: float = pydantic.Field(default=1.0, gt=0, le=1)
    probe: ProbeSettings = ProbeSettings()
    intervention: InterventionSettings = InterventionSettings()
    relearn: RelearnSettings = RelearnSettings()


@dataclass(frozen=True)
class StudyResult:
    """What a finished study leaves behind.

    Attributes:
        tables: tidy tables by name.
        folder: figures, CSV tables and the report.
        run: run id, config, seed, code version.
    """

    tables: dict[str, pd.DataFrame]
    folder: Path
    run: dict[str, Any]


@dataclass
class Study:
    """A study ready to run.

    Args:
        config: what to do.
        device: "auto", "cpu", "cuda" or "cuda:N".
        cluster: None computes here; "local" or "slurm" hands every stage to exca.
        workers: stages at a time; by default one per core here, and all that are ready on a
            cluster.
    """

    config: StudyConfig
    device: str = "auto"
    cluster: str | None = None
    workers: int | None = None
    lineage: Lineage = field(init=False)

    def __post_init__(self) -> None:
        """Checks everything that can be checked before work starts."""
        self.device = resolve_device(self.device)
        self.lineage = Lineage.load(self.config.lineage)
        for member in self.config.members:
            self._check_member(member)

    @classmethod
    def load(cls, name_or_path: str, **kwargs: Any) -> Study:
        """A study from a packaged name or a YAML file.

        Raises:
            InputError: no such study or file, a misspelt key, an unknown member.
        """
        return cls(configs.load(configs.locate(name_or_path, "studies"), StudyConfig), **kwargs)

    @property
    def folder(self) -> Path:
        """Where the study's figures, tables and report stand."""
        return figures_root() / self.config.name

    def run(self, watch: Watcher = lambda _: None) -> StudyResult:
        """Computes what is not cached, judges, draws.

        Args:
            watch: told of every stage found in the cache, started and done, and of progress.

        Raises:
            InputError: of any stage; what was computed before it stays in the cache.
        """
        _require_disk()
        workers = self.workers or (64 if self.cluster else os.cpu_count() or 1)
        with _full_disk_said():
            done = Graph(self._plan().nodes(), workers, self.cluster, watch).run()
        # Which stage ended first is chance; tables list seeds and members as the study does.
        results = {name: done[name] for name in sorted(done, key=self._place)}
        run = self._run_info()
        tables = self._tables(results)
        store = cache_root() / "studies" / self.config.name
        for name, frame in tables.items():
            write_table(frame, store / f"{name}.parquet", run)
        if self.config.purpose == "calibration":
            for name in ("measures", "cut_offs"):
                write_csv(tables[name], self.folder / f"{name}.csv")
        else:
            self._publish(tables, run)
        return StudyResult(tables, self.folder, run)

    def _plan(self) -> Plan:
        config = self.config
        return Plan(
            lineage=self.lineage,
            seeds=config.seeds,
            members=config.members,
            examined=config.examined or config.members,
            stages=config.stages,
            shape=config.shape,
            budget=config.budget,
            settings={
                "probe": config.probe,
                "intervene": config.intervention,
                "relearn": config.relearn,
            },
            common={"device": self.device, "infra": infra_config(self.cluster)},
        )

    def _place(self, node: str) -> tuple[int, int, str]:
        kind, member, seed = node.split("/")
        return self.config.seeds.index(int(seed)), self.config.members.index(member), kind

    def _check_member(self, member: str) -> None:
        known = self.lineage.members
        if member not in known:
            raise InputError(
                f"study '{self.config.name}': lineage '{self.lineage.name}' has no member "
                f"'{member}'{configs.nearest(member, known)}; it has {', '.join(known)}"
            )
        recipe(member)
        needed = [*self.lineage.ancestors(member), RECIPES[member].starts_from]
        for other in needed:
            if other is not None and other not in self.config.members:
                raise InputError(
                    f"study '{self.config.name}': '{member}' needs '{other}'; add it to `members`"
                )

    def _tables(self, results: Results) -> dict[str, pd.DataFrame]:
        pieces: dict[str, list[pd.DataFrame]] = {}
        for result in results.values():
            if isinstance(result, dict):
                for name, frame in result.items():
                    pieces.setdefault(name, []).append(frame)
        tables = {name: pd.concat(frames, ignore_index=True) for name, frames in pieces.items()}
        parents = {name: entry.parent or "" for name, entry in self.lineage.members.items()}
        tables["measures"].insert(2, "parent", tables["measures"]["member"].map(parents))
        manifests = self._manifests(results)
        tables["curves"] = pd.DataFrame(
            [
                {"seed": manifest["seed"], "member": manifest["member"], **point}
                for manifest in manifests
                for point in manifest["curve"]
            ]
        )
        rule = load_rule()
        if self.config.purpose == "calibration":
            tables["cut_offs"] = cut_offs(tables["measures"], rule.calibration)
            return tables
        planted = {manifest["member"]: manifest["planted"] for manifest in manifests}
        ancestors = {name: self.lineage.ancestors(name) for name in self.config.members}
        tables["evidence"], tables["verdict"] = judge(tables["measures"], ancestors, planted, rule)
        return tables

    def _manifests(self, results: Results) -> list[dict[str, Any]]:
        from interp.checkpoints import Checkpoint

        return [
            Checkpoint(Path(result.folder), result.name).manifest
            for result in results.values()
            if isinstance(result, ModelRef)
        ]

    def _run_info(self) -> dict[str, Any]:
        seeds = self.config.seeds
        return {
            **run_info(self.config.model_dump(mode="json"), seeds[0] if len(seeds) == 1 else None),
            "rule": rule_text(),
        }

    def _publish(self, tables: dict[str, pd.DataFrame], run: dict[str, Any]) -> None:
        """Writes tables, figures and report, unless this very run already stands there."""
        stamp = self.folder / "run.json"
        text = json.dumps(run, indent=1, sort_keys=True) + "\n"
        if stamp.exists() and stamp.read_text(encoding="utf-8") == text:
            return
        stamp.unlink(missing_ok=True)
        for name, frame in tables.items():
            if name not in UNPUBLISHED:
                write_csv(frame, self.folder / f"{name}.csv")
        redraw(self.folder, run)
        stamp.write_text(text, encoding="utf-8")


def redraw(folder: Path, run: dict[str, Any] | None = None) -> list[Path]:
    """Draws a study's figures and report from the tables in its folder; no model is needed.

    Raises:
        InputError: the folder is not one of a finished study.
    """
    from interp.figures import draw, write_report

    if run is None:
        stamp = folder / "run.json"
        if not stamp.exists():
            raise InputError(f"{folder} holds no finished study; run `interp study {folder.name}`")
        run = json.loads(stamp.read_text(encoding="utf-8"))
    tables = {path.stem: _read(path) for path in sorted(folder.glob("*.csv"))}
    drawn = draw(tables, folder, run)
    return [*drawn, write_report(tables, folder / "report.html", run, folder)]


def train_members(
    members: Sequence[str] | None, *, seed: int, device: str, watch: Watcher
) -> dict[str, str]:
    """Trains members of the embedded lineage, with what they start from: member -> folder.

    Args:
        members: default: those of the main job.
        seed: of the lineage.
        device: as for `Study`.
        watch: told of stages and progress.

    Raises:
        InputError: an unknown member.
    """
    main = configs.load(configs.locate("organism", "studies"), StudyConfig)
    wanted = list(main.members if members is None else members)
    for member in wanted:
        start = recipe(member).starts_from
        if start is not None and start not in wanted:
            wanted.append(start)
    needed = {*wanted, *(RECIPES[member].parent for member in wanted)} - {None}
    config = main.model_copy(update={"members": sorted(map(str, needed)), "seeds": [seed]})
    _require_disk()
    study = Study(config, device=device)
    nodes = [study._plan().training(seed, member) for member in wanted]
    with _full_disk_said():
        refs = Graph(nodes, os.cpu_count() or 1, None, watch).run()
    return {ref.name: ref.folder for ref in refs.values()}


def _read(path: Path) -> pd.DataFrame:
    """A table as it was written: an empty word is a word, an empty number is missing."""
    frame = read_csv(path)
    words = [name for name in ("parent", "call") if name in frame]
    return frame.assign(**{name: frame[name].fillna("") for name in words})


def _require_disk() -> None:
    root = cache_root()
    root.mkdir(parents=True, exist_ok=True)
    free = shutil.disk_usage(root).free
    if free < FREE_BYTES:
        raise InputError(
            f"only {free / 2**20:.0f} MB are free where the cache stands ({root}), and a study "
            f"wants {FREE_BYTES / 2**20:.0f}; free some, or set INTERP_CACHE to another disk"
        )


@contextmanager
def _full_disk_said() -> Iterator[None]:
    """A full disk is a different error in every library that writes; here it gets its name."""
    try:
        yield
    except Exception as error:
        root = cache_root()
        if shutil.disk_usage(root).free > FULL_BYTES:
            raise
        raise InputError(
            f"no space left on the disk of the cache ({root}); free some, or set INTERP_CACHE to "
            "another disk, and run again: finished stages are kept"
        ) from error


def studies() -> Sequence[StudyConfig]:
    """The studies the package ships."""
    return [
        configs.load(configs.locate(name, "studies"), StudyConfig)
        for name in configs.packaged("studies")
    ]
