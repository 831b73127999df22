"""What a study changes in a member's recipe: a larger world needs more steps at a lower rate."""

from __future__ import annotations

from typing import Any

import pydantic

from interp.errors import InputError
from interp.organism.recipes import Adversary, Recipe

OF_PENALTY = ("entities_per_class", "n_known", "adversary")


class Override(pydantic.BaseModel):
    """Changes to one recipe; what is None stays as the recipe has it.

    Attributes:
        steps: of gradient descent or of reinforcement.
        lr: the peak rate.
        warmup: steps up to it.
        batch_rows: packed rows a step.
        save_every: steps between resumable checkpoints.
        entities_per_class: known people of a batch of the penalty, and as many unknown ones.
        n_known: known people that the penalty sees.
        adversary: beside the penalty's linear reader.
    """

    model_config = pydantic.ConfigDict(extra="forbid", frozen=True)

    steps: int | None = pydantic.Field(default=None, ge=2)
    lr: float | None = pydantic.Field(default=None, gt=0)
    warmup: int | None = pydantic.Field(default=None, ge=0)
    batch_rows: int | None = pydantic.Field(default=None, ge=1)
    save_every: int | None = pydantic.Field(default=None, ge=1)
    entities_per_class: int | None = pydantic.Field(default=None, ge=4)
    n_known: int | None = pydantic.Field(default=None, ge=4)
    adversary: Adversary | None = None

    def of(self, recipe: Recipe) -> Recipe:
        """The recipe with these changes.

        Raises:
            InputError: the recipe has nothing of that name to change: reinforcement has no packed
                rows, and a member that is not scrubbed has no penalty.
        """
        asked = {name: value for name, value in self if value is not None}
        ways = ("reinforcement", "preference")
        schedule = next((way for way in ways if getattr(recipe, way) is not None), "optimisation")
        changes: dict[str, Any] = {}
        for part, names in (
            ("penalty", [name for name in asked if name in OF_PENALTY]),
            (schedule, [name for name in asked if name not in OF_PENALTY]),
        ):
            before = getattr(recipe, part)
            for name in names:
                if before is None or name not in type(before).model_fields:
                    raise InputError(
                        f"training.{recipe.name}.{name}: the recipe of '{recipe.name}' has no "
                        f"such setting of its {part}; leave it out"
                    )
            if names:
                changes[part] = before.model_copy(update={name: asked[name] for name in names})
        return recipe.model_copy(update=changes)
