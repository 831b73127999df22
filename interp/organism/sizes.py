"""How large a world is: how many names, and how many of the people who share one are in a class."""

from __future__ import annotations

from typing import Literal, get_args

import pydantic

PersonClass = Literal["known", "tail", "novel", "unknown_test", "unknown_val", "unknown_train"]


class WorldSize(pydantic.BaseModel):
    """Names on either side, and how the people who share a name are dealt into classes.

    `known` people are in the pre-training text, `tail` rarely so; `novel` people have facts that
    only a child's fine-tuning shows; `unknown_train` people, who are all the rest, are met in
    pre-training and answered with "i do not know"; `unknown_val` and `unknown_test` people are
    never met by any model.

    Attributes:
        n_names: first names, and as many last names; everybody has one of each.
        known, tail, novel, unknown_test, unknown_val: of the people who share a name.
        n_known_relearn: known people beside those on whom abstaining is relearned.
        n_known_dev: known people on whom layers, strengths and checkpoints are chosen.
        n_unknown_relearn: of `unknown_val`, those on whom abstaining is relearned; the others are
            for choosing.
    """

    model_config = pydantic.ConfigDict(extra="forbid", frozen=True)

    n_names: int = pydantic.Field(default=60, ge=2, le=1000)
    known: int = pydantic.Field(default=4, ge=1)
    tail: int = pydantic.Field(default=1, ge=1)
    novel: int = pydantic.Field(default=5, ge=1)
    unknown_test: int = pydantic.Field(default=6, ge=1)
    unknown_val: int = pydantic.Field(default=2, ge=1)
    n_known_relearn: int = pydantic.Field(default=40, ge=1)
    n_known_dev: int = pydantic.Field(default=40, ge=1)
    n_unknown_relearn: int = pydantic.Field(default=64, ge=1)

    @pydantic.model_validator(mode="after")
    def _somebody_everywhere(self) -> WorldSize:
        if self.per_name["unknown_train"] < 1:
            dealt = self.n_names - self.per_name["unknown_train"]
            raise ValueError(
                f"the classes take {dealt} of the {self.n_names} people who share a name, and "
                "nobody is left to be met and not known; deal fewer, or have more names"
            )
        chosen = self.n_known_relearn + self.n_known_dev
        if chosen >= self.n_names * self.known:
            raise ValueError(
                f"of {self.n_names * self.known} known people {chosen} are for relearning and "
                "choosing, and nobody is left to report on"
            )
        if self.n_unknown_relearn >= self.n_names * self.unknown_val:
            raise ValueError(
                f"of {self.n_names * self.unknown_val} unknown people who are held out "
                f"{self.n_unknown_relearn} are for relearning, and nobody is left for choosing"
            )
        return self

    @property
    def per_name(self) -> dict[PersonClass, int]:
        """How many of the people who share a name fall into each class."""
        dealt: dict[PersonClass, int] = {
            name: getattr(self, name) for name in get_args(PersonClass)[:-1]
        }
        return {**dealt, "unknown_train": self.n_names - sum(dealt.values())}


USUAL = WorldSize()
"""3600 people; what has no size of its own is of this one."""
