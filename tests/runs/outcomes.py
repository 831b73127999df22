"""Does several runs one after the other in one process, and leaves what came of each.

Stages import their libraries as they run, so annotations cannot be checked in the process of the
tests; and a worker process for each run would take most of the time.

    python -m tests.runs.outcomes CASES.json OUT.pickle (probe | behave)
"""

from __future__ import annotations

import json
import pickle
import subprocess
import sys
from pathlib import Path
from typing import Any

from interp.behaving import BehaveRun
from interp.errors import InputError
from interp.probing import ProbeRun
from interp.stages.graph import Event

KINDS = {"probe": ProbeRun, "behave": BehaveRun}


def outcome(path: str, kind: str) -> dict[str, object]:
    """Tables, folder and events of a run, or its error."""
    events: list[Event] = []

    def watch(what: object) -> None:
        if isinstance(what, Event):
            events.append(what)

    try:
        planned = KINDS[kind].load(path, device="cpu", cluster="debug", workers=1)
        result = planned.run(watch)
    except InputError as error:
        return {"error": str(error)}
    return {"tables": result.tables, "folder": result.folder, "events": events}


def outcomes_of(home: Path, paths: dict[str, str], kind: str) -> dict[str, Any]:
    """What came of the runs of these YAML files, by name; done in another process."""
    (home / "cases.json").write_text(json.dumps(paths), encoding="utf-8")
    names = [str(home / "cases.json"), str(home / "out"), kind]
    done = subprocess.run(
        [sys.executable, "-m", "tests.runs.outcomes", *names],
        cwd=Path(__file__).parents[2],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return pickle.loads((home / "out").read_bytes())


def main() -> None:
    """One pickle of all outcomes by name."""
    cases, out, kind = sys.argv[1:]
    paths = json.loads(Path(cases).read_text(encoding="utf-8"))
    found = {name: outcome(path, kind) for name, path in paths.items()}
    Path(out).write_bytes(pickle.dumps(found))


if __name__ == "__main__":
    main()
