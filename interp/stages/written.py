"""Chains of the world as models read them: prompts, sentences by their tokens, and first words."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import pandas as pd

from interp.organism.sizes import USUAL, WorldSize
from interp.stages.chains import CHAIN

if TYPE_CHECKING:
    from interp.activations import Activations, Site
    from interp.checkpoints import LoadedModel
    from interp.organism.world import Split, World
    from interp.prompts import PromptSet

ANSWERING = "answer"
"""What a chain goes on to where it has ended."""


@dataclass(frozen=True, eq=False)
class ChainTexts:
    """Chains with what they reply to.

    Attributes:
        prompts: the questions, as text.
        replies: chain and answer.
        windows: labelled sentences: row, label, start and stop of the tokens whose states write it.
    """

    prompts: PromptSet
    replies: list[str]
    windows: pd.DataFrame

    @property
    def people(self) -> list[str]:
        """Whom each row is about."""
        return self.prompts.frame["entity"].tolist()

    def read(self, loaded: LoadedModel, sites: list[Site]) -> Activations:
        """Activations at every token of questions and chains."""
        from interp.activations import capture
        from interp.activations.shards import ALL

        return capture(
            loaded,
            self.prompts,
            sites,
            [ALL, "think_mean"],
            replies=self.replies,
            chain_end=CHAIN.end,
        )


def written(world: World, split: Split, n_people: int, tokenizer: object) -> ChainTexts:
    """The world's chains about people of a split, labelled sentence by sentence."""
    from interp.behavior import StrategyRules
    from interp.directions import chain_sentences, label_windows
    from interp.organism import as_chain, written_chains
    from interp.prompts import PromptSet

    chains = written_chains(world, split, n_people)
    replies = [as_chain("", list(chain.sentences), chain.answer)[1] for chain in chains]
    prompts = PromptSet.from_records(
        [
            {
                "prompt_id": f"{split}-written-{number}",
                "pair_id": chain.person.name,
                "entity": chain.person.name,
                "text": chain.question,
                "should_abstain": not chain.known,
                "split": split,
            }
            for number, chain in enumerate(chains)
        ]
    )
    sentences = chain_sentences(prompts, replies, tokenizer, chain_end=CHAIN.end)
    rules = StrategyRules.load("organism")
    of_row = sentences.groupby("row", sort=False)["text"].transform(
        lambda texts: [found.label for found in rules.label(texts.tolist())]
    )
    return ChainTexts(prompts, replies, label_windows(sentences.assign(label=of_row)))


def first_words(size: WorldSize = USUAL) -> dict[str, list[str]]:
    """What sentences of each strategy, and answers, can begin with; no word begins two."""
    from interp.organism import words

    return {
        "adding-knowledge": [*words.first_names(size), *words.CITIES],
        "deduction": [str(age) for age in words.AGES],
        "uncertainty-estimation": [words.ABSTAINING_PHRASES[0].split()[0]],
        "backtracking": ["wait"],
        "verification": ["check"],
        ANSWERING: [CHAIN.end.split()[0]],
    }
