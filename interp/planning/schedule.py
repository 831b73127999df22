"""How long stages take together, when some wait for others and there are so many workers."""

from __future__ import annotations

import heapq
from collections import defaultdict
from collections.abc import Mapping


def makespan(needs: Mapping[str, tuple[str, ...]], seconds: Mapping[str, float], n: int) -> float:
    """The time at which the last stage ends, as `interp.stages.graph.Graph` starts them.

    Whenever a worker is free the first stage in order runs whose needs are done.

    Args:
        needs: stage -> what it waits for, in order of urgency; needs that are not among the
            stages are done.
        seconds: of every stage.
        n: workers.
    """
    place = {name: number for number, name in enumerate(needs)}
    unmet = {name: sum(need in place for need in wanted) for name, wanted in needs.items()}
    followers: dict[str, list[str]] = defaultdict(list)
    for name, wanted in needs.items():
        for need in wanted:
            followers[need].append(name)
    names = list(needs)
    ready = [place[name] for name in names if not unmet[name]]
    heapq.heapify(ready)
    running: list[tuple[float, int]] = []
    now = 0.0
    while ready or running:
        while ready and len(running) < n:
            first = heapq.heappop(ready)
            heapq.heappush(running, (now + seconds[names[first]], first))
        now, ended = heapq.heappop(running)
        for follower in followers[names[ended]]:
            unmet[follower] -= 1
            if not unmet[follower]:
                heapq.heappush(ready, place[follower])
    return now
