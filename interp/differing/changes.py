"""Settings that are not the same on two sides."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

ABSENT = "(absent)"


@dataclass(frozen=True)
class Change:
    """One setting.

    Attributes:
        key: dotted.
        old, new: its values as JSON gives them; `ABSENT` where a side has no such key.
    """

    key: str
    old: Any
    new: Any


def changes(old: Any, new: Any, key: str = "") -> list[Change]:
    """Keys whose values differ, in the order of `old`, then those that only `new` has.

    Mappings are looked into; everything else, lists too, is one value.
    """
    if isinstance(old, Mapping) and isinstance(new, Mapping):
        return [
            change
            for name in dict.fromkeys([*old, *new])
            for change in changes(
                old.get(name, ABSENT), new.get(name, ABSENT), f"{key}.{name}" if key else str(name)
            )
        ]
    return (
        []
        if old == new and isinstance(old, bool) == isinstance(new, bool)
        else [Change(key, old, new)]
    )
