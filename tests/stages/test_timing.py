"""What a stage took is noted down whole, and looked up for a stage of its size and no other."""

from __future__ import annotations

import json
import multiprocessing
import time
from pathlib import Path
from typing import Any

import exca
import pydantic
import pytest

from interp.errors import InputError
from interp.organism.objectives import RECIPES
from interp.organism.recipes import ModelShape
from interp.organism.sizes import WorldSize
from interp.settings import cache_root
from interp.stages import timing
from interp.stages.common import ModelRef, Stage, task_infra
from interp.stages.questions import PromptFile
from interp.stages.sizing import shape_of, stage_size
from interp.stages.timing import Defaults, Durations, Timing, Usual
from interp.stages.train import Train


class Settings(pydantic.BaseModel):
    model_config = pydantic.ConfigDict(extra="forbid", frozen=True)

    n: int = 1


class Wait(Stage):
    """Sleeps, leaves a store of so many bytes, and fails if asked to."""

    model: ModelRef | None = None
    prompts: PromptFile | None = None
    settings: Settings = Settings()
    leaves: int = 0
    fails: bool = False
    infra: exca.TaskInfra = task_infra("1")

    def label(self) -> str:
        return "wait"

    @infra.apply
    def run(self) -> int:
        time.sleep(0.05)
        if self.leaves:
            store = cache_root() / "activations" / f"store-{self.leaves}"
            store.mkdir(parents=True)
            (store / "acts").write_bytes(b"0" * self.leaves)
        if self.fails:
            raise InputError("bad")
        return 1


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("INTERP_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def wait(cache: Path, **fields: Any) -> Wait:
    return Wait(**{"seed": 0, "infra": {"folder": str(cache / "stages")}} | fields)


def ran(stage: Stage) -> None:
    with timing.record(stage):
        stage.result()


def checkpoint(folder: Path, **config: Any) -> ModelRef:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "config.json").write_text(json.dumps(config))
    return ModelRef(name="m", folder=str(folder), fingerprint="f")


# --- noting down ----------------------------------------------------------------------------------


def test_a_finished_stage_is_one_line(cache: Path) -> None:
    ran(wait(cache, leaves=5000))
    (only,) = timing.recorded()
    assert (only.stage, only.device) == ("Wait", "cpu")
    assert 0.05 <= only.seconds < 5
    assert only.stores == {"activations/store-5000": 5000}
    own = sum(p.stat().st_size for p in (cache / "stages").rglob("*") if p.is_file())
    assert only.bytes == own > 0


def test_a_stage_that_failed_is_not_noted(cache: Path) -> None:
    with pytest.raises(InputError, match="bad"):
        ran(wait(cache, fails=True))
    assert timing.recorded() == []


def test_waiting_for_a_cluster_is_not_noted(cache: Path) -> None:
    stage = wait(cache, infra={"folder": str(cache / "stages"), "cluster": "local"})
    with timing.record(stage):
        pass
    assert timing.recorded() == []


def test_what_remained_of_a_killed_training_is_not_noted(cache: Path) -> None:
    stage = Train(
        seed=0,
        recipe=RECIPES["base"],
        shape=ModelShape(),
        start=None,
        infra={"folder": str(cache / "stages")},
    )
    stage.folder.with_name(f"{stage.folder.name}.work").mkdir(parents=True)
    with timing.record(stage):
        pass
    assert timing.recorded() == []
    stage.folder.with_name(f"{stage.folder.name}.work").rmdir()
    with timing.record(stage):
        pass
    assert [t.size for t in timing.recorded()] == ["96x6 base 900 steps"]


def test_torn_and_foreign_lines_are_passed_over_and_swallow_nothing(cache: Path) -> None:
    ran(wait(cache))
    file = cache / timing.FILE
    whole = file.read_text()
    file.write_text("[]\n" + json.dumps({"stage": "Old"}) + "\n" + whole + whole[:30])
    ran(wait(cache, settings=Settings(n=2)))
    assert len(timing.recorded()) == 2
    file.write_bytes(file.read_bytes() + b'\xff\xfe{"stage"')
    assert len(timing.recorded()) == 2


def _many(number: int) -> None:
    for turn in range(50):
        timing._append(Timing(f"S{number}", "x" * 2000, turn, "cpu", 2))


def test_lines_of_several_processes_do_not_mix(cache: Path) -> None:
    context = multiprocessing.get_context("fork")
    processes = [context.Process(target=_many, args=(number,)) for number in range(4)]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
    found = timing.recorded()
    assert len(found) == len((cache / timing.FILE).read_text().splitlines()) == 200
    for number in range(4):
        assert [t.seconds for t in found if t.stage == f"S{number}"] == list(range(50))


# --- sizes ----------------------------------------------------------------------------------------


def test_the_largest_model_makes_the_size(cache: Path, tmp_path: Path) -> None:
    small = checkpoint(tmp_path / "s", hidden_size=96, num_hidden_layers=6)
    large = checkpoint(tmp_path / "l", text_config={"hidden_size": 1024, "num_hidden_layers": 4})
    old = checkpoint(tmp_path / "o", n_embd=768, n_layer=12)
    assert stage_size(wait(cache, model=small)) == "96x6"
    assert shape_of(wait(cache, model=large)) == "1024x4"
    assert shape_of(wait(cache, model=old)) == "768x12"
    nowhere = ModelRef(name="m", folder="", fingerprint="")
    assert stage_size(wait(cache, model=nowhere), "96x6") == "96x6"


