"""Lineages: a base and its descendants, as YAML states them. Imports no deep-learning library."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

import pydantic

from interp import configs
from interp.errors import InputError


class Member(pydantic.BaseModel):
    """One checkpoint of a lineage.

    Attributes:
        name: the key it stands under.
        parent: the member it is compared with as its origin; None for a root.
        weights_from: the member whose weights its training really started from, where that is not
            the parent.
        objective: how it was trained: "pretrain", "midtrain", "sft", "sft_on_reasoning_traces",
            "dpo", "rlvr", "ppo_binary", "grpo_binary" and the like; stages whose checkpoints were
            not published are joined, as in "sft_and_preference".
        source: where the weights come from: "organism:<name>", a Hugging Face id, or a folder.
        revision: branch, tag or commit of a Hugging Face id; None for its main branch.
        chat_template: "none" for a base model that is to be read without the one it ships.
        note: anything a reader of a verdict should know.
    """

    model_config = pydantic.ConfigDict(extra="forbid", frozen=True)

    name: str
    parent: str | None
    weights_from: str | None = None
    objective: str
    source: str
    revision: str | None = None
    chat_template: Literal["own", "none"] = "own"
    note: str = ""


class Lineage(pydantic.BaseModel):
    """A family of checkpoints.

    Attributes:
        name: of the lineage.
        description: one line for listings.
        members: by name, in the order the file gives them.
    """

    model_config = pydantic.ConfigDict(extra="forbid", frozen=True)

    name: str
    description: str
    members: dict[str, Member] = pydantic.Field(min_length=1)

    @pydantic.field_validator("members", mode="before")
    @classmethod
    def _name_members(cls, members: Any) -> Any:
        """Each member's key is its name; the file doesn't say it twice."""
        if not isinstance(members, Mapping):
            return members
        return {
            name: {"name": name, **entry} if isinstance(entry, Mapping) else entry
            for name, entry in members.items()
        }

    @classmethod
    def load(cls, name_or_path: str) -> Lineage:
        """A lineage from a packaged name or a YAML file.

        Raises:
            InputError: no such lineage or file, a misspelt key, a parent that is no member, or
                members that descend from themselves.
        """
        path = configs.locate(name_or_path, "lineages")
        lineage = configs.load(path, cls)
        lineage.check(str(path))
        return lineage

    def check(self, where: str) -> None:
        """Refuses a lineage whose members do not descend from its roots.

        Args:
            where: named at the beginning of the error, e.g. the file.

        Raises:
            InputError: a member's `name` is not its key, `parent` or `weights_from` names no
                member, or following either of them comes round in a circle.
        """
        for key, member in self.members.items():
            if member.name != key:
                raise InputError(
                    f"{where}: member '{key}' is named '{member.name}'; leave `name` out, the key "
                    "is the name"
                )
            for field in ("parent", "weights_from"):
                other = getattr(member, field)
                if other is not None and other not in self.members:
                    raise InputError(
                        f"{where}: `{field}` of member '{key}' is '{other}', which is no member"
                        f"{configs.nearest(other, self.members)}; the members are "
                        f"{', '.join(self.members)}"
                    )
        self._check_circles(where, "parent", {n: m.parent for n, m in self.members.items()})
        starts = {name: m.weights_from or m.parent for name, m in self.members.items()}
        self._check_circles(where, "weights_from", starts)

    def member(self, name: str) -> Member:
        """The member of that name.

        Raises:
            InputError: there is none; the message gives the nearest one.
        """
        if name not in self.members:
            raise InputError(
                f"lineage '{self.name}' has no member '{name}'"
                f"{configs.nearest(name, self.members)}; it has {', '.join(self.members)}"
            )
        return self.members[name]

    def ancestors(self, member: str) -> list[str]:
        """Parent, parent's parent and so on up to a root; empty for a root.

        Raises:
            InputError: no such member.
        """
        above = []
        parent = self.member(member).parent
        while parent is not None:
            above.append(parent)
            parent = self.members[parent].parent
        return above

    def children(self, member: str) -> list[str]:
        """Members whose parent it is, in the order of the file.

        Raises:
            InputError: no such member.
        """
        self.member(member)
        return [name for name, entry in self.members.items() if entry.parent == member]

    @property
    def roots(self) -> list[str]:
        """Members without a parent, in the order of the file."""
        return [name for name, entry in self.members.items() if entry.parent is None]

    @property
    def pairs(self) -> list[tuple[str, str]]:
        """Every (parent, child), in the order of the children in the file."""
        return [(m.parent, name) for name, m in self.members.items() if m.parent is not None]

    def _check_circles(self, where: str, field: str, above: Mapping[str, str | None]) -> None:
        for name in self.members:
            path = [name]
            while (step := above[path[-1]]) is not None:
                if step in path:
                    circle = " <- ".join([*path[path.index(step) :], step])
                    raise InputError(
                        f"{where}: by `{field}` the members descend from themselves: {circle}; "
                        "one of them must start elsewhere"
                    )
                path.append(step)


def lineages() -> list[str]:
    """Names of the lineages that the package ships."""
    return configs.packaged("lineages")
