"""What a docstring has to say, as a function from a definition to what is missing.

1. Every public name, and every method and property of a public class that is not underscored, has
   a docstring.
2. Two or more parameters (besides `self` and `cls`): a section Args with exactly these names, in
   any order. One or none: the text may say it; a section, where there is one, has exactly the name.
   A class that writes its own `__init__` is held to the same for that. Fields of dataclasses and
   pydantic models: a section Attributes or Args, where there is one, names no field that is not
   there and leaves out none.
3. What returns something has a section Returns or Yields, or a first line that says what (it does
   not begin with a verb that only does, such as "Write").
4. What raises `InputError` in its own source (not in a function it calls) says when, under Raises.
5. An argument that is an array or tensor names its shape: an annotation of jaxtyping, an annotation
   that allows a sequence of scalars too and so is one of rows, a suffix of the name (`acts_ND`),
   or in its text a shape in brackets or what it has one for each of.
6. A method inherits what is said of one with the same name and parameters in a public base, or in
   a public protocol of its room.
"""

from __future__ import annotations

import ast
import re

from tests.docs.conftest import load_make_api

make_api = load_make_api()
# First words of a sentence that says what is done and not what comes back.
DOING = {"Write", "Writes", "Save", "Saves", "Set", "Sets", "Run", "Runs", "Check", "Checks", "Add"}
DOING |= {"Adds", "Store", "Stores", "Print", "Prints", "Raise", "Raises", "Do", "Does", "Apply"}
DOING |= {"Use", "Uses", "Make sure", "Register", "Registers", "Update", "Updates", "Move"}
ARRAY = re.compile(r"\b(?:Tensor|ndarray|NDArray|ArrayLike)\b")
SHAPED = re.compile(r"\b(?:Float|Int|Bool|Shaped|Num|Integer|Inexact|Real|UInt\w*)\d*\[")
FLAT = re.compile(
    r"Sequence\[(?:object|bool|int|float|str)\](?: \| Sequence\[\w+\])? \| np\.ndarray"
)
SUFFIX = re.compile(r"_[A-Z]{1,4}$")
IN_TEXT = re.compile(
    r"\[[\w*, ]+\]|\([\w*]+,[\w*, ]*\)|(?:of|for) (?:each|every) |[Oo]ne (?:\w+ )?a "
)


def sections(docstring: str) -> dict[str, dict[str, str]]:
    """Section -> entry -> its text, of a docstring in Google's form."""
    found: dict[str, dict[str, str]] = {}
    entries: dict[str, str] | None = None
    name = ""
    for line in docstring.splitlines():
        head = re.fullmatch(r"(Args|Attributes|Returns|Yields|Raises):", line)
        if head:
            entries = found.setdefault(head.group(1), {})
        elif line and not line.startswith(" "):
            entries = None
        elif entries is not None and (entry := re.match(r" {4}(\S.*?): ?(.*)", line)):
            name = entry.group(1)
            for one in name.split(", "):
                entries[one.lstrip("*").split(" ")[0]] = entry.group(2)
        elif entries is not None and line.strip():
            entries.setdefault(name, "")
            entries[name] = f"{entries[name]} {line.strip()}"
    return found


def parameters(node: ast.FunctionDef) -> dict[str, str]:
    """Name -> annotation of all parameters but the first of a method."""
    arguments = node.args
    listed = [*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs]
    listed += [one for one in (arguments.vararg, arguments.kwarg) if one]
    return {
        one.arg: ast.unparse(one.annotation) if one.annotation else ""
        for one in listed
        if one.arg not in {"self", "cls"}
    }


def own_nodes(node: ast.AST):
    """What stands in a definition, functions inside it left out."""
    for child in ast.iter_child_nodes(node):
        if not isinstance(child, ast.FunctionDef | ast.ClassDef | ast.Lambda):
            yield child
            yield from own_nodes(child)


def raises_input_error(node: ast.FunctionDef) -> bool:
    return any(
        isinstance(one, ast.Raise) and one.exc and ast.unparse(one.exc).startswith("InputError(")
        for one in own_nodes(node)
    )


