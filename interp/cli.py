"""The command line, one command a kind of work; heavy libraries load when they are used."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from interp.errors import InputError

app = typer.Typer(
    help="After post-training, does a language model still know when to say 'I don't know'?",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
)
organism_app = typer.Typer(
    help="The embedded lineage, whose truth is planted.", no_args_is_help=True
)
app.add_typer(organism_app, name="organism")
data_app = typer.Typer(help="Public datasets, read from a folder of yours.", no_args_is_help=True)
app.add_typer(data_app, name="data")
published_app = typer.Typer(
    help="Results of others, computed again from the files they published.", no_args_is_help=True
)
app.add_typer(published_app, name="published")

Device = Annotated[str, typer.Option(help="auto, cpu, cuda or cuda:N.")]
Cluster = Annotated[
    str | None,
    typer.Option(help="slurm: job arrays; local: processes; none: here. Else the file's."),
]
Datasets = Annotated[Path, typer.Argument(help="Holds a folder a dataset, as published.")]
Out = Annotated[
    Path | None, typer.Option(help="For tables and figures. Default: 'published' of the figures.")
]
Workers = Annotated[int | None, typer.Option(help="Stages at a time. Default: one per core.")]


Plan = Annotated[bool, typer.Option("--plan", help="Only say what it would take, and end.")]


class _StudyGroup(TyperGroup):
    """`interp study NAME`: whatever is no command of the group is a study to run."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Puts `run` first where no command stands there."""
        if args and args[0] not in self.commands and args[0] not in ctx.help_option_names:
            args = ["run", *args]
        rest: list[str] = super().parse_args(ctx, args)
        return rest


study_app = typer.Typer(
    cls=_StudyGroup,
    help="Studies. `interp study NAME` runs one, as `interp study run NAME` does, which lists the "
    "options; a file is a study's name too.",
    no_args_is_help=True,
)
app.add_typer(study_app, name="study")


@study_app.command("run")
def run_study(
    name: Annotated[
        str | None, typer.Argument(help="A packaged study, or a study YAML file.")
    ] = None,
    base: Annotated[
        str | None, typer.Option(help="Without a file: what the parent was made from.")
    ] = None,
    parent: Annotated[str | None, typer.Option(help="A folder or Hugging Face id.")] = None,
    child: Annotated[str | None, typer.Option(help="What was trained from the parent.")] = None,
    questions: Annotated[
        Path | None, typer.Option(help="CSV, JSONL or parquet: what they are asked.")
    ] = None,
    called: Annotated[
        str | None, typer.Option("--name", help="Of the study that the options make.")
    ] = None,
    plan: Plan = False,
    device: Device = "auto",
    cluster: Cluster = None,
    workers: Workers = None,
) -> None:
    """Run a study: train or load, capture, probe, steer, graft, relearn, judge, draw."""
    where: dict[str, Any] = {"device": device, "cluster": cluster, "workers": workers}
    pair = {"base": base, "parent": parent, "child": child, "questions": questions}
    given = [f"--{key}" for key, value in (pair | {"name": called}).items() if value is not None]
    if name is not None and given:
        raise InputError(
            f"study '{name}' says itself what it is about; leave out {', '.join(given)}"
        )
    if name is not None:
        from interp.comparing import load_study

        _run(load_study(name, **where), plan)
        return
    missing = [f"--{key}" for key, value in pair.items() if value is None and key != "base"]
    if missing:
        raise InputError(
            "expected a study (`interp studies` lists those packaged), a YAML file, or --parent, "
            f"--child and --questions; missing: {', '.join(missing)}"
        )
    from interp.comparing import Comparison

    _run(Comparison.of_sources(**pair, name=called, **where), plan)


@study_app.command("diff")
def diff_studies(
    a: Annotated[str, typer.Argument(help="A finished study, its folder, or a study YAML file.")],
    b: Annotated[str, typer.Argument(help="Another one.")],
) -> None:
    """Say what differs between two studies: settings, code, models, rule, verdicts, tables."""
    from interp._shown import differences
    from interp.differing import Side, difference

    differences(difference(Side.find(a), Side.find(b)))


