"""Public names say what they are, take, return and refuse (`tests/docs/docstring_rule.py`)."""

from __future__ import annotations

import ast
import textwrap

import pytest

from tests.docs.docstring_rule import PUBLIC, failures, make_api, of_class, of_function

ROOMS = [room for room in make_api.rooms() if room != "interp"]


@pytest.mark.parametrize("room", ROOMS)
def test_public_names_of_a_room_say_what_they_are(room):
    lines = [line for one in PUBLIC if one.room == room for line in failures(one)]
    assert lines == []


def test_the_public_names_are_those_that_the_rooms_hand_out():
    import interp
    from interp import behavior, probes

    by_room = {
        room: [one.name for one in make_api.public(room)]
        for room in ("interp", "interp.behavior", "interp.probes")
    }
    assert set(by_room["interp"]) == set(interp.__all__) - {"__version__"}
    assert set(by_room["interp.behavior"]) == set(behavior.__all__)
    assert set(by_room["interp.probes"]) == set(probes.__all__)
    assert len(PUBLIC) > 400  # all rooms were found


def of(source: str) -> list[str]:
    """What is missing in the one definition of a source."""
    node = ast.parse(textwrap.dedent(source)).body[0]
    return of_class(node) if isinstance(node, ast.ClassDef) else of_function(node)


@pytest.mark.parametrize(
    ("source", "missing"),
    [
        ("def f():\n    return 1", ["no docstring"]),
        ('def f(a, b) -> int:\n    """The sum."""', ["no Args for a, b"]),
        ('def f(a) -> int:\n    """The double of a."""', []),
        (
            'def f(a, b) -> int:\n    """The sum.\n\n    Args:\n        a: one.\n        c: two.\n'
            '    """',
            ["Args without b", "Args with c"],
        ),
        (
            'def f(a, *b, **c) -> int:\n    """The sum.\n\n    Args:\n        c: x.\n'
            '        a: y.\n        b: z.\n    """',
            [],
        ),
        ('def f() -> int:\n    """Writes a file."""', ["not said what is returned"]),
        ('def f() -> int:\n    """Writes a file.\n\n    Returns:\n        Its size.\n    """', []),
        (
            'def f(a):\n    """Refuses a."""\n    if a:\n        raise InputError("no")',
            ["InputError is not under Raises"],
        ),
        (
            'def f(a):\n    """Makes g."""\n    def g():\n        raise InputError("no")',
            [],
        ),
        ('def f(a: Tensor):\n    """Looks at a."""', ["no shape of a"]),
        ('def f(a: np.ndarray):\n    """Looks at a, [n, d]."""', []),
        ('def f(a_ND: np.ndarray):\n    """Looks at a."""', []),
        ('def f(a: Float[Tensor, "n d"]):\n    """Looks at a."""', []),
        ('def f(a: Sequence[bool] | np.ndarray):\n    """Looks at a."""', []),
        ('def f(a: Mapping[str, np.ndarray]):\n    """Looks at a."""', ["no shape of a"]),
        ("class C:\n    a: int", ["no docstring"]),
        (
            'class C:\n    """A pair.\n\n    Attributes:\n        a: one.\n        c: two.\n'
            '    """\n    a: int\n    b: int',
            ["fields without b", "fields with c"],
        ),
        (
            'class C:\n    """A pair."""\n    def __init__(self, a, b):\n        pass',
            ["no Args for a, b"],
        ),
    ],
)
def test_the_rule_sees_what_is_missing_and_nothing_else(source, missing):
    assert of(source) == missing