def of_arguments(node: ast.FunctionDef, docstring: str, *, named: bool = False) -> list[str]:
    """What is missing on the parameters; `named` where a section may be called Attributes."""
    wanted = parameters(node)
    found = sections(docstring)
    said = found.get("Args", found.get("Attributes") if named else None)
    missing = []
    if said is None and len(wanted) > 1:
        return [f"no Args for {', '.join(wanted)}"]
    if said is not None:
        if lost := sorted(set(wanted) - set(said)):
            missing.append(f"Args without {', '.join(lost)}")
        if extra := sorted(set(said) - set(wanted)):
            missing.append(f"Args with {', '.join(extra)}")
    for name, annotation in wanted.items():
        bare = FLAT.sub("", annotation)
        if ARRAY.search(bare) and not SHAPED.search(bare) and not SUFFIX.search(name):
            text = (said or {}).get(name, docstring)
            if not IN_TEXT.search(text) and "Callable" not in annotation:
                missing.append(f"no shape of {name}")
    return missing


def of_function(node: ast.FunctionDef, inherited: str = "") -> list[str]:
    """What is missing in the docstring of a function, method or property.

    Args:
        node: its definition.
        inherited: docstring of the method it overrides.
    """
    docstring = ast.get_docstring(node)
    if not docstring:
        return ["no docstring"]
    docstring = f"{docstring}\n\n{inherited}"
    found = sections(docstring)
    missing = of_arguments(node, docstring)
    returns = ast.unparse(node.returns) if node.returns else "None"
    says = {"Returns", "Yields"} & set(found)
    doing = docstring.split()[0].rstrip(",.:;") in DOING
    if returns not in {"None", "NoReturn"} and doing and not says:
        missing.append("not said what is returned")
    if raises_input_error(node) and "InputError" not in found.get("Raises", {}):
        missing.append("InputError is not under Raises")
    return missing


def of_machinery(field: ast.AnnAssign) -> bool:
    """A field that no caller sets: where a stage runs, the tag of a union, what is derived."""
    value = ast.unparse(field.value) if field.value else ""
    tag = ast.unparse(field.target) == "kind" and value.startswith(("'", '"'))
    return tag or ast.unparse(field.target) == "infra" or "init=False" in value


def of_class(node: ast.ClassDef) -> list[str]:
    """What is missing in the docstring of a class itself."""
    docstring = ast.get_docstring(node)
    if not docstring:
        return ["no docstring"]
    for child in node.body:
        if isinstance(child, ast.FunctionDef) and child.name == "__init__":
            return of_arguments(child, docstring, named=True)
    found = sections(docstring)
    said = set(found.get("Attributes", found.get("Args", {})))
    fields = {
        ast.unparse(field.target) for field in make_api.fields(node) if not of_machinery(field)
    }
    if not said:
        return []
    missing = []
    if lost := sorted(fields - said):
        missing.append(f"fields without {', '.join(lost)}")
    own = {child.name for child in make_api.members(node)}
    if not node.bases and (extra := sorted(said - fields - own)):
        missing.append(f"fields with {', '.join(extra)}")
    return missing


def overridden(one, method: ast.FunctionDef) -> str:
    """The docstring of the method of a public base that takes the same parameters, or ""."""
    bases = {ast.unparse(base).split("[")[0] for base in one.node.bases}
    for other in PUBLIC_CLASSES:
        protocol = any(ast.unparse(base).startswith("Protocol") for base in other.node.bases)
        if other.name in bases or (protocol and other.room == one.room):
            for candidate in make_api.members(other.node):
                same = candidate.name == method.name
                if same and list(parameters(candidate)) == list(parameters(method)):
                    return ast.get_docstring(candidate) or ""
    return ""


PUBLIC = [one for room in make_api.rooms() if room != "interp" for one in make_api.public(room)]
PUBLIC_CLASSES = [one for one in PUBLIC if isinstance(one.node, ast.ClassDef)]


def failures(one) -> list[str]:
    """Lines `file:line name: what is missing` for a public name and its members."""
    if one.node is None:
        return [] if one.comment else [f"{one.module} {one.name}: not said what it is"]
    if isinstance(one.node, ast.ClassDef):
        held = [(one.name, one.node, of_class(one.node))]
        for child in make_api.members(one.node):
            missing = of_function(child, overridden(one, child))
            held.append((f"{one.name}.{child.name}", child, missing))
    else:
        held = [(one.name, one.node, of_function(one.node))]
    return [
        f"{one.module}:{node.lineno} {name}: {what}"
        for name, node, missing in held
        for what in missing
    ]
