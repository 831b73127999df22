"""How a dictionary is trained, as configs state it."""

from __future__ import annotations

import pydantic


class DictionaryRecipe(pydantic.BaseModel):
    """How dictionaries are trained.

    Attributes:
        architecture: one that SAELens trains: topk, batchtopk, matryoshka_batchtopk, jumprelu,
            gated, standard, ...
        n_latents: M.
        steps: of Adam.
        batch: rows a step.
        lr: after a warm-up over the first twentieth of the steps; falls to 0 over the last fifth.
        dead_after: rows without activity after which a latent counts as dead in the loss.
        skip_first: tokens at the start of each prompt that are left out.
        held_back: share of the prompts on which the card is measured.
        scale: bring activations to a mean norm of sqrt(d) while training, so that one `lr` suits
            all sites ("expected_average_only_in"); folded into the weights afterwards.
        center: begin with the mean as the decoder's bias.
        sparse_step: steps by active latents (`interp.features.topk`), where the architecture has
            them.
        options: of SAELens' config of that architecture: k, l1_coefficient, ...
    """

    model_config = pydantic.ConfigDict(extra="forbid", frozen=True)

    architecture: str = "topk"
    n_latents: pydantic.PositiveInt
    steps: pydantic.PositiveInt
    batch: pydantic.PositiveInt = 4096
    lr: pydantic.PositiveFloat = 1e-3
    dead_after: pydantic.PositiveInt = 100_000
    skip_first: pydantic.NonNegativeInt = 1
    held_back: pydantic.PositiveFloat = 0.05
    scale: bool = True
    center: bool = True
    sparse_step: bool = True
    options: dict[str, int | float | bool | str | list[int]] = {}
