"""All that differs between two studies."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import pandas as pd

from interp.differing.changes import Change, changes
from interp.differing.rows import TableDifference, table_difference
from interp.differing.side import Side


@dataclass(frozen=True)
class Difference:
    """What differs between two studies.

    Attributes:
        a, b: the studies.
        config: settings.
        code: the version of the code, if it differs.
        models: fingerprints.
        rule: entries of the decision rule.
        verdicts: by "seed member"; None unless both judge.
        tables: of each name that both have and that are not the same, the verdicts apart.
        same: names of the tables that are.
        only_a, only_b: names of tables that one of them has.
    """

    a: Side
    b: Side
    config: list[Change]
    code: list[Change]
    models: list[Change]
    rule: list[Change]
    verdicts: list[Change] | None
    tables: list[TableDifference]
    same: list[str]
    only_a: list[str]
    only_b: list[str]

    @property
    def compared(self) -> bool:
        """Whether both have results."""
        return self.a.tables is not None and self.b.tables is not None


def difference(a: Side, b: Side) -> Difference:
    """Compares settings, what made the results, and the results.

    What only a run has is compared where both have been run.

    Args:
        a: one study, called old.
        b: the other one, called new.
    """
    ran = a.tables is not None and b.tables is not None
    old, new = a.tables or {}, b.tables or {}
    shared = [name for name in old if name in new] if ran else []
    judged = "verdict" in shared
    found = [table_difference(name, old[name], new[name]) for name in shared if name != "verdict"]
    return Difference(
        a,
        b,
        changes(a.config, b.config),
        changes({"code": a.code_version}, {"code": b.code_version}) if ran else [],
        changes(a.models or {}, b.models or {}) if ran else [],
        changes(a.rule or {}, b.rule or {}) if ran else [],
        changes(_verdicts(old["verdict"]), _verdicts(new["verdict"])) if judged else None,
        [table for table in found if not table.same],
        [table.name for table in found if table.same],
        [name for name in old if name not in new] if ran else [],
        [name for name in new if name not in old] if ran else [],
    )


def _verdicts(table: pd.DataFrame) -> Mapping[str, str]:
    return {
        f"{row.member} (seed {row.seed})": str(row.verdict) for row in table.itertuples(index=False)
    }
