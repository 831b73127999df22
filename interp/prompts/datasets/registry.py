"""All datasets by name: reading one, and counting what is there against what is published."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from interp.configs import nearest
from interp.errors import InputError
from interp.prompts.datasets.abstain_r1 import ABSTAIN_R1
from interp.prompts.datasets.alcuna import ALCUNA
from interp.prompts.datasets.bb_known_unknowns import BB_KNOWN_UNKNOWNS
from interp.prompts.datasets.bbh import BBH_DISAMBIGUATION
from interp.prompts.datasets.bbq import BBQ
from interp.prompts.datasets.coconot import COCONOT
from interp.prompts.datasets.dataset import Counts, Dataset
from interp.prompts.datasets.falseqa import FALSEQA
from interp.prompts.datasets.freshqa import FRESHQA
from interp.prompts.datasets.gpqa import GPQA_DIAMOND
from interp.prompts.datasets.gsm8k_abstain import GSM8K_ABSTAIN
from interp.prompts.datasets.known_1000 import KNOWN_1000
from interp.prompts.datasets.kuq import KUQ
from interp.prompts.datasets.lre_relations import LRE_RELATIONS
from interp.prompts.datasets.mathtrap import MATHTRAP
from interp.prompts.datasets.mediq import MEDIQ
from interp.prompts.datasets.mip_overthinking import MIP_OVERTHINKING
from interp.prompts.datasets.mmlu_abstain import MMLU_HISTORY, MMLU_MATH
from interp.prompts.datasets.moralchoice import MORALCHOICE
from interp.prompts.datasets.musique import MUSIQUE
from interp.prompts.datasets.popqa import POPQA
from interp.prompts.datasets.qaqa import QAQA
from interp.prompts.datasets.qasper import QASPER
from interp.prompts.datasets.questbench_gsm import QUESTBENCH_GSM_CSP, QUESTBENCH_GSM_VERBAL
from interp.prompts.datasets.questbench_logic import QUESTBENCH_LOGIC
from interp.prompts.datasets.sae_entities import SAE_ENTITIES, SAE_ENTITIES_TRIVIAQA
from interp.prompts.datasets.selfaware import SELFAWARE
from interp.prompts.datasets.situatedqa_geo import SITUATEDQA_GEO
from interp.prompts.datasets.squad2 import SQUAD2
from interp.prompts.datasets.sum_math import SUM
from interp.prompts.datasets.treecut import TREECUT
from interp.prompts.datasets.truthfulqa import TRUTHFULQA
from interp.prompts.datasets.umwp import UMWP
from interp.prompts.datasets.worldsense import WORLDSENSE
from interp.prompts.datasets.xstest import XSTEST
from interp.prompts.promptset import PromptSet

_DATASETS = {
    dataset.name: dataset
    for dataset in (
        *ABSTAIN_R1,
        ALCUNA,
        BBH_DISAMBIGUATION,
        BBQ,
        BB_KNOWN_UNKNOWNS,
        COCONOT,
        FALSEQA,
        FRESHQA,
        GPQA_DIAMOND,
        GSM8K_ABSTAIN,
        KNOWN_1000,
        KUQ,
        LRE_RELATIONS,
        MATHTRAP,
        MEDIQ,
        MIP_OVERTHINKING,
        MMLU_HISTORY,
        MMLU_MATH,
        MORALCHOICE,
        MUSIQUE,
        POPQA,
        QAQA,
        QASPER,
        QUESTBENCH_GSM_CSP,
        QUESTBENCH_GSM_VERBAL,
        QUESTBENCH_LOGIC,
        SAE_ENTITIES,
        SAE_ENTITIES_TRIVIAQA,
        SELFAWARE,
        SITUATEDQA_GEO,
        SQUAD2,
        SUM,
        TREECUT,
        TRUTHFULQA,
        UMWP,
        WORLDSENSE,
        XSTEST,
    )
}


@dataclass(frozen=True)
class Check:
    """What a folder holds of a dataset.

    Attributes:
        name: of the dataset.
        found: its counts there; None if none of its files are there.
        known: the counts of the published files; None if they are not known.
    """

    name: str
    found: Counts | None
    known: Counts | None

    @property
    def passed(self) -> bool:
        """Whether the counts agree, if any of it is there and they are known."""
        return self.found is None or self.known is None or self.found == self.known


def datasets() -> list[Dataset]:
    """All datasets, by name."""
    return [_DATASETS[name] for name in sorted(_DATASETS)]


def read_dataset(name: str, folder: Path) -> PromptSet:
    """A dataset's prompts.

    Args:
        name: of the dataset.
        folder: holds one folder a dataset (`Dataset.folder`), each laid out as it is published.

    Raises:
        InputError: no such dataset or folder, or as `Dataset.read`.
    """
    wanted = _named(name)
    return wanted.read(_existing(folder) / wanted.folder)


def is_there(name: str, folder: Path) -> bool:
    """Whether a folder holds all files of a dataset.

    Args:
        name: of the dataset.
        folder: that holds it.

    Raises:
        InputError: no such dataset or folder.
    """
    wanted = _named(name)
    return not wanted.missing(_existing(folder) / wanted.folder)


def check_dataset(name: str, folder: Path) -> Check:
    """A dataset's counts in a folder, beside those of the published files.

    Args:
        name: of the dataset.
        folder: as for `read_dataset`.

    Raises:
        InputError: as `read_dataset`, but for a dataset of which no file is there.
    """
    wanted = _named(name)
    missing = wanted.missing(_existing(folder) / wanted.folder)
    if len(missing) == len(wanted.files):
        return Check(name, None, wanted.known)
    return Check(name, Counts.of(read_dataset(name, folder)), wanted.known)


def _named(name: str) -> Dataset:
    if name not in _DATASETS:
        raise InputError(
            f"no dataset '{name}'{nearest(name, _DATASETS)}; there are "
            f"{', '.join(sorted(_DATASETS))}"
        )
    return _DATASETS[name]


def _existing(folder: Path) -> Path:
    if not folder.is_dir():
        raise InputError(f"{folder}: no such folder; expected one that holds a folder a dataset")
    return folder
