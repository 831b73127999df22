"""Two checkpoints of different architectures and a CSV, from the command line to the report."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pandas as pd
import pytest

from interp.comparing import Comparison, load_study
from interp.errors import InputError
from tests.comparing.english import english_checkpoint, questions_csv

CLI = "from interp.cli import main; main()"


@dataclass(frozen=True)
class Done:
    """What a command left."""

    home: Path
    shown: str
    again: str

    @property
    def folder(self) -> Path:
        return self.home / "figures" / "mine"

    def table(self, name: str) -> pd.DataFrame:
        return pd.read_csv(self.folder / f"{name}.csv", keep_default_na=False)


def interp(home: Path, *arguments: str) -> str:
    """Runs the command line in a folder of its own."""
    folders = {"INTERP_CACHE": str(home / "cache"), "INTERP_FIGURES": str(home / "figures")}
    done = subprocess.run(
        [sys.executable, "-c", CLI, *arguments],
        cwd=home,
        env={**os.environ, **folders, "PYTHONPATH": str(Path(__file__).parents[2])},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-4000:]
    return done.stdout


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory) -> Done:
    """A study of a random GPT-2 beside a random Llama, run twice."""
    home = tmp_path_factory.mktemp("mine")
    english_checkpoint(home / "parent", "gpt2", seed=1)
    english_checkpoint(home / "child", "llama", seed=2)
    questions_csv(home / "towns.csv")
    command = (
        *("study", "--parent", "parent", "--child", "child", "--questions", "towns.csv"),
        *("--name", "mine", "--device", "cpu"),
    )
    return Done(home, interp(home, *command), interp(home, *command))


def test_it_ends_in_a_report_with_the_verdict_and_its_reason(done):
    verdict = done.table("verdict")
    assert verdict["member"].tolist() == ["child"]
    assert verdict["verdict"].tolist()[0] in ("INCONCLUSIVE", "NO-EFFECT")
    reason = done.table("reasons")["reason"].tolist()[0]
    assert "No ancestor is shown to have abstained selectively" in reason or "J falls by" in reason
    assert "INCONCLUSIVE" in done.shown or "NO-EFFECT" in done.shown
    page = (done.folder / "report.html").read_text(encoding="utf-8")
    assert reason.split(":")[0] in page


def test_what_cannot_be_compared_is_left_out_and_said(done):
    skipped = done.table("skipped")
    assert set(skipped["stage"]) == {"transfer", "intervene"}
    assert set(skipped["reason"]) == {"its model_type is llama, its parent's gpt2"}
    assert not (done.folder / "transfer.csv").exists()


def test_the_other_evidence_is_there(done):
    assert set(done.table("probes")["member"]) == {"parent", "child"}
    assert set(done.table("relearn")["scope"]) == {"all", "upper"}
    lines = done.table("measures")
    assert set(lines[lines["member"] == "child"]["line"]) >= {"j", "drop", "relearn_all"}
    # Nothing in a random model tells the questions apart beyond their words.
    j = lines.set_index(["member", "line"])["estimate"]
    assert abs(float(j["parent", "j"])) < 0.2


def test_a_second_run_reads_everything_from_the_cache(done):
    assert "stages from the cache" in done.again
    assert "done" not in done.again.replace("stages", "")


def test_the_run_says_what_made_it(done):
    run = json.loads((done.folder / "run.json").read_text(encoding="utf-8"))
    assert run["config"]["questions"] == "towns.csv"
    assert run["config"]["inputs"]["elicitation"]["how"] == "few_shot"
    assert set(run["config"]["inputs"]["models"]) == {"parent", "child"}


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("models")
    english_checkpoint(folder / "parent", "llama", seed=1)
    english_checkpoint(folder / "child", "llama", seed=2)
    english_checkpoint(folder / "wide", "llama", seed=3, width=64)
    questions_csv(folder / "towns.csv")
    return folder


def yaml(home: Path, text: str) -> str:
    path = home / "study.yaml"
    path.write_text(f"name: mine\nquestions: towns.csv\n{text}", encoding="utf-8")
    return str(path)


MODELS = "models: {parent: parent, child: {source: child, parent: parent}}\n"


def test_models_of_one_architecture_are_compared_in_everything(home):
    planned = load_study(yaml(home, MODELS), device="cpu")
    assert isinstance(planned, Comparison)
    assert planned.skipped == {}
    kinds = {node.name.split("/")[0] for node in planned.nodes()}
    assert kinds == {"answering", "probe", "project", "transfer", "intervene", "relearn"}


def test_a_wider_child_is_not_read_by_its_parents_probes(home):
    models = "models: {parent: parent, child: {source: wide, parent: parent}}\n"
    planned = load_study(yaml(home, models), device="cpu")
    assert planned.skipped["child", "transfer"] == "its hidden_size is 64, its parent's 32"


def test_stages_that_are_left_out_are_not_planned(home):
    planned = load_study(yaml(home, MODELS + "stages: [behaviour, relearn]\n"), device="cpu")
    kinds = {node.name.split("/")[0] for node in planned.nodes()}
    assert kinds == {"answering", "project", "relearn"}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (MODELS + "stages: [probe]\n", "`behaviour` is missing"),
        (MODELS + "elicitation: {how: chat}\n", "parent has no chat template"),
        (MODELS + "elicitation: {how: few_shot, shots: 400}\n", "too few answered or"),
        (MODELS + "answering: {continuations: null}\n", "`answering.continuations` is null"),
        (MODELS + "stagse: [probe]\n", "did you mean 'stages'?"),
        ("models: {child: nowhere}\n", "'nowhere': no such folder here"),
    ],
)
def test_a_bad_study_gets_one_clear_error(home, text, message):
    with pytest.raises(InputError) as error:
        load_study(yaml(home, text), device="cpu")
    assert message in str(error.value)


def test_a_file_that_is_not_there_is_named(home):
    path = yaml(home, MODELS)
    Path(path).write_text(
        Path(path).read_text(encoding="utf-8").replace("towns.csv", "twons.csv"), encoding="utf-8"
    )
    with pytest.raises(InputError, match=r"twons\.csv"):
        load_study(path, device="cpu")


def test_a_packaged_study_is_still_found_by_its_name():
    assert load_study("organism", device="cpu").config.name == "organism"
