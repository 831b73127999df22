"""One step of a hybrid: the base model's forward again, with what the thinker's state calls for."""

from __future__ import annotations

import copy
import hashlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from typing import Any, Literal, get_args

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn
from transformers.cache_utils import DynamicLayer, DynamicSlidingWindowLayer

from interp.activations import Site
from interp.checkpoints import LoadedModel
from interp.directions import Direction, random_directions
from interp.errors import InputError
from interp.interventions.edits import Add
from interp.interventions.hooks import intervene
from interp.prompts import Encoded

Arm = Literal["full", "bias_only", "random_timing", "random_vectors", "oracle"]
ARMS = get_args(Arm)
"""full: the thinker says when and which. bias_only: when. random_timing: which. random_vectors:
both, and what is written is random. oracle: when; given labels say which."""

Categorise = Callable[[Float[Tensor, "n d"]], Int[Tensor, " n"]]
"""The category of each state of the thinker, from 0; -1 for none, which is not steered."""
NO_CATEGORY = -1


@dataclass(frozen=True, eq=False)
class Written:
    """What is written into the base model, by category.

    Attributes:
        directions: one a category, each added with coefficient times its `norm`.
        coefficients: one a category. They are chosen on a dev split, never by the likelihood that
            the thinker gives to the replies that are reported.
        bias: added wherever any category is, if there is one.
        bias_coefficient: in units of its norm.
    """

    directions: Sequence[Direction]
    coefficients: Sequence[float]
    bias: Direction | None = None
    bias_coefficient: float = 1.0

    def __post_init__(self) -> None:
        if not self.directions or len(self.directions) != len(self.coefficients):
            raise InputError(
                f"hybrid: {len(self.directions)} directions and {len(self.coefficients)} "
                "coefficients; expected one of each for every category"
            )

    def randomised(self, seed: int) -> Written:
        """Other vectors of the same norms, at the same sites; the bias is kept."""
        d = len(self.directions[0].vector_D)
        random_KD = random_directions(len(self.directions), d, seed)
        kept = zip(self.directions, random_KD, strict=True)
        return replace(self, directions=[replace(v, vector_D=random_D) for v, random_D in kept])

    def edits(self, category: int, *, only_bias: bool) -> list[Add]:
        """What is added at a position of the category.

        Args:
            category: number of the direction.
            only_bias: leaves the direction out.
        """
        edits = []
        if self.bias is not None:
            dose = self.bias_coefficient * self.bias.norm
            edits.append(Add(self.bias.site, self.bias.vector_D, dose))
        if not only_bias:
            direction = self.directions[category]
            dose = self.coefficients[category] * direction.norm
            edits.append(Add(direction.site, direction.vector_D, dose))
        return edits


@dataclass(frozen=True, eq=False)
class _Look:
    """Changes nothing, and keeps the activations."""

    site: Site
    seen: list[Tensor] = field(default_factory=list)

    def apply(
        self, acts_ND: Float[Tensor, "n d"], row_N: Int[Tensor, " n"], column_N: Int[Tensor, " n"]
    ) -> Float[Tensor, "n d"]:
        self.seen.append(acts_ND)
        return acts_ND

    def check(self, d_model: int, n_rows: int, n_columns: int) -> None:
        """It fits every model."""


