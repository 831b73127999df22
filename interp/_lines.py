"""Ground floor: a YAML text that knows on which line each of its keys stands."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import yaml

_MERGE = "tag:yaml.org,2002:merge"


class Source:
    """A YAML document and the places of its keys.

    Args:
        text: of the document.

    Attributes:
        content: as `yaml.safe_load` gives it.
        repeated: keys that a mapping has twice, of which PyYAML would keep the last without a
            word: the line of the second and what is wrong.

    Raises:
        yaml.YAMLError: the text is not YAML.
    """

    def __init__(self, text: str) -> None:
        loader = yaml.SafeLoader(text)
        try:
            self._root = loader.get_single_node()
            # Before construction, which replaces merge keys by what they stand for.
            self._keys: dict[int, list[tuple[Any, yaml.Node, yaml.Node]]] = {}
            self.repeated: list[tuple[int, str]] = []
            for node in _mappings(self._root, set()):
                self._read(loader, node)
            self.content = loader.construct_document(self._root) if self._root else None
        finally:
            loader.dispose()

    def path(self, location: Sequence[int | str]) -> list[str]:
        """Those steps of a location that the document has: validators add steps of their own."""
        return [str(step) for step, _, _ in self._walk(location)]

    def line(self, location: Sequence[int | str], *, of_value: bool = False) -> int:
        """The line, from 1, that a key or item stands on.

        Args:
            location: keys and places in lists, from the top; as far as the document has them.
            of_value: the line that its value begins on.
        """
        line = self._root.start_mark.line
        for _, key, value in self._walk(location):
            line = (value if of_value else key).start_mark.line
        return int(line) + 1

    def _walk(
        self, location: Sequence[int | str]
    ) -> Iterator[tuple[int | str, yaml.Node, yaml.Node]]:
        node = self._root
        for step in location:
            if isinstance(node, yaml.MappingNode):
                found = next((pair for pair in self._entries(node) if _same(pair[0], step)), None)
            elif isinstance(node, yaml.SequenceNode) and isinstance(step, int):
                item = node.value[step] if step < len(node.value) else None
                found = (step, item, item) if item is not None else None
            else:
                found = None
            if found is not None:
                node = found[2]
                yield step, found[1], node

    def _entries(self, node: yaml.MappingNode) -> Iterator[tuple[Any, yaml.Node, yaml.Node]]:
        """Keys of a mapping, its own before merged ones, and of these the first before others."""
        entries = self._keys[id(node)]
        yield from (entry for entry in entries if entry[1].tag != _MERGE)
        for _, key, value in entries:
            if key.tag == _MERGE:
                merged = value.value if isinstance(value, yaml.SequenceNode) else [value]
                for mapping in merged:
                    if isinstance(mapping, yaml.MappingNode):
                        yield from self._entries(mapping)

    def _read(self, loader: yaml.SafeLoader, node: yaml.MappingNode) -> None:
        entries = []
        lines: dict[Any, int] = {}
        for key, value in node.value:
            if isinstance(key, yaml.ScalarNode) and key.tag != _MERGE:
                name = loader.construct_object(key)
                line = key.start_mark.line + 1
                if name in lines:
                    said = f"the key '{name}' stands here and on line {lines[name]}; keep one"
                    self.repeated.append((line, said))
                lines.setdefault(name, line)
            else:
                name = None
            entries.append((name, key, value))
        self._keys[id(node)] = entries


def _same(name: Any, step: int | str) -> bool:
    return name is not None and (name == step or str(name) == str(step))


def _mappings(node: yaml.Node | None, seen: set[int]) -> Iterator[yaml.MappingNode]:
    """All mappings of a document, each once, however many aliases it has."""
    if node is None or id(node) in seen:
        return
    seen.add(id(node))
    if isinstance(node, yaml.MappingNode):
        yield node
        for key, value in node.value:
            yield from _mappings(key, seen)
            yield from _mappings(value, seen)
    elif isinstance(node, yaml.SequenceNode):
        for item in node.value:
            yield from _mappings(item, seen)