def _run(planned: Any, only_plan: bool = False) -> None:
    """Shows what a run is going to take, and runs it."""
    from interp._display import Display
    from interp._shown import plan
    from interp.planning import foresee
    from interp.settings import cache_root

    name = planned.config.name
    expected = foresee(planned)
    plan(expected)
    if only_plan:
        return
    log = cache_root() / "logs" / f"{name}.log"
    with Display(name, expected, log) as display:
        result = planned.run(display.watch)
    if "verdict" in result.tables:
        display.verdicts(result.tables["verdict"])
    display.done(result.folder)


@app.command()
def probe(
    config: Annotated[Path, typer.Argument(help="YAML file: models, prompts, targets, cells.")],
    device: Device = "auto",
    cluster: Cluster = None,
    workers: Workers = None,
) -> None:
    """Probe models: every site, layer, position and target, each beside its controls."""
    from interp.probing import ProbeRun

    _run(ProbeRun.load(str(config), device=device, cluster=cluster, workers=workers))


@app.command()
def behave(
    config: Annotated[Path, typer.Argument(help="YAML file: models, prompts, elicitations.")],
    device: Device = "auto",
    cluster: Cluster = None,
    workers: Workers = None,
) -> None:
    """Ask models questions: replies graded, scored and calibrated, each way of asking apart."""
    from interp.behaving import BehaveRun

    _run(BehaveRun.load(str(config), device=device, cluster=cluster, workers=workers))


@app.command()
def studies() -> None:
    """List the packaged studies."""
    from interp.study import studies as packaged

    for config in packaged():
        seeds = ", ".join(map(str, config.seeds))
        typer.echo(f"{config.name:22} seeds {seeds:20} {config.description}")


@app.command()
def lineages(
    name: Annotated[str | None, typer.Argument(help="Show this lineage's members.")] = None,
) -> None:
    """List the lineages, or the members of one."""
    from interp.checkpoints.lineage import Lineage
    from interp.checkpoints.lineage import lineages as packaged

    if name is None:
        for known in packaged():
            typer.echo(f"{known:28} {Lineage.load(known).description}")
        return
    for member in Lineage.load(name).members.values():
        origin = f"from {member.parent}" if member.parent else "root"
        revision = f" at {member.revision}" if member.revision else ""
        typer.echo(f"{member.name:20} {origin:18} {member.objective:24} {member.source}{revision}")


@app.command()
def check(
    source: Annotated[str, typer.Argument(help="A folder, a PEFT adapter or a Hugging Face id.")],
    revision: Annotated[str | None, typer.Option(help="Of a Hugging Face id.")] = None,
    base: Annotated[str | None, typer.Option(help="What an adapter stands over.")] = None,
    device: Device = "auto",
    dtype: Annotated[str, typer.Option(help="float32, bfloat16, float16 or auto.")] = "float32",
    allow_pickle: Annotated[bool, typer.Option(help="Read weights that are pickles.")] = False,
    trust_remote_code: Annotated[bool, typer.Option(help="Run the checkpoint's own code.")] = False,
) -> None:
    """Check that a checkpoint is whole and its activations are read exactly."""
    from transformers.utils import logging as hf_logging

    from interp._display import check_table
    from interp.checkpoints import Checkpoint
    from interp.selfcheck import check as lines_of
    from interp.settings import resolve_device

    hf_logging.disable_progress_bar()  # its bars would stand between the lines
    checkpoint = Checkpoint.find(
        source,
        revision=revision,
        base=base,
        allow_pickle=allow_pickle,
        trust_remote_code=trust_remote_code,
    )
    failed = check_table(lines_of(checkpoint, resolve_device(device), dtype))
    if failed:
        raise InputError(f"{source}: the check '{failed.name}' failed: {failed.result}")


