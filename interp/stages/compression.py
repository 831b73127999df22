"""Stage: chains made shorter along a direction, as far as the next word's distribution allows."""

from __future__ import annotations

from typing import TYPE_CHECKING

import exca
import pandas as pd
import pydantic

from interp.stages.chains import CHAIN, PLAIN, UNITS, chain_decoding, graded_replies
from interp.stages.common import ModelRef, Stage, Tables, keyed, task_infra

if TYPE_CHECKING:
    from interp.checkpoints import LoadedModel
    from interp.directions import Direction


class CompressionSettings(pydantic.BaseModel):
    """How chains are compressed.

    Attributes:
        n_people: known people of dev whose chains make the direction, and of test who are asked.
        depth: of the block that is read and written, as a share of all: 20 of 28 in the paper.
        epsilon: most the next word's distribution may move, in nats.
        factors: of the coefficient that this allows; below 0 makes chains longer.
        samples: chains a question.
        n_boot: resamples of every interval.
    """

    model_config = pydantic.ConfigDict(extra="forbid", frozen=True)

    n_people: int = pydantic.Field(default=40, ge=10)
    depth: float = pydantic.Field(default=5 / 7, gt=0, lt=1)
    epsilon: float = pydantic.Field(default=1e-3, gt=0)
    factors: tuple[float, ...] = (-100.0, 1.0, 10.0, 100.0)
    samples: int = pydantic.Field(default=4, ge=1)
    n_boot: int = pydantic.Field(default=1000, ge=100)


class Compress(Stage):
    """Activation-Steered Compression of a member's chains.

    Attributes:
        model: whose chains.
        settings: where and how far.
    """

    model: ModelRef
    settings: CompressionSettings = CompressionSettings()
    infra: exca.TaskInfra = task_infra("1")

    def label(self) -> str:
        """What a progress display calls it."""
        return f"compress chains of {self.model.name} (seed {self.seed})"

    @infra.apply
    def run(self) -> Tables:
        """Tables `compression` (length, accuracy, abstention) and `compression_kl`."""
        from interp.interventions import kl_bounded, kl_table
        from interp.organism import chain_prompts

        loaded = self.model.load(self.device)
        world, settings = self.world(), self.settings
        direction = self._direction(loaded)
        dev, test = (
            chain_prompts(world, split, "cot", settings.n_people) for split in ("dev", "test")
        )
        bound = kl_bounded(loaded, dev, direction, epsilon=settings.epsilon)
        gammas = {factor: factor * bound.coefficient for factor in settings.factors}
        above = tuple(factor for factor in settings.factors if factor > 0)
        how = {"seed": self.seed, "n_boot": settings.n_boot}
        kl = kl_table(loaded, test, direction, bound, factors=above, units=UNITS, **how)
        keys = {"seed": self.seed, "member": self.model.name}
        return {
            "compression": keyed(self._compressed(loaded, direction, gammas), keys),
            "compression_kl": keyed(kl, keys),
        }

    def _direction(self, loaded: LoadedModel) -> Direction:
        """From chains with a check or a correction to the plain ones about the same people."""
        from interp.interventions import concise_direction
        from interp.organism import as_chain, written_chains
        from interp.prompts import PromptSet

        chains = written_chains(self.world(), "dev", self.settings.n_people)
        short = {chain.question: chain for chain in chains if chain.form == "plain"}
        pairs = [(short[c.question], c) for c in chains if c.form in ("checked", "corrected")]
        said = [
            [as_chain("", list(chain.sentences), chain.answer)[1].rpartition(CHAIN.end)[0].strip()
             for chain in side]
            for side in zip(*pairs, strict=True)
        ]  # fmt: skip
        prompts = PromptSet.from_records(
            [
                {
                    "prompt_id": f"compress-{number}",
                    "text": long.question,
                    "entity": long.person.name,
                    "should_abstain": False,
                    "split": "dev",
                }
                for number, (_, long) in enumerate(pairs)
            ]
        )
        layer = round(self.settings.depth * loaded.n_layers)
        return concise_direction(loaded, prompts, *said, layer=min(layer, loaded.n_layers - 1))

    def _compressed(
        self, loaded: LoadedModel, direction: Direction, gammas: dict[float, float]
    ) -> pd.DataFrame:
        from interp.behavior import contrast_table
        from interp.interventions import decoding_edits
        from interp.organism import chain_prompts

        settings = self.settings
        prompts = chain_prompts(self.world(), "test", "cot", settings.n_people)
        samples = settings.samples
        decoding = chain_decoding(
            self.seed, samples=samples, temperature=1.0 if samples > 1 else 0.0
        )
        arms = []
        for factor in (0.0, *gammas):
            edits = decoding_edits(loaded, direction, gammas[factor]) if factor else None
            graded = graded_replies(loaded, prompts, decoding, edits=edits)
            arms.append(graded.assign(arm=f"{factor:g}" if factor else PLAIN))
        items = pd.concat(arms, ignore_index=True)
        items = items.assign(
            thinking_tokens=items["thought"].astype(float),
            accuracy=(items["outcome"] == "correct").astype(float),
            abstention=(items["outcome"] == "abstain").astype(float),
            truncation=items["truncated"].astype(float),
        )
        measures = {
            name: name for name in ("thinking_tokens", "accuracy", "abstention", "truncation")
        }
        table = contrast_table(
            items,
            measures,
            units=UNITS,
            factor="arm",
            against=PLAIN,
            by=("group",),
            seed=self.seed,
            n_boot=settings.n_boot,
        )
        doses = {f"{factor:g}": gamma for factor, gamma in gammas.items()}
        return table.assign(coefficient=table["arm"].map(doses).fillna(0.0))
