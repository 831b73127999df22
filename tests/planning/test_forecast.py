"""What a study will take: what is cached, what can be told of the rest, and what cannot."""

from __future__ import annotations

import dataclasses
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import exca
import pytest

from interp.organism.objectives import RECIPES
from interp.organism.recipes import ModelShape
from interp.planning import Forecast, Row, Task, foresee
from interp.planning.remaining import Count, Remaining
from interp.stages import timing
from interp.stages.common import ModelRef, Stage, task_infra
from interp.stages.graph import Event, Graph, Node
from interp.stages.timing import Defaults, Durations, Timing, Usual
from interp.stages.train import Train
from interp.study import Study


class Add(Stage):
    """Adds."""

    a: int
    model: ModelRef | None = None
    infra: exca.TaskInfra = task_infra("1")

    def label(self) -> str:
        return f"add {self.a}"

    @infra.apply
    def run(self) -> int:
        return self.a + 1


@dataclasses.dataclass
class Little:
    """A study of given nodes."""

    planned: list[Node]
    device: str = "cpu"
    n_workers: int = 2

    def nodes(self) -> list[Node]:
        return self.planned


DEFAULTS = Defaults(machine="one", device="cpu", kinds={"add": "Add"}, stages={})


def measured(*timings: Timing) -> Durations:
    return Durations(timings, DEFAULTS, "cpu", 2)


def chain(folder: Path, first: int = 1) -> list[Node]:
    common: Mapping[str, Any] = {"seed": 0, "infra": {"folder": str(folder)}}

    def node(name: str, need: str) -> Node:
        return Node(name, (need,), lambda done: Add(a=done[need], **common))

    return [
        node("add/c/0", "add/b/0"),
        Node("add/a/0", (), lambda _: Add(a=first, **common)),
        node("add/b/0", "add/a/0"),
    ]


def test_what_is_cached_is_found_through_the_chain(tmp_path: Path) -> None:
    study = Little(chain(tmp_path))
    before = foresee(study, measured())
    assert [task.cached for task in before.tasks] == [False, False, False]
    # b and c are made from results: nothing can be told of them yet.
    assert [task.label for task in before.tasks] == [None, "add 1", None]
    Graph(study.nodes(), 1, "debug", lambda _: None).run()
    after = foresee(study, measured())
    assert [task.cached for task in after.tasks] == [True, True, True]
    assert [task.label for task in after.tasks] == ["add 3", "add 1", "add 2"]
    assert after.rows == [Row("add", 3, 3, 0, 0, 0, 0)]
    assert after.seconds == after.bytes == 0
    # Another beginning: everything behind it is to be done again.
    other = foresee(Little(chain(tmp_path, 9)), measured())
    assert [task.cached for task in other.tasks] == [False, False, False]


def test_foreseeing_computes_nothing_and_writes_nothing(tmp_path: Path) -> None:
    foresee(Little(chain(tmp_path / "stages")), measured())
    assert not list(tmp_path.rglob("*.pkl"))


def test_what_nobody_measured_is_unknown_and_makes_a_lower_bound(tmp_path: Path) -> None:
    found = foresee(Little(chain(tmp_path)), measured())
    assert found.rows == [Row("add", 3, 0, 0, 3, 0, 3)]
    assert (found.unmeasured, found.unweighed) == (3, 3)
    # The shape of no model is part of these sizes: "".
    found = foresee(Little(chain(tmp_path)), measured(Timing("Add", "", 5, "cpu", 2, 7)))
    assert found.rows == [Row("add", 3, 0, 15, 0, 21, 0)]
    assert found.seconds == 15


def test_a_stage_after_a_training_is_foreseen_with_the_shape_it_will_have(tmp_path: Path) -> None:
    common: Mapping[str, Any] = {"seed": 0, "infra": {"folder": str(tmp_path)}}

    def train(name: str, start: str | None) -> Node:
        return Node(
            f"train/{name}/0",
            (f"train/{start}/0",) if start else (),
            lambda done: Train(
                recipe=RECIPES[name],
                shape=ModelShape(),
                start=done[f"train/{start}/0"] if start else None,
                **common,
            ),
        )

    nodes = [
        train("base", None),
        train("lora", "base"),
        Node(
            "add/lora/0", ("train/lora/0",), lambda d: Add(a=1, model=d["train/lora/0"], **common)
        ),
    ]
    times = measured(
        Timing("Train", "96x6 base 900 steps", 100, "cpu", 2, 9_000_000),
        Timing("Train", "96x6 lora 120 steps", 20, "cpu", 2, 9_000_000),
        Timing("Train", "96x6 lora 12 steps", 2, "cpu", 2, 1),
        Timing("Add", "96x6", 3, "cpu", 2, 0),
    )
    found = foresee(Little(nodes), times)
    assert [task.usual.seconds for task in found.tasks if task.usual] == [100, 20, 3]
    assert [row.kind for row in found.rows] == ["train", "add"]
    assert found.seconds == 123
    assert found.bytes == 18_000_000


