"""A study: which members of which lineage go through which stages, and what comes out."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import pandas as pd
import pydantic

from interp import configs
from interp.checkpoints.lineage import Lineage
from interp.errors import InputError
from interp.organism.objectives import RECIPES, recipe
from interp.organism.overrides import Override
from interp.organism.recipes import ModelShape
from interp.organism.sizes import USUAL, WorldSize
from interp.publishing import is_published, publish
from interp.settings import cache_root, figures_root, resolve_device, saes_root
from interp.stages.common import ModelRef
from interp.stages.confidence import ConfidenceSettings
from interp.stages.devices import (
    main_device,
    stage_device,
    stages_at_a_time,
    worker_devices,
)
from interp.stages.feature_study import FeatureStudy
from interp.stages.graph import Graph, Node, Results, Watcher
from interp.stages.infra import Infra
from interp.stages.intervene import InterventionSettings
from interp.stages.objective_study import ObjectiveStudy
from interp.stages.pairing import TransferSettings
from interp.stages.plan import Plan
from interp.stages.probe import ProbeSettings
from interp.stages.reasoning_study import ReasoningStudy
from interp.stages.relearn import RelearnSettings
from interp.stages.space import full_disk_said, require_space
from interp.tables import run_info, write_csv, write_table
from interp.verdict.calibration import cut_offs
from interp.verdict.claim_table import claims_table
from interp.verdict.judging import judge
from interp.verdict.layer_study import reasoning_tables
from interp.verdict.rule import load_rule, rule_text
from interp.verdict.signature import signature_table

FOLLOWING = ("features", "reasoning")
"""Purposes that follow something from parent to children, by no rule."""
Evidence = Literal[
    "confidence",
    "probe",
    "transfer",
    "intervene",
    "relearn",
    "features",
    "reasoning",
    "objectives",
]


class StudyConfig(pydantic.BaseModel):
    """A study as its YAML file states it.

    Attributes:
        name: of the study; its figures stand in `figures/<name>/`.
        purpose: "verdict" judges every member; "objectives" does too, and tests the claims of
            `interp.verdict.claims`; "calibration" measures the controls from which the rule's
            cut-offs come, and judges nobody; "features" follows features from parent to children,
            "reasoning" what became of chains of thought, and neither judges anybody.
        description: one line for listings.
        lineage: packaged lineage, or a lineage YAML file.
        seeds: one lineage is trained and judged for each.
        members: of the lineage; parents of children must be among them.
        examined: members whose evidence is gathered; default: all.
        stages: what the evidence consists of.
        shape: of the decoder.
        world: how many names and people the lineage's world has.
        wants_gpu: refuse to start without one, unless the CPU is asked for by name.
        budget: share of each recipe's training steps; below 1 for a smoke run.
        training: member -> what of its recipe is changed, as a larger world or decoder needs.
        confidence, probe, transfer, intervention, relearn, features, reasoning, objectives:
            settings of the stages.
        infra: where the stages run; no part of what identifies the study.
    """

    model_config = pydantic.ConfigDict(extra="forbid", frozen=True)

    name: str
    purpose: Literal["verdict", "calibration", "features", "reasoning", "objectives"]
    description: str
    lineage: str
    seeds: list[int] = pydantic.Field(min_length=1)
    members: list[str] = pydantic.Field(min_length=1)
    examined: list[str] | None = None
    stages: list[Evidence] = ["confidence", "probe", "transfer", "intervene", "relearn"]
    shape: ModelShape = ModelShape()
    world: WorldSize = USUAL
    wants_gpu: bool = False
    budget: float = pydantic.Field(default=1.0, gt=0, le=1)
    training: dict[str, Override] = {}
    confidence: ConfidenceSettings = ConfidenceSettings()
    probe: ProbeSettings = ProbeSettings()
    transfer: TransferSettings = TransferSettings()
    intervention: InterventionSettings = InterventionSettings()
    relearn: RelearnSettings = RelearnSettings()
    features: FeatureStudy = FeatureStudy()
    reasoning: ReasoningStudy = ReasoningStudy()
    objectives: ObjectiveStudy = ObjectiveStudy()
    infra: Infra = Infra()


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
        device: "auto", "cpu", "cuda" (all there are), "cuda:N", or a list such as "cuda:0,cuda:2".
        cluster: in place of the config's `infra.cluster`; "none" computes here.
        workers: stages at a time; by default one per core here (one per device on CUDA), and 64
            of each job array on Slurm.
    """

    config: StudyConfig
    device: str = "auto"
    cluster: str | None = None
    workers: int | None = None
    lineage: Lineage = field(init=False)
    infra: Infra = field(init=False)

    def __post_init__(self) -> None:
        """Checks everything that can be checked before work starts."""
        self.infra = self.config.infra.on(self.cluster)
        self.cluster = self.infra.cluster
        asked, self.device = self.device, self.infra.device(self.device)
        if self.config.wants_gpu and (asked, self.device) == ("auto", "cpu"):
            raise InputError(
                f"study '{self.config.name}' is made for a GPU and there is none here; run it "
                "where there is one, as jobs that are given one (`infra.gpus_per_node`), or with "
                "--device cpu (days)"
            )
        self.lineage = Lineage.load(self.config.lineage)
        for member in self.config.members:
            self._check_member(member)
        self._check_named("training", self.config.training)
        for member, override in self.config.training.items():
            override.of(recipe(member))
        self._check_named("objectives.traced", self.config.objectives.traced)
        self._check_named("objectives.repaired", self.config.objectives.repaired)
        untrained = [name for name in self.config.objectives.traced if not recipe(name).trained]
        if untrained:
            raise InputError(
                f"study '{self.config.name}': `objectives.traced` names '{untrained[0]}', which "
                "takes no step of training that could be followed; leave it out"
            )

    @classmethod
    def load(cls, name_or_path: str, **kwargs: Any) -> Study:
        """A study from a packaged name or a YAML file.

        Args:
            name_or_path: "organism", or a path that ends in .yaml.
            kwargs: device, cluster and workers, as the class takes them.

        Raises:
            InputError: no such study or file, a misspelt key, an unknown member.
        """
        return cls(configs.load(configs.locate(name_or_path, "studies"), StudyConfig), **kwargs)

    @property
    def folder(self) -> Path:
        """Where the study's figures, tables and report stand."""
        return figures_root() / self.config.name

    @property
    def n_workers(self) -> int:
        """Stages at a time."""
        return stages_at_a_time(self.workers, self.device, self.cluster)

    def nodes(self) -> list[Node]:
        """The stages, in order of urgency."""
        return self._plan().nodes()

    def run(self, watch: Watcher = lambda _: None) -> StudyResult:
        """Computes what is not cached, judges, draws.

        Args:
            watch: told of every stage found in the cache, started and done, and of progress.

        Raises:
            InputError: of any stage; what was computed before it stays in the cache.
        """
        require_space()
        plan, devices = self._plan(), worker_devices(self.device)
        with full_disk_said():
            done = Graph(plan.nodes(), self.n_workers, self.cluster, watch, devices).run()
        # Which stage ended first is chance; tables list seeds and members as the study does.
        results = {name: done[name] for name in sorted(done, key=self._place)}
        run = self._run_info()
        tables = self._tables(results)
        if self.config.purpose in (*FOLLOWING, "objectives"):
            run["figures"] = _drawable(tables, self.config.purpose)
        store = cache_root() / "studies" / self.config.name
        for name, frame in tables.items():
            write_table(frame, store / f"{name}.parquet", run)
        if self.config.purpose == "calibration":
            for name in ("measures", "cut_offs"):
                write_csv(tables[name], self.folder / f"{name}.csv")
        else:
            if self.config.purpose == "features" and not is_published(self.folder, run):
                self._publish_features(plan, results, tables)
            publish(tables, self.folder, run)
        return StudyResult(tables, self.folder, run)

    def _publish_features(
        self, plan: Plan, results: Results, tables: Mapping[str, pd.DataFrame]
    ) -> None:
        """Dictionaries and feature pages of the first seed; of the others the cache has them."""
        from interp.organism import World, entity_prompts
        from interp.publishing import publish_dictionaries, publish_pages

        # Jobs may have cards that the process which waits for them has not.
        here = main_device(resolve_device("auto") if self.cluster == "slurm" else self.device)
        seed = self.config.seeds[0]
        members = self.config.examined or self.config.members
        refs = {name: plan.dictionaries_of(results, seed, name) for name in members}
        of_seed = {name: table[table["seed"] == seed] for name, table in tables.items()}
        trained = of_seed["dictionaries"]
        publish_dictionaries(
            {name: Path(ref.folder) for name, ref in refs.items()},
            trained[trained["draw"] == 0],
            saes_root() / self.config.name,
            f"Residual streams of the embedded lineage, seed {seed}, read on documents like those "
            "of its pre-training; "
            f"settings in `figures/{self.config.name}/run.json`.",
        )
        picked = of_seed["features"][of_seed["features"]["picked"]]
        parent = str(picked["member"].iloc[0])
        publish_pages(
            self.folder / "pages",
            picked,
            {
                name: results[f"train/{name}/{seed}"].load(here)
                for name in (parent, *(name for name in members if name != parent))
            },
            refs[parent].load(here),
            entity_prompts(World(seed, self.config.world), "test", "direct"),
            self.config.features.search.kinds,
        )

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
            overrides=config.training,
            settings={
                "confidence": config.confidence,
                "probe": config.probe,
                "transfer": config.transfer,
                "intervene": config.intervention,
                "relearn": config.relearn,
                "features": config.features,
                "reasoning": config.reasoning,
                "objectives": config.objectives,
            },
            common={
                "device": stage_device(self.device, self.cluster),
                "infra": self.infra.of_stages(),
                "world_size": config.world,
            },
        )

    def _place(self, node: str) -> tuple[int, int, str]:
        kind, member, seed = node.split("/")
        return self.config.seeds.index(int(seed)), self.config.members.index(member), kind

    def _check_named(self, where: str, names: Iterable[str]) -> None:
        for name in names:
            if name not in self.config.members:
                raise InputError(
                    f"study '{self.config.name}': `{where}` names '{name}', which is not among "
                    f"its members{configs.nearest(name, self.config.members)}"
                )

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
        if self.config.purpose == "features":
            # Without a feature at the end of the prompt there is nothing to steer with.
            return {name: table for name, table in tables.items() if len(table)}
        if self.config.purpose == "reasoning":
            return reasoning_tables(tables)
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
        if self.config.purpose == "objectives":
            tables["claims"] = claims_table(tables, seeds=self.config.seeds)
            tables["signature"] = signature_table(tables)
        return tables

    def _manifests(self, results: Results) -> list[dict[str, Any]]:
        from interp.checkpoints import Checkpoint

        return [
            Checkpoint(Path(result.folder), result.name).manifest
            for result in results.values()
            if isinstance(result, ModelRef)
        ]

    def _run_info(self) -> dict[str, Any]:
        seeds, config = self.config.seeds, self.config.model_dump(mode="json", exclude={"infra"})
        run = run_info(config, seeds[0] if len(seeds) == 1 else None)
        return run if self.config.purpose in FOLLOWING else run | {"rule": rule_text()}


def _drawable(tables: Mapping[str, pd.DataFrame], purpose: str) -> list[str]:
    """The figures of a study's purpose, those whose tables are there."""
    from interp.figures import FEATURE_FIGURES, OBJECTIVE_FIGURES, REASONING_FIGURES

    figures = {
        "features": FEATURE_FIGURES,
        "reasoning": REASONING_FIGURES,
        "objectives": OBJECTIVE_FIGURES,
    }[purpose]
    return [name for name, spec in figures.items() if set(spec.tables) <= set(tables)]


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
    require_space()
    study = Study(config, device=device)
    nodes = [study._plan().training(seed, member) for member in wanted]
    with full_disk_said():
        devices = worker_devices(study.device)
        refs = Graph(nodes, study.n_workers, None, watch, devices).run()
    return {ref.name: ref.folder for ref in refs.values()}


def studies() -> Sequence[StudyConfig]:
    """The studies the package ships."""
    return [
        configs.load(configs.locate(name, "studies"), StudyConfig)
        for name in configs.packaged("studies")
    ]
