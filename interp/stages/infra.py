"""Where the stages of a study run: here, or as jobs of a cluster, and what each job is given."""

from __future__ import annotations

from typing import Any, Literal

import pydantic

from interp import configs
from interp.errors import InputError
from interp.settings import cache_root, resolve_device

CLUSTERS = ("none", "local", "slurm")
"""What may be named in place of a config's cluster; "none" computes here."""
THREADS = (
    'export OMP_NUM_THREADS="${OMP_NUM_THREADS:-${SLURM_CPUS_PER_TASK:-1}}"',
    'export OPENBLAS_NUM_THREADS="${OPENBLAS_NUM_THREADS:-1}"',
)
"""Begins every job on Slurm: without it each takes all cores of a node that several share."""


class Infra(pydantic.BaseModel):
    """Where stages run, as `infra` of a YAML file says it; no part of what identifies a result.

    The names are those of exca's `TaskInfra`, to which the stages are handed. A stage is one
    process, so that fields for several tasks a job are not among them.

    Attributes:
        cluster: None computes here; "slurm" makes every stage a job; "local" makes it a process of
            its own on this machine, as a rehearsal.
        job_name: as the scheduler lists it; default: the stage's class and settings.
        timeout_min: minutes after which a job is ended. A longer one waits longer for its turn.
        cpus_per_task: cores of a job.
        gpus_per_node: graphics cards of a job.
        mem_gb: main memory of a job, in GB.
        slurm_partition: to which jobs are submitted.
        slurm_constraint: features that a node must have.
        slurm_account: that is charged.
        slurm_qos: quality of service.
        slurm_setup: shell lines that begin a job, such as "module load cuda".
        slurm_additional_parameters: any other option of `sbatch`, by its long name.
        conda_env: environment, by name or folder, whose Python runs the jobs.
    """

    model_config = pydantic.ConfigDict(extra="forbid", frozen=True)

    cluster: Literal["local", "slurm"] | None = None
    job_name: str | None = None
    timeout_min: int = pydantic.Field(default=240, gt=0)
    cpus_per_task: int | None = pydantic.Field(default=None, gt=0)
    gpus_per_node: int | None = pydantic.Field(default=None, ge=0)
    mem_gb: float | None = pydantic.Field(default=None, gt=0)
    slurm_partition: str | None = None
    slurm_constraint: str | None = None
    slurm_account: str | None = None
    slurm_qos: str | None = None
    slurm_setup: list[str] = []
    slurm_additional_parameters: dict[str, int | str | float | bool] | None = None
    conda_env: str | None = None

    def on(self, cluster: str | None) -> Infra:
        """The same on the cluster that a command names; None leaves the config's.

        Raises:
            InputError: there is no such kind of cluster.
        """
        if cluster is None:
            return self
        # "debug" computes in this very process, for tests of what stages do.
        if cluster not in (*CLUSTERS, "debug"):
            raise InputError(
                f"cluster '{cluster}': unknown{configs.nearest(cluster, CLUSTERS)}; use "
                f"{', '.join(CLUSTERS)}"
            )
        return self.model_copy(update={"cluster": None if cluster == "none" else cluster})

    def device(self, asked: str) -> str:
        """The device that stages are told: on Slurm what a job is given, else what is here.

        Args:
            asked: "auto", "cpu", "cuda", "cuda:N" or, computed here, a list of those.

        Raises:
            InputError: no such device, or a numbered one for jobs.
        """
        if self.cluster != "slurm":
            return resolve_device(asked, several=self.cluster is None)
        # A login node has no graphics card, and what it has says nothing of the nodes.
        devices = {"cpu": "cpu", "cuda": "cuda", "auto": "cuda" if self.gpus_per_node else "cpu"}
        if asked not in devices:
            raise InputError(
                f"device '{asked}': a job on Slurm sees only the cards it was given; say auto, cpu "
                "or cuda, and in `infra` how many a job gets (gpus_per_node)"
            )
        return devices[asked]

    def of_stages(self) -> dict[str, Any]:
        """The infra that a stage is made with: this, and the folder of the cache."""
        given = self.model_dump(exclude_none=True, exclude={"slurm_setup"})
        setup = {"slurm_setup": [*self.slurm_setup, *THREADS]} if self.cluster == "slurm" else {}
        return {
            **given,
            **setup,
            "folder": str(cache_root() / "stages"),
            "cluster": self.cluster,
        }
