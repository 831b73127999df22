"""Runs several probe runs one after the other in one process, and leaves what came of each.

Stages import their libraries as they run, so annotations cannot be checked in the process of the
tests; and a worker process for each run would take most of the time.

    python -m tests.probing.runs CASES.json OUT.pickle
"""

from __future__ import annotations

import json
import pickle
import sys
from pathlib import Path

from interp.errors import InputError
from interp.probing import ProbeRun
from interp.stages.graph import Event


def outcome(path: str) -> dict[str, object]:
    """Tables, folder and events of a run, or its error."""
    events: list[Event] = []

    def watch(what: object) -> None:
        if isinstance(what, Event):
            events.append(what)

    try:
        planned = ProbeRun.load(path, device="cpu", cluster="debug", workers=1)
        result = planned.run(watch)
    except InputError as error:
        return {"error": str(error)}
    return {"tables": result.tables, "folder": result.folder, "events": events}


def main() -> None:
    """One pickle of all outcomes by name."""
    cases, out = sys.argv[1:]
    paths = json.loads(Path(cases).read_text(encoding="utf-8"))
    found = {name: outcome(path) for name, path in paths.items()}
    Path(out).write_bytes(pickle.dumps(found))


if __name__ == "__main__":
    main()
