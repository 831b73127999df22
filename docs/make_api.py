"""Writes `docs/api/*.md`, a page a room, from the signatures and docstrings of its public names.

Reads the source and imports nothing of it, so it needs no model library and takes a second:

    python docs/make_api.py          # write the pages
    python docs/make_api.py --check  # say which are not as the source has them; exit 1 if any
"""

from __future__ import annotations

import argparse
import ast
import inspect
import re
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PAGES = ROOT / "docs" / "api"
Documented = ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef
# Modules that are no rooms and are meant to be imported all the same: their public definitions.
MODULES = ("configs", "errors", "progress", "settings", "study", "tables")
SECTIONS = ("Args", "Attributes", "Returns", "Yields", "Raises", "Example", "Note")


@dataclass(frozen=True)
class Public:
    """A name that users may import.

    Attributes:
        room: the dotted package or module that hands it out, `interp.probes`.
        name: as imported from there.
        module: path of the file that defines it, from the root.
        node: its definition, None for a constant.
        comment: of a constant: the comment above it.
        value: of a constant: its source.
    """

    room: str
    name: str
    module: str
    node: Documented | None
    comment: str = ""
    value: str = ""


@cache
def tree(path: Path) -> ast.Module:
    """The parsed source of a file."""
    return ast.parse(path.read_text(encoding="utf-8"))


def exports(init: Path) -> dict[str, str]:
    """Public name -> module, as a package's `attach(__name__, {...})` has it; empty without."""
    for node in ast.walk(tree(init)):
        if isinstance(node, ast.Call) and getattr(node.func, "id", "") == "attach":
            return dict(ast.literal_eval(node.args[1]))
    return {}


def rooms(root: Path = ROOT) -> list[str]:
    """Dotted names of all that hands out public names, `interp` first."""
    package = root / "interp"
    packages = [
        ".".join(init.parent.relative_to(root).parts)
        for init in package.rglob("__init__.py")
        if exports(init)
    ]
    return sorted([*packages, *(f"interp.{module}" for module in MODULES)])


def public(room: str, root: Path = ROOT) -> list[Public]:
    """All public names of a room, in alphabetical order.

    Args:
        room: one of `rooms`.
        root: the checkout.
    """
    folder = root.joinpath(*room.split("."))
    if folder.is_dir():
        names = exports(folder / "__init__.py").items()
        found = [_defined(room, name, folder, module, root) for name, module in names]
    else:
        path = folder.with_suffix(".py")
        found = [
            Public(room, node.name, _relative(path, root), node)
            for node in tree(path).body
            if isinstance(node, Documented) and not node.name.startswith("_")
        ]
    return sorted(found, key=lambda one: (one.name.lower(), one.name))


def _relative(path: Path, root: Path) -> str:
    return path.relative_to(root).as_posix()


def _defined(room: str, name: str, folder: Path, module: str, root: Path) -> Public:
    """The definition of an exported name, followed through re-exports."""
    base = folder.joinpath(*module.split("."))
    if base.is_dir():
        init = base / "__init__.py"
        if name in exports(init):
            return _defined(room, name, base, exports(init)[name], root)
        path = init
    else:
        path = base.with_suffix(".py")
    body = tree(path).body
    for node, after in zip(body, [*body[1:], None], strict=True):
        if isinstance(node, Documented) and node.name == name:
            return Public(room, name, _relative(path, root), node)
        targets = getattr(node, "targets", [getattr(node, "target", None)])
        if any(isinstance(target, ast.Name) and target.id == name for target in targets):
            source = path.read_text(encoding="utf-8")
            comment = _said_after(after) or _comment(source.splitlines(), node.lineno)
            value = "\n".join(source.splitlines()[node.lineno - 1 : node.end_lineno])
            return Public(room, name, _relative(path, root), None, comment, value)
    raise LookupError(f"{_relative(path, root)} does not define {name}, which {room} hands out")


def _said_after(node: ast.stmt | None) -> str:
    """The text of a bare string, which says what the constant before it is."""
    said = node.value if isinstance(node, ast.Expr) else None
    return said.value if isinstance(said, ast.Constant) and isinstance(said.value, str) else ""


