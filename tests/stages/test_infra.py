"""Where stages run is said once, checked at once, and changes nothing that is computed."""

from __future__ import annotations

from pathlib import Path

import exca
import pytest
import yaml

from interp import configs
from interp.errors import InputError
from interp.runs.config import RunConfig
from interp.settings import resolve_device
from interp.stages.graph import Graph
from interp.stages.infra import Infra
from interp.study import Study, StudyConfig
from tests.slurm.stages import First

JOBS = {
    "cluster": "slurm",
    "slurm_partition": "gpu",
    "gpus_per_node": 2,
    "timeout_min": 60,
    "slurm_additional_parameters": {"exclude": "bad1"},
}


def study(**changes: object) -> StudyConfig:
    packaged = configs.load(configs.locate("organism", "studies"), StudyConfig)
    return StudyConfig.model_validate({**packaged.model_dump(exclude={"infra"}), **changes})


def test_every_field_is_one_of_exca_and_only_what_a_stage_is_not_is_left_out() -> None:
    theirs, ours = set(exca.TaskInfra.model_fields), set(Infra.model_fields)
    assert ours <= theirs
    assert theirs - ours == {
        *("folder", "logs", "version", "mode", "keep_in_ram", "workdir", "max_pickle_size_gb"),
        *("nodes", "tasks_per_node", "slurm_use_srun"),
    }


def test_where_a_stage_runs_is_no_part_of_what_identifies_its_result() -> None:
    stages = [
        First(seed=0, name="a", folder="x", infra=infra.of_stages())
        for infra in (Infra(), Infra.model_validate(JOBS), Infra(cluster="local", mem_gb=2))
    ]
    assert len({stage.infra.uid() for stage in stages}) == 1
    assert len({str(stage.infra.uid_folder()) for stage in stages}) == 1
    assert stages[1].infra.slurm_partition == "gpu"
    other = First(seed=1, name="a", folder="x", infra=Infra().of_stages())
    assert other.infra.uid() != stages[0].infra.uid()


def test_a_study_that_moves_to_a_cluster_is_the_same_run() -> None:
    here = Study(study(), device="cpu")._run_info()
    there = Study(study(infra=JOBS), device="cpu")
    assert there.cluster == "slurm"
    assert there._run_info() == here
    assert Study(study(seeds=[9]), device="cpu")._run_info()["run_id"] != here["run_id"]


@pytest.mark.parametrize("model", [StudyConfig, RunConfig])
@pytest.mark.parametrize(
    ("infra", "message"),
    [
        ({"slurm_partiton": "gpu"}, r"unknown key 'infra\.slurm_partiton' \(did you mean 'slurm_p"),
        ({"gpus_per_nodes": 1}, "did you mean 'gpus_per_node'"),
        ({"cluster": "debug"}, r"'infra\.cluster'"),
        ({"timeout_min": 0}, r"'infra\.timeout_min'"),
    ],
)
def test_what_is_no_infra_is_refused_with_the_nearest_name(
    model: type, infra: dict[str, object], message: str, tmp_path: Path
) -> None:
    path = tmp_path / "any.yaml"
    rest = study().model_dump(mode="json") if model is StudyConfig else {"name": "any"}
    path.write_text(yaml.safe_dump({**rest, "infra": infra}), encoding="utf-8")
    with pytest.raises(InputError, match=message):
        configs.load(path, model)


def test_a_command_names_another_cluster_than_the_file() -> None:
    there = Infra.model_validate(JOBS)
    assert there.on(None) == there
    assert there.on("none").cluster is None
    assert there.on("local").slurm_partition == "gpu"
    with pytest.raises(InputError, match=r"cluster 'slrm': unknown \(did you mean 'slurm'\?\)"):
        there.on("slrm")


def test_jobs_are_told_the_device_that_they_are_given_and_not_the_login_nodes() -> None:
    with_cards, without = Infra.model_validate(JOBS), Infra(cluster="slurm")
    assert [with_cards.device(name) for name in ("auto", "cuda", "cpu")] == ["cuda", "cuda", "cpu"]
    assert without.device("auto") == "cpu"
    assert Infra().device("auto") == resolve_device("auto")
    with pytest.raises(InputError, match=r"device 'cuda:1'.*gpus_per_node"):
        with_cards.device("cuda:1")


def test_a_study_made_for_a_gpu_starts_where_its_jobs_get_one() -> None:
    assert Study(study(wants_gpu=True, infra=JOBS)).device == "cuda"
    with pytest.raises(InputError, match=r"infra\.gpus_per_node"):
        Study(study(wants_gpu=True, infra={"cluster": "slurm"}))


def test_without_slurm_it_is_said_before_any_work(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    with pytest.raises(InputError, match="there is no `sbatch` on this machine"):
        Graph([], 1, "slurm", lambda _: None)
