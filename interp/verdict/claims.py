"""The claims of a study of training objectives, as data: what is tested, and against what."""

from __future__ import annotations

from functools import cache
from importlib import resources
from pathlib import Path
from typing import Literal

import pydantic

from interp import configs
from interp.verdict.claim_readings import Side

TRACED = "traced"
Mode = Literal["cot", "direct", ""]

_NEEDS = {
    "rate": {"group"},
    "calibration": {"source", "measure"},
    "recovered": {"group"},
    "lag": set[str](),
    "gain": set[str](),
    "verdicts": set[str](),
}


class _Strict(pydantic.BaseModel):
    model_config = pydantic.ConfigDict(extra="forbid", frozen=True)


class Claim(_Strict):
    """One claim, fixed before the study that tests it.

    Attributes:
        id: its name in tables.
        sentence: what is claimed.
        objectives: the members it is about, a row each; "traced": all with a trajectory; for
            verdicts they are counted together.
        against: the member they are held against, or "parent".
        test: the statistic, one of `interp.verdict.claim_tests`.
        group: of people ("known", "unknown"); for rates.
        source: of confidence; for calibration.
        measure: of calibration.
        whole: the member that lost nothing; for shares recovered.
        least: the smallest loss of which a share is read; likewise.
        position: at which the parent's probe reads; for the lag.
        statistic: in words.
        modes: of asking; the first decides, the others stand beside it. "" where none is asked in.
        threshold: in the unit of the statistic.
        side: of the threshold on which the claim is true.
        decides: false for a claim that stands beside another.
        reason: of the threshold.
    """

    id: str
    sentence: str
    objectives: list[str] | Literal["traced"]
    against: str
    test: Literal["rate", "calibration", "recovered", "lag", "gain", "verdicts"]
    group: Literal["known", "unknown"] | None = None
    source: str | None = None
    measure: str | None = None
    whole: str = "base"
    least: float = 0.05
    position: str = "entity_last"
    statistic: str
    modes: list[Mode] = [""]
    threshold: float
    side: Side
    decides: bool = True
    reason: str

    @pydantic.model_validator(mode="after")
    def _complete(self) -> Claim:
        given = {name for name in ("group", "source", "measure") if getattr(self, name) is not None}
        if given != _NEEDS[self.test]:
            wanted = ", ".join(sorted(_NEEDS[self.test])) or "none of them"
            raise ValueError(f"of group, source and measure, the test '{self.test}' takes {wanted}")
        asks = bool(_NEEDS[self.test])
        if not self.modes or any(bool(mode) != asks for mode in self.modes):
            raise ValueError(f"the test '{self.test}' takes {'' if asks else 'no '}modes")
        if self.test == "verdicts" and self.objectives == TRACED:
            raise ValueError("the test 'verdicts' takes a list of objectives")
        return self


class Claims(_Strict):
    """All claims, and how their members are named in sentences."""

    members: dict[str, str]
    claims: list[Claim]

    @pydantic.model_validator(mode="after")
    def _consistent(self) -> Claims:
        ids = [claim.id for claim in self.claims]
        if len(set(ids)) < len(ids):
            raise ValueError("two claims have the same id")
        for claim in self.claims:
            listed = [] if claim.objectives == TRACED else claim.objectives
            wanted = [*listed, *([] if claim.against == "parent" else [claim.against])]
            if unknown := sorted(set(wanted) - set(self.members)):
                raise ValueError(f"claim {claim.id} names {unknown[0]}, which members lack")
        return self

    def phrase(self, member: str) -> str:
        """A member as sentences name it; its own name where none is given."""
        return self.members.get(member, f"in {member}")


def read_claims(path: Path) -> Claims:
    """Claims from a file.

    Raises:
        InputError: as `interp.configs.load`.
    """
    return configs.load(path, Claims)


@cache
def load_claims() -> Claims:
    """The claims the package ships."""
    return read_claims(Path(str(resources.files("interp.verdict").joinpath("claims.yaml"))))