@app.command()
def figures(
    name: Annotated[str | None, typer.Argument(help="A finished study. Default: all.")] = None,
    only: Annotated[list[str] | None, typer.Option(help="This figure; may come again.")] = None,
    format: Annotated[
        list[str] | None, typer.Option(help="pdf, png or svg; may come again.")
    ] = None,
    style: Annotated[
        str | None, typer.Option(help="A paper's: neurips, iclr, icml, icml-column, acl ...")
    ] = None,
    serif: Annotated[bool, typer.Option(help="Type with serifs, in a paper's style.")] = False,
) -> None:
    """Draw figures and reports of finished studies again, from their tables; no model is loaded."""
    from interp.figures import Paper
    from interp.publishing import redraw
    from interp.settings import figures_root

    finished = sorted(stamp.parent.name for stamp in figures_root().glob("*/run.json"))
    paper = Paper.load(style, serif=serif) if style else None
    for study_name in finished if name is None else [name]:
        drawn = redraw(
            figures_root() / study_name, names=only, formats=format or ("pdf", "png"), paper=paper
        )
        for path in drawn:
            typer.echo(_shown(path))


@organism_app.command()
def train(
    members: Annotated[
        list[str] | None, typer.Argument(help="Members to train; default: all of the main job.")
    ] = None,
    seed: Annotated[int, typer.Option(help="Of the world, the weights and the data.")] = 7,
    device: Device = "auto",
) -> None:
    """Train members of the embedded lineage (with what they start from) and print their folders."""
    from interp._display import Display
    from interp.study import train_members

    with Display("organism") as display:
        folders = train_members(members, seed=seed, device=device, watch=display.watch)
    for member, folder in folders.items():
        typer.echo(f"{member:20} {_shown(Path(folder))}")


@data_app.command("list")
def list_datasets(
    folder: Annotated[
        Path | None, typer.Argument(help="Holds a folder a dataset; shows which are there.")
    ] = None,
) -> None:
    """List the datasets: where each is published, its licence, and whether it is there."""
    from interp._display import dataset_list
    from interp.prompts.datasets import datasets

    dataset_list(datasets(), folder)


@data_app.command("check")
def check_datasets(folder: Datasets) -> None:
    """Read every dataset that is there, and count its rows against the published ones."""
    from interp._display import dataset_checks
    from interp.prompts.datasets import check_dataset, datasets

    failed = dataset_checks(check_dataset(dataset.name, folder) for dataset in datasets())
    if failed:
        raise InputError(f"{folder}: not as published: {', '.join(failed)}")


@published_app.command("abstentionbench")
def published_abstentionbench(folder: Datasets, out: Out = None) -> None:
    """AbstentionBench: recall of base, instruct and reasoning models, and the published drop."""
    _republish("abstentionbench", folder, out)


@published_app.command("mip")
def published_mip(folder: Datasets, out: Out = None) -> None:
    """MiP-Overthinking: who abstains, and who notices what is missing and still answers."""
    _republish("mip", folder, out)


@published_app.command("umwp")
def published_umwp(folder: Datasets, out: Out = None) -> None:
    """UMWP traces of a reasoning model: abstention before and after a probe's intervention."""
    _republish("umwp", folder, out)


@published_app.command("grader")
def published_grader(folder: Datasets, out: Out = None) -> None:
    """The grader by rule against labels of real replies, on questions it was not tuned on."""
    _republish("grader", folder, out)


@published_app.command("strategies")
def published_strategies(folder: Datasets, out: Out = None) -> None:
    """Labels of sentences, by rule and trained, against the tags of public traces kept apart."""
    _republish("strategies", folder, out)


def _republish(name: str, folder: Path, out: Path | None) -> None:
    from interp.publishing.republished import republish
    from interp.settings import figures_root

    place = out or figures_root() / "published"
    for line in republish(name, folder, place):
        typer.echo(line)
    typer.echo(_shown(place / name))


def _shown(path: Path) -> str:
    """The path from here, where that is shorter."""
    relative = os.path.relpath(path)
    return relative if len(relative) < len(str(path)) else str(path)


def main() -> None:
    """Runs the command line; bad input is one line on stderr and exit code 2."""
    try:
        app()
    except InputError as error:
        _fail(str(error))
    except KeyboardInterrupt:
        _fail("interrupted; finished stages are kept, run again to go on", code=130)


def _fail(message: str, code: int = 2) -> None:
    print(f"interp: {message}", file=sys.stderr)
    sys.exit(code)
