"""Data flows one way: a room imports from rooms above it, never from one below."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

import interp

PACKAGE = Path(interp.__file__).parent
# Top to bottom; the rooms of one line may use each other.
FLOORS = [
    {"_lazy", "_lines", "configs", "errors", "progress", "settings", "stats", "tables", "workers"},
    {"checkpoints"},
    {"prompts"},
    {"organism"},
    {"activations"},
    {"behavior"},
    {"probes"},
    {"directions"},
    {"features"},
    {"interventions"},
    {"selfcheck"},
    {"verdict"},
    {"stages"},
    {"figures"},
    {"publishing"},
    {"study"},
    {"runs"},
    {"probing", "behaving"},
    {"comparing"},
    {"planning", "differing"},
    {"_display", "_shown", "cli"},
]
FLOOR_OF = {room: floor for floor, rooms in enumerate(FLOORS) for room in rooms}
SOURCES = sorted(path.relative_to(PACKAGE) for path in PACKAGE.rglob("*.py"))


def room_of(source: Path) -> str:
    return source.parts[0].removesuffix(".py")


def rooms_imported(source: str) -> set[str]:
    """Rooms named by any import in the source, those inside functions included."""
    rooms = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.ImportFrom) and node.module == "interp":
            rooms |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            rooms |= set((node.module or "").split(".")[1:2]) if _ours(node.module) else set()
        elif isinstance(node, ast.Import):
            rooms |= {a.name.split(".")[1] for a in node.names if _ours(a.name)}
    return rooms


def _ours(module: str | None) -> bool:
    return (module or "").startswith("interp.")


@pytest.mark.parametrize(
    "source", [path for path in SOURCES if path != Path("__init__.py")], ids=str
)
def test_a_room_imports_only_from_above(source):
    imported = rooms_imported((PACKAGE / source).read_text(encoding="utf-8"))
    below = {room for room in imported if FLOOR_OF[room] > FLOOR_OF[room_of(source)]}
    assert not below


def test_every_module_has_its_floor():
    assert {room_of(path) for path in SOURCES} - {"__init__"} <= set(FLOOR_OF)


def test_imports_are_seen_wherever_they_stand():
    source = (
        "import torch, interp.stats\n"
        "def f():\n    from interp import tables\n    from interp.verdict.rule import Rule\n"
    )
    assert rooms_imported(source) == {"stats", "tables", "verdict"}
