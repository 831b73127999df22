"""Whether what a run is going to do fits into the memory of the devices it is given."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

from interp.stages.common import ModelRef
from interp.stages.devices import worker_devices

if TYPE_CHECKING:
    from interp.activations.memory import Needed


def require_fit(
    models: Iterable[ModelRef],
    works: Mapping[str, int],
    device: str,
    *,
    at_a_time: int,
    together: bool = False,
) -> list[Needed]:
    """Refuses models that some work does not fit beside, before a stage starts.

    Args:
        models: of the run.
        works: what is done with each ("capture", "score", "generate", "relearn"), and the most
            tokens of its batches.
        device: of the run, as `resolve_device(..., several=True)` gives it.
        at_a_time: stages at a time.
        together: as for `worker_devices`: one worker has all devices.

    Returns:
        What each needs, the largest first.

    Raises:
        InputError: says what does not fit, of what it consists, and what to lower.
    """
    from interp.activations.memory import ModelSize, free_bytes, needed, require_memory

    kind = "cpu" if device == "cpu" else "cuda"
    sizes = [ModelSize.of(ref.checkpoint(), ref.dtype) for ref in models]
    wants = [
        needed(work, size, tokens=tokens, device=kind)  # type: ignore[arg-type]
        for size in sizes
        for work, tokens in works.items()
    ]
    hands = worker_devices(device, together=together)
    # Work goes to any worker, so it has to fit where least is free; a device that is shared by
    # several workers holds what each of them does.
    least = min(hands, key=free_bytes)
    share = -(-at_a_time // len(hands))
    return require_memory(wants, least, at_a_time=min(share, max(1, len(wants))))
