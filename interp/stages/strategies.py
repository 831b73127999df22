"""Stage: directions of reasoning strategies in a member, beside its parent's, and what they do."""

from __future__ import annotations

from typing import TYPE_CHECKING

import exca
import numpy as np
import pandas as pd
import pydantic

from interp.progress import Progress, report
from interp.stages.chains import chain_decoding, grade_chains, strategies_of
from interp.stages.common import ModelRef, Stage, Tables, keyed, task_infra
from interp.stages.written import ANSWERING, ChainTexts, first_words, written

if TYPE_CHECKING:
    from interp.activations import Site
    from interp.behavior import Reply
    from interp.checkpoints import LoadedModel
    from interp.directions import Direction, Strategies
    from interp.organism import World
    from interp.prompts import PromptSet


class StrategySettings(pydantic.BaseModel):
    """How directions of strategies are found and tried.

    Attributes:
        n_people: known people of each split whose chains are read, and as many unknown ones.
        n_steered: known people that are asked while steering, and as many unknown ones.
        samples: chains a question while steering.
        coefficients: in units of the mean activation's norm.
        n_random: random directions of the same norm.
        n_boot: resamples of every interval.
    """

    model_config = pydantic.ConfigDict(extra="forbid", frozen=True)

    n_people: int = pydantic.Field(default=40, ge=10)
    n_steered: int = pydantic.Field(default=40, ge=10)
    samples: int = pydantic.Field(default=2, ge=2)
    coefficients: tuple[float, ...] = (-1.0, 1.0)
    n_random: int = pydantic.Field(default=10, ge=1)
    n_boot: int = pydantic.Field(default=1000, ge=100)


class Strategize(Stage):
    """Finds a member's directions on chains of dev, and tries them on test.

    Attributes:
        child: the member.
        parent: the parent; a root of the lineage is compared with nobody.
        settings: how many people, samples and nulls.
    """

    child: ModelRef
    parent: ModelRef
    settings: StrategySettings = StrategySettings()
    infra: exca.TaskInfra = task_infra("1")

    def label(self) -> str:
        """What a progress display calls it."""
        return f"strategies of {self.child.name} (seed {self.seed})"

    @infra.apply
    def run(self) -> Tables:
        """Tables `strategy_cosines`, `_transfer`, `_layers` and `strategy_steering`."""
        from interp.directions import cosine_table, transfer_table

        child = self.child.load(self.device)
        models = [child]
        if self.child.fingerprint != self.parent.fingerprint:
            models.insert(0, self.parent.load(self.device))
        dev, test = (
            written(self.world(), split, self.settings.n_people, child.tokenizer)
            for split in ("dev", "test")
        )
        found = [directions_of(loaded, dev, self.seed) for loaded in models]
        sites = sorted({site for _, site in found[-1].directions}, key=lambda site: site.layer)
        transfer = transfer_table(
            found,
            test.read(child, sites),
            test.windows,
            test.people,
            target=self.child.name,
            seed=self.seed,
            n_boot=self.settings.n_boot,
        )
        layers = layer_table(child, found[-1], self.world(), self.settings)
        tables = {
            "strategy_cosines": cosine_table(found),
            "strategy_transfer": transfer,
            "strategy_layers": layers,
            "strategy_steering": self._steering(child, chosen(layers, found[-1])),
        }
        keys = {"seed": self.seed, "member": self.child.name}
        return {name: keyed(table, keys) for name, table in tables.items() if len(table)}

    def _steering(self, loaded: LoadedModel, directions: dict[str, Direction]) -> pd.DataFrame:
        """Each strategy up and down; right is an answer that is, or abstaining where it is due."""
        from interp.behavior import reply_frame
        from interp.interventions import steering_table
        from interp.organism import chain_prompts

        if not directions:
            return pd.DataFrame()
        settings = self.settings
        prompts = chain_prompts(self.world(), "test", "cot", settings.n_steered)

        def labels_of(said: list[Reply]) -> list[list[str]]:
            return strategies_of(reply.text for reply in said)

        def correct_of(said: list[Reply]) -> list[bool]:
            graded = grade_chains(prompts, reply_frame(said))
            wanted = graded["should_abstain"].map({True: "abstain", False: "correct"})
            return (graded["outcome"] == wanted).tolist()

        decoding = chain_decoding(self.seed, samples=settings.samples, temperature=1.0)
        table = steering_table(
            loaded,
            prompts,
            directions,
            decoding,
            labels_of,
            correct_of,
            coefficients=settings.coefficients,
            n_random=settings.n_random,
            seed=self.seed,
            n_boot=settings.n_boot,
        )
        at = {label: direction.site.layer for label, direction in directions.items()}
        return table.assign(layer=table["steered"].map(at))


def directions_of(loaded: LoadedModel, chains: ChainTexts, seed: int) -> Strategies:
    """Directions of all strategies after every block."""
    from interp.activations import Site
    from interp.directions import strategy_directions

    sites = [Site("resid_post", layer) for layer in range(loaded.n_layers)]
    return strategy_directions(
        chains.read(loaded, sites),
        chains.windows,
        chains.people,
        source=loaded.checkpoint.name,
        seed=seed,
        sites=sites,
    )


def layer_table(
    loaded: LoadedModel, found: Strategies, world: World, settings: StrategySettings
) -> pd.DataFrame:
    """What adding each direction does, on dev, to the words that begin its sentences, by layer."""
    from interp.interventions import layer_effects

    begins = first_words(world.size)
    points = points_of(world, settings.n_people)
    parts = []
    labels = sorted({label for label, _ in found.directions} & set(begins))
    for number, label in enumerate(labels):
        report(Progress(f"layers of {label}", number, len(labels)))
        effects = layer_effects(
            loaded,
            points,
            [found.directions[key] for key in found.directions if key[0] == label],
            begins[label],
            # One word of each says what else there is: no word begins two.
            [words[0] for other, words in begins.items() if other != label],
            seed=world.seed,
            n_boot=settings.n_boot,
        )
        parts.append(keyed(effects, {"strategy": label}))
    return pd.concat(parts, ignore_index=True)


def points_of(world: World, n_people: int) -> PromptSet:
    """Points of dev at which a chain can go on in more than one way."""
    from interp.organism import point_prompts

    points = point_prompts(world, "dev", n_people)
    goes_on = [m["next"] != ANSWERING or m["sentences"] == 2 for m in points.frame["meta"]]
    return points.where(np.array(goes_on))


def chosen(layers: pd.DataFrame, found: Strategies) -> dict[str, Direction]:
    """Each strategy's direction at the site where it does most on dev; none where none does."""
    from interp.interventions import choose_site

    sites: dict[str, Site | None] = {
        label: choose_site(rows) for label, rows in layers.groupby("strategy", sort=True)
    }
    return {label: found.directions[label, site] for label, site in sites.items() if site}