@pytest.mark.parametrize("name", ["organism", "organism_seeds", "organism_calibration"])
def test_the_packaged_durations_know_every_stage_of_a_verdict(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("INTERP_CACHE", str(tmp_path / "none"))
    study = Study.load(name, device="cpu", workers=2)
    found = foresee(study, Durations([], timing.packaged(), "cpu", 2))
    assert found.unmeasured == (0 if name != "organism_seeds" else 6)  # the ladder of erasure
    assert len(found.tasks) == len(study.nodes())
    assert all(task.label for task in found.tasks)
    assert found.free == shutil.disk_usage(tmp_path).free or found.free > 0


# --- while it runs --------------------------------------------------------------------------------


def task(name: str, kind: str, seconds: float | None, **fields: Any) -> Task:
    usual = None if seconds is None else Usual(seconds=seconds)
    values = {"needs": (), "label": name, "cached": False} | fields
    return Task(f"{kind}/{name}", kind, usual=usual, **values)


def following(
    *tasks: Task, workers: int = 1
) -> tuple[Remaining, Callable[[str, str, float], None]]:
    remaining = Remaining(Forecast(tasks, workers, 0))

    def see(label: str, state: str, now: float) -> None:
        remaining.seen(Event(label, state), now)

    return remaining, see


def test_counts_and_time_left_follow_the_events() -> None:
    remaining, see = following(
        task("a", "train", 100), task("b", "train", 60), task("c", "ask", 40)
    )
    assert remaining.seconds(0) == (200, False)
    see("c", "cached", 0)
    assert remaining.counts == [Count("train", 0, 2, 0), Count("ask", 1, 1, 1)]
    see("a", "started", 0)
    assert remaining.seconds(30) == (130, False)
    assert remaining.seconds(500) == (60, False)  # longer than expected: it can end any moment
    see("a", "done", 100)
    assert remaining.seconds(100) == (60, False)
    assert remaining.counts[0] == Count("train", 1, 2, 0)
    see("b", "started", 100)
    see("b", "done", 160)
    assert remaining.seconds(160) == (0, False)


def test_a_slower_machine_is_noticed() -> None:
    remaining, see = following(task("a", "train", 600), task("b", "train", 600))
    see("a", "started", 0)
    see("a", "done", 1200)
    assert remaining.seconds(1200)[0] == pytest.approx(600 * (1200 + 60) / (600 + 60))


def test_what_is_unknown_bounds_from_below_until_one_of_its_kind_is_done() -> None:
    remaining, see = following(task("a", "x", None), task("b", "x", None), task("c", "y", 10))
    assert remaining.seconds(0) == (10, True)
    see("a", "started", 0)
    see("a", "done", 30)
    assert remaining.seconds(30) == (40, False)


def test_workers_share_what_is_left_and_needs_are_waited_for() -> None:
    tasks = [task(name, "x", 10, needs=needs) for name, needs in (("a", ()), ("b", ()), ("c", ()))]
    assert following(*tasks, workers=3)[0].seconds(0) == (10, False)
    tasks[2] = task("c", "x", 10, needs=("x/a",))
    assert following(*tasks, workers=3)[0].seconds(0) == (20, False)


def test_what_runs_holds_its_worker_whatever_its_place() -> None:
    remaining, see = following(
        task("a", "x", 50), task("b", "x", 50), task("c", "x", 100), workers=2
    )
    see("c", "started", 0)
    assert remaining.seconds(0) == (100, False)


def test_labels_that_could_not_be_told_are_given_to_their_kind() -> None:
    remaining, see = following(
        task("a", "feature_diff", 5, label=None),
        task("b", "other", 5, label=None),
        task("c", "other", 5, label=None),
    )
    see("feature diff of a (seed 1)", "started", 0)
    see("feature diff of a (seed 1)", "done", 5)
    assert remaining.counts[0] == Count("feature_diff", 1, 1, 0)
    see("something else", "cached", 5)  # only one kind is left that it can be of
    assert remaining.counts[1] == Count("other", 1, 2, 1)
    see("something else", "cached", 5)  # another stage of the same name
    assert remaining.counts[1] == Count("other", 2, 2, 2)
    see("nobody knows", "done", 6)
    assert [count.done for count in remaining.counts] == [1, 2]