def _comment(lines: list[str], lineno: int) -> str:
    """The comment that stands above a line, or at its end."""
    above: list[str] = []
    for line in reversed(lines[: lineno - 1]):
        if not line.startswith("#"):
            break
        above.insert(0, line.removeprefix("#").strip())
    beside = re.search(r"\s# (.*)$", lines[lineno - 1])
    return " ".join(above) or (beside.group(1) if beside else "")


def members(node: ast.ClassDef) -> Iterator[ast.FunctionDef]:
    """Methods and properties of a class that are not underscored, in the order of the source."""
    for child in node.body:
        if not isinstance(child, ast.FunctionDef) or child.name.startswith("_"):
            continue
        if not any(ast.unparse(mark).endswith(".setter") for mark in child.decorator_list):
            yield child


def fields(node: ast.ClassDef) -> list[ast.AnnAssign]:
    """The annotated fields of a class that are not underscored."""
    return [
        child
        for child in node.body
        if isinstance(child, ast.AnnAssign)
        and isinstance(child.target, ast.Name)
        and not child.target.id.startswith("_")
        and "ClassVar" not in ast.unparse(child.annotation)
    ]


def is_property(node: ast.FunctionDef) -> bool:
    """Whether a method is read like an attribute."""
    return any(
        ast.unparse(mark).split("(")[0]
        in {"property", "cached_property", "functools.cached_property"}
        for mark in node.decorator_list
    )


# --- pages ---------------------------------------------------------------------------------------


def page(room: str, root: Path = ROOT) -> str:
    """The reference of one room in Markdown.

    Args:
        room: one of `rooms`.
        root: the checkout.
    """
    folder = root.joinpath(*room.split("."))
    source = folder / "__init__.py" if folder.is_dir() else folder.with_suffix(".py")
    entries = public(room, root)
    parts = [f"# {room}", _prose(ast.get_docstring(tree(source)) or "")]
    anchors = _anchors(entries)
    if room == "interp":  # each name is described where its room hands it out
        rows = [f"| [`{one.name}`]({_home(one)}) | {_summary(one)} |" for one in entries]
        parts.append("\n".join(["| name | |", "| --- | --- |", *rows]))
    else:
        parts.append(", ".join(f"[`{one.name}`](#{anchors[one.name]})" for one in entries))
        parts += [part for one in entries for part in _entry(one)]
    return "\n\n".join(part for part in parts if part) + "\n"


def _anchors(entries: list[Public]) -> dict[str, str]:
    """Name -> anchor of its heading; of names that differ in case alone the later is numbered."""
    seen: dict[str, int] = {}
    anchors = {}
    for one in entries:
        low = one.name.lower()
        seen[low] = seen.get(low, -1) + 1
        anchors[one.name] = f"{low}-{seen[low]}" if seen[low] else low
    return anchors


def _home(one: Public) -> str:
    """Where the page of a name at the top is: by the part of the path after `interp/`."""
    room = Path(one.module).parts[1].removesuffix(".py")
    return f"{room}.md#{one.name.lower()}" if one.node else "README.md"


def _summary(one: Public) -> str:
    text = (ast.get_docstring(one.node) or "") if one.node else one.comment
    return text.split("\n\n")[0].replace("\n", " ").replace("|", "\\|")


def _entry(one: Public) -> Iterator[str]:
    yield f"## {one.name}"
    if one.node is None:
        yield f"```text\n{_shortened(one.value)}\n```"
        yield _prose(one.comment)
    else:
        yield f"```text\n{_signature(one.node)}\n```"
        yield _prose(ast.get_docstring(one.node) or "")
    if isinstance(one.node, ast.ClassDef):
        for member in members(one.node):
            yield f"### {one.name}.{member.name}"
            if not is_property(member):
                yield f"```text\n{_signature(member)}\n```"
            yield _prose(ast.get_docstring(member) or "")
    yield f"<sub>`{one.module}`</sub>"


def _shortened(value: str, most: int = 12) -> str:
    lines = value.splitlines()
    return value if len(lines) <= most else "\n".join([*lines[:most], "    ..."])