@dataclass(eq=False)
class Stepper:
    """Replaces the base model's forwards, one batch after the other.

    Attributes:
        base: writes.
        thinker: reads along.
        written: into the base model.
        categorise: category of the thinker's state.
        site: of that state.
        arm: which of the two parts of the thinker's advice are replaced.
        share: of random_timing.
        oracle: of oracle: by prompt id, the category of each step.
        seed: of random_timing.
        prompt_ids: of the prompts.
        steps: of each row of the latest batch, what was done at each of its steps.
    """

    base: LoadedModel
    thinker: LoadedModel
    written: Written
    categorise: Categorise
    site: Site
    arm: Arm
    share: float | None
    oracle: Mapping[str, Sequence[int]]
    seed: int
    prompt_ids: Sequence[str]
    steps: list[list[dict[str, Any]]] = field(default_factory=list)

    @contextmanager
    def batch(self, encoded: Encoded, rows: list[int]) -> Iterator[None]:
        """While a batch is written, the base model is the hybrid."""
        self.steps = [[] for _ in rows]
        self._ids = [self.prompt_ids[row] for row in rows]
        # Samples of a prompt stand beside each other.
        self._rngs = [
            _rng(self.seed, name, self._ids[:n].count(name)) for n, name in enumerate(self._ids)
        ]
        self._thinker_cache: Any = None
        model = self.base.model
        hooks = (
            model.register_forward_pre_hook(self._before, with_kwargs=True),
            model.register_forward_hook(self._after, with_kwargs=True),
        )
        try:
            yield
        finally:
            for hook in hooks:
                hook.remove()

    def _before(self, _: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        self._past = _kept(kwargs["past_key_values"])

    def _after(
        self, model: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any], output: Any
    ) -> Any:
        """The step again, with what is to be written; or the step as it is."""
        likeliest_B, category_B = self._thought(kwargs)
        differs_B = output.logits[:, -1].argmax(-1).cpu() != likeliest_B
        chosen_B = self._chosen(differs_B, category_B)
        mask_BT = torch.zeros_like(kwargs["attention_mask"], dtype=torch.bool, device="cpu")
        with ExitStack() as stack:
            for category in chosen_B[chosen_B != NO_CATEGORY].unique().tolist():
                edits = self.written.edits(category, only_bias=self.arm == "bias_only")
                here_BT = mask_BT.clone()
                here_BT[:, -1] = chosen_B == category
                stack.enter_context(intervene(self.base, edits, here_BT))
            if bool((chosen_B == NO_CATEGORY).all()):
                return None
            # `forward` and not a call, which would come back to this hook.
            return self.base.model.forward(**kwargs | {"past_key_values": self._past})

    def _thought(self, kwargs: dict[str, Any]) -> tuple[Int[Tensor, " b"], Int[Tensor, " b"]]:
        """The thinker's likeliest next tokens and the categories of its states."""
        device = self.thinker.device
        read = {
            name: kwargs[name].to(device)
            for name in ("input_ids", "attention_mask", "position_ids")
        }
        last_BT = torch.zeros_like(kwargs["attention_mask"], dtype=torch.bool, device="cpu")
        last_BT[:, -1] = True
        look = _Look(self.site)
        with intervene(self.thinker, [look], last_BT):
            output = self.thinker.model(
                **read, past_key_values=self._thinker_cache, use_cache=True, logits_to_keep=1
            )
        self._thinker_cache = output.past_key_values
        category_B = self.categorise(look.seen[0]).cpu().long()
        n_categories = len(self.written.directions)
        if category_B.shape != (len(self._ids),) or int(category_B.max()) >= n_categories:
            raise InputError(
                f"hybrid: categories {category_B.tolist()} of {len(self._ids)} states; expected "
                f"one each, below {n_categories}, the number of directions"
            )
        return output.logits[:, -1].argmax(-1).cpu(), category_B

    def _chosen(
        self, differs_B: Bool[Tensor, " b"], category_B: Int[Tensor, " b"]
    ) -> Int[Tensor, " b"]:
        """The category that is written in each row, noted down as the row's next step."""
        chosen = []
        pairs = zip(differs_B.tolist(), category_B.tolist(), strict=True)
        for row, (differs, category) in enumerate(pairs):
            steered = differs
            if self.arm == "random_timing":
                # Both are drawn at every step, so that one does not depend on the other.
                steered = self._rngs[row].random() < (self.share or 0.0)
                drawn = int(self._rngs[row].integers(len(self.written.directions)))
                category = drawn if category == NO_CATEGORY else category
            if self.arm == "oracle":
                given, step = self.oracle[self._ids[row]], len(self.steps[row])
                category = given[step] if step < len(given) else NO_CATEGORY
            steered = steered and category != NO_CATEGORY
            chosen.append(category if steered else NO_CATEGORY)
            coefficient = self.written.coefficients[category] if steered else 0.0
            if steered and self.arm == "bias_only":
                coefficient = self.written.bias_coefficient
            self.steps[row].append(
                {
                    "differs": differs,
                    "category": chosen[-1],
                    "steered": steered,
                    "coefficient": coefficient,
                }
            )
        return torch.tensor(chosen)


def _rng(seed: int, prompt_id: str, sample: int) -> np.random.Generator:
    digest = hashlib.sha256(f"{seed}\0{prompt_id}\0{sample}".encode()).digest()
    return np.random.default_rng(np.frombuffer(digest, dtype=np.uint32))


def _kept(cache: Any) -> Any:
    """A cache that a forward over the given one leaves as it is."""
    if cache is None:
        return None
    if not all(type(layer) in (DynamicLayer, DynamicSlidingWindowLayer) for layer in cache.layers):
        return copy.deepcopy(cache)
    # These layers put new tensors in the place of old ones and never write into them.
    kept = copy.copy(cache)
    kept.layers = [copy.copy(layer) for layer in cache.layers]
    return kept
