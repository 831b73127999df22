"""Facts of the linear relational embeddings (Hernandez et al., arXiv 2308.09124).

One prompt a subject of a relation, from the relation's first zero-shot template; all its objects
are accepted. Every prompt has an answer, so none calls for abstention as such.
"""

from __future__ import annotations

from pathlib import Path

from interp.prompts.datasets.dataset import Counts, Dataset, Record
from interp.prompts.datasets.rows import Row, json_list, json_object

_KINDS = ("commonsense", "factual", "linguistic")


def _records(folder: Path) -> list[Record]:
    return [
        record
        for kind in _KINDS
        for path in sorted((folder / "data" / kind).glob("*.json"))
        for record in _of_relation(path, kind)
    ]


def _of_relation(path: Path, kind: str) -> list[Record]:
    relation = Row(json_object(path), 1, str(path))
    templates = relation.texts("prompt_templates_zs")
    if not templates or templates[0].count("{}") != 1:
        raise relation.bad("prompt_templates_zs", "templates with one {} for the subject")
    objects: dict[str, list[str]] = {}
    for row in json_list(path, "samples"):
        accepted = objects.setdefault(row.text("subject"), [])
        if row.text("object") not in accepted:
            accepted.append(row.text("object"))
    return [
        {
            "prompt_id": f"lre_relations/{kind}/{path.stem}/{subject}",
            "text": templates[0].replace("{}", subject),
            "should_abstain": False,
            "scenario": "answer_unknown",
            "answers": accepted,
            "entity": subject,
            "dataset": "lre_relations",
            "meta": {"relation": relation.text("name"), "kind": kind},
        }
        for subject, accepted in objects.items()
    ]


LRE_RELATIONS = Dataset(
    name="lre_relations",
    folder="lre_relations",
    files=tuple(f"data/{kind}/*.json" for kind in _KINDS),
    records=_records,
    known=Counts(rows=10785, should_abstain=0, pairs=0),
    scenarios=("answer_unknown",),
    url="https://github.com/evandez/relations",
    licence="MIT",
    caution="no prompt calls for abstention; label them by what one model knows",
)