def _signature(node: Documented) -> str:
    """The signature on one line, or an argument a line where that is longer than 96 characters."""
    if isinstance(node, ast.ClassDef):
        bases = ", ".join(ast.unparse(base) for base in node.bases)
        head = f"class {node.name}" + (f"({bases})" if bases else "")
        return "\n".join([head, *(f"    {ast.unparse(field)}" for field in fields(node))])
    head = f"{node.name}("
    back = f") -> {ast.unparse(node.returns)}" if node.returns else ")"
    arguments = ", ".join(_split(node.args))
    if len(head + arguments + back) <= 96:
        return head + arguments + back
    return "\n".join([head, *(f"    {argument}," for argument in _split(node.args)), back])


def _split(arguments: ast.arguments) -> list[str]:
    """Every argument with annotation and default, and the marks between them."""
    shown: list[str] = []
    positional = [*arguments.posonlyargs, *arguments.args]
    defaults = [None] * (len(positional) - len(arguments.defaults)) + list(arguments.defaults)
    for number, (argument, default) in enumerate(zip(positional, defaults, strict=True), 1):
        shown.append(_argument(argument, default))
        if number == len(arguments.posonlyargs):
            shown.append("/")
    if arguments.vararg:
        shown.append(f"*{_argument(arguments.vararg, None)}")
    elif arguments.kwonlyargs:
        shown.append("*")
    shown += map(_argument, arguments.kwonlyargs, arguments.kw_defaults)
    if arguments.kwarg:
        shown.append(f"**{_argument(arguments.kwarg, None)}")
    return shown


def _argument(argument: ast.arg, default: ast.expr | None) -> str:
    text = ast.unparse(argument)
    return text if default is None else f"{text} = {ast.unparse(default)}"


def _prose(docstring: str) -> str:
    """A Google docstring as Markdown: sections in bold, their entries as lists."""
    lines: list[str] = []
    section = False
    for line in inspect.cleandoc(docstring).splitlines():
        head = re.fullmatch(r"(\w+):", line)
        if head and head.group(1) in SECTIONS:
            lines += ["", f"**{head.group(1)}**", ""]
            section = True
        elif section and (entry := re.match(r" {4}(\*{0,2}[\w., ]+?(?: \(.*?\))?): (.*)", line)):
            lines.append(f"- `{entry.group(1)}`: {entry.group(2)}")
        elif section and line.startswith("    "):
            lines.append("  " + line.strip())
        else:
            section = section and not line.strip()
            lines.append(line)
    return re.sub(r"\n{3,}", "\n\n", "\n".join(lines)).strip()


def pages(root: Path = ROOT) -> dict[str, str]:
    """File name -> text of every page, the index included.

    Args:
        root: the checkout.
    """
    named = {f"{room.removeprefix('interp.')}.md": page(room, root) for room in rooms(root)}
    lines = ["# API reference", "", "From the docstrings (`make docs`); do not edit by hand.", ""]
    for room in rooms(root):
        lines.append(f"- [`{room}`]({room.removeprefix('interp.')}.md): {_first_line(room, root)}")
    return {"README.md": "\n".join(lines) + "\n", **named}


def _first_line(room: str, root: Path) -> str:
    folder = root.joinpath(*room.split("."))
    source = folder / "__init__.py" if folder.is_dir() else folder.with_suffix(".py")
    return (ast.get_docstring(tree(source)) or "").split("\n\n")[0].replace("\n", " ")


def stale(root: Path = ROOT) -> list[str]:
    """Names of the committed pages that are not what the source gives, or are too many.

    Args:
        root: the checkout.
    """
    folder = root / "docs" / "api"
    wanted = pages(root)
    there = {path.name: path.read_text(encoding="utf-8") for path in folder.glob("*.md")}
    return sorted(name for name in {*wanted, *there} if wanted.get(name) != there.get(name))


def main() -> int:
    """Write or check the pages; the exit status."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--check", action="store_true", help="write nothing, exit 1 if stale")
    if parser.parse_args().check:
        names = stale()
        for name in names:
            print(f"docs/api/{name} is not what the docstrings give: make docs", file=sys.stderr)
        return int(bool(names))
    PAGES.mkdir(parents=True, exist_ok=True)
    wanted = pages()
    for name in stale():
        if name in wanted:
            (PAGES / name).write_text(wanted[name], encoding="utf-8")
        else:
            (PAGES / name).unlink()
        print(f"[docs] docs/api/{name}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
