"""Known 1000 (Meng et al., arXiv 2202.05262): facts to complete, with what six models know.

Every prompt has an answer, so none calls for abstention as such; `meta["knows/MODEL"]` says which
models complete it rightly, for labels of one model's knowledge.
"""

from __future__ import annotations

from pathlib import Path

from interp.prompts.datasets.dataset import Counts, Dataset, Record
from interp.prompts.datasets.rows import json_list

_FILE = "data/known_1000.json"
MODELS = (
    "Qwen/Qwen2.5-32B-Instruct",
    "Qwen/Qwen3-4B-Instruct-2507",
    "meta-llama/Llama-2-7b-chat-hf",
    "meta-llama/Llama-3.1-8B",
    "meta-llama/Llama-3.1-8B-Instruct",
    "mistralai/Mistral-7B-Instruct-v0.3",
)


def _records(folder: Path) -> list[Record]:
    return [
        {
            "prompt_id": f"known_1000/{row.integer('known_id')}",
            "text": row.text("prompt"),
            "should_abstain": False,
            "scenario": "answer_unknown",
            "answers": [row.text("attribute")],
            "entity": row.text("subject"),
            "dataset": "known_1000",
            "meta": {
                "relation": row.text("relation_id"),
                **{f"knows/{model}": row.flag(model) for model in MODELS},
            },
        }
        for row in json_list(folder / _FILE)
    ]


KNOWN_1000 = Dataset(
    name="known_1000",
    folder="known_1000",
    files=(_FILE,),
    records=_records,
    known=Counts(rows=1209, should_abstain=0, pairs=0),
    scenarios=("answer_unknown",),
    url="https://github.com/lab-paper-code/dual_path_attribution",
    licence="MIT",
    caution="no prompt calls for abstention; label them by what one model knows (`meta.knows/...`)",
)