def test_prompts_of_a_file_and_unusual_settings_are_part_of_it(cache: Path, tmp_path: Path) -> None:
    model = checkpoint(tmp_path / "s", hidden_size=96, num_hidden_layers=6)
    (tmp_path / "q.jsonl").write_text("{}\n" * 7)
    prompts = PromptFile(path=str(tmp_path / "q.jsonl"), fingerprint="x")
    assert stage_size(wait(cache, model=model, prompts=prompts)) == "96x6 7 prompts"
    sizes = {
        stage_size(wait(cache, model=model, **changed))
        for changed in (
            {},
            {"settings": Settings(n=2)},
            {"settings": Settings(n=3)},
            {"world_size": WorldSize(n_names=80)},
        )
    }
    assert len(sizes) == 4
    # Which stage it is does not make it longer.
    assert stage_size(wait(cache, model=model, seed=4, settings=Settings())) == "96x6"


def test_a_training_is_as_large_as_its_recipe_says(cache: Path) -> None:
    def size(**changed: Any) -> str:
        fields = {"recipe": RECIPES["lora"], "shape": ModelShape(), "start": None} | changed
        return stage_size(Train(seed=0, **fields))

    assert size() == "96x6 lora 120 steps"
    assert size(recipe=RECIPES["lora"].scaled(0.5)) == "96x6 lora 60 steps"
    assert size(snapshots=9) == "96x6 lora 120 steps 9 snapshots"
    assert size(world_size=WorldSize(n_names=80)).startswith("96x6 lora 120 steps #")


# --- looking up -----------------------------------------------------------------------------------

DEFAULTS = Defaults(
    machine="one",
    device="cpu",
    kinds={"wait": "Wait", "rest": "Rest"},
    stages={"Wait": {"96x6": Usual(seconds=40, bytes=4)}, "Rest": {"96x6 #a": Usual(seconds=9)}},
)


def durations(*timings: Timing, device: str = "cpu", cores: int = 2) -> Durations:
    return Durations(timings, DEFAULTS, device, cores)


def test_measured_here_before_packaged_and_neither_is_unknown() -> None:
    assert durations().of("Wait", "96x6") == Usual(seconds=40, bytes=4)
    assert durations().of("Wait", "128x6") is None
    assert durations().of("Other", "96x6") is None
    assert durations(device="H100").of("Wait", "96x6") is None
    here = Timing("Wait", "96x6", 7.0, "cpu", 2, 10)
    assert durations(here).of("Wait", "96x6") == Usual(seconds=7, bytes=10)
    assert durations(here).of("Wait", "96x6 #a") is None
    assert durations(here, device="H100").of("Wait", "96x6") is None


def test_the_middle_of_the_last_runs_is_expected_and_this_machine_comes_first() -> None:
    runs = [Timing("Wait", "96x6", seconds, "cpu", 2) for seconds in [900.0] * 20 + [1.0] * 9]
    assert durations(*runs).of("Wait", "96x6") == Usual(seconds=1, bytes=0)
    runs = [Timing("Wait", "96x6", 5, "cpu", 64), Timing("Wait", "96x6", 50, "cpu", 2)]
    for cores, seconds in (
        (2, 50),
        (64, 5),
        (8, 27.5),
    ):  # of other machines all, if none is like it
        found = durations(*runs, cores=cores).of("Wait", "96x6")
        assert found is not None
        assert found.seconds == seconds


def test_a_store_that_two_stages_saw_appear_is_counted_once() -> None:
    shared = {"activations/a": 100}
    runs = [Timing("Wait", "96x6", 1, "cpu", 2, 10, shared) for _ in range(4)]
    found = durations(*runs).of("Wait", "96x6")
    assert found is not None
    assert found.bytes == (4 * 10 + 100) / 4


def test_of_a_node_that_cannot_be_built_its_kind_and_shape_tell() -> None:
    assert durations().like("wait-2", "96x6") == ("Wait", Usual(seconds=40, bytes=4))
    assert durations().like("rest", "96x6") == ("Rest", Usual(seconds=9))
    assert durations().like("rest", "96x60") == ("Rest", None)
    assert durations().like("nothing", "96x6") == (None, None)
    runs = [Timing("Wait", "96x6 #old", 1, "cpu", 2), Timing("Wait", "96x6 #new", 3, "cpu", 2)]
    assert durations(*runs).like("wait", "96x6") == ("Wait", Usual(seconds=3, bytes=0))


def test_the_packaged_durations_are_of_stages_that_there_are() -> None:
    from interp.stages import plan

    shipped = timing.packaged()
    assert set(shipped.stages) <= set(shipped.kinds.values())
    for stage in shipped.kinds.values():
        assert issubclass(getattr(plan, stage), Stage)


def test_a_card_is_named_where_it_can_be_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    assert timing.device_name("cuda") == "cuda"
    monkeypatch.setattr("torch.cuda.is_available", lambda: True)
    monkeypatch.setattr("torch.cuda.get_device_name", lambda device: f"card {device}")
    assert timing.device_name("cuda:1") == "card cuda:1"
    assert timing.device_name("cpu") == "cpu"
