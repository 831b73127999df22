"""What a study of reasoning is set to."""

from __future__ import annotations

import pydantic

from interp.stages.compression import CompressionSettings
from interp.stages.hybrid import HybridSettings
from interp.stages.reasoned import ReasoningSettings
from interp.stages.strategies import StrategySettings


class ReasoningStudy(pydantic.BaseModel):
    """Settings of the stages about chains of thought.

    Attributes:
        scorer: member in whose probabilities information gain is measured; none of the examined.
        chains: what is asked of chains.
        strategies: how directions of strategies are found and tried.
        hybrid: how the parent is steered by its child.
        compression: how far chains are made shorter.
    """

    model_config = pydantic.ConfigDict(extra="forbid", frozen=True)

    scorer: str = "never"
    chains: ReasoningSettings = ReasoningSettings()
    strategies: StrategySettings = StrategySettings()
    hybrid: HybridSettings = HybridSettings()
    compression: CompressionSettings = CompressionSettings()
