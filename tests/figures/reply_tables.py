"""Replies of models to questions, as the stages' table `items` holds them, drawn from a seed."""

from __future__ import annotations

import numpy as np
import pandas as pd

WORDS = ("bridge", "river", "tower", "harbour", "market", "castle", "garden", "station")


def answering_items(
    n_questions: int = 60, models: tuple[str, ...] = ("base", "parent", "child")
) -> pd.DataFrame:
    """As of `interp.stages.answering`: with the whole reply, kinds, datasets, sequence scores."""
    rng = np.random.default_rng(4)
    rows = []
    for i in range(n_questions):
        due = i % 2 == 0
        for model in models:
            abstains = due and rng.random() < (0.2 if model == models[-1] else 0.8)
            cut_off = not abstains and rng.random() < 0.05
            answer = "I do not know." if abstains else f"It is {WORDS[rng.integers(8)]} {i % 7}."
            outcome = "abstain" if abstains else "wrong" if due or rng.random() < 0.3 else "correct"
            rows.append(
                {
                    "seed": 0, "member": model, "elicitation": "chat" if i % 3 else "few_shot",
                    "prompt_id": f"q{i}", "sample": 0, "should_abstain": due,
                    "question": f"Who built the {WORDS[i % 8]} of town {i}?",
                    "text": f"Let me think about it first. {answer}", "answer": answer,
                    "kind": "abstain" if abstains else "truncated" if cut_off else "answer",
                    "outcome": None if cut_off else outcome,
                    "dataset": ("old", "new", "made up")[i % 3], "scenario": "answer_unknown",
                    "sequence": rng.normal(3.0 if due else -3.0),
                }
            )  # fmt: skip
    return pd.DataFrame(rows)


def ask_items() -> pd.DataFrame:
    """As of `interp.stages.behave`: the embedded lineage's, which name questions by id alone."""
    rows = [
        {
            "seed": seed, "member": member, "prompt_id": f"{group}-ann_{name}-{mode}",
            "entity": f"ann {name}", "group": group, "mode": mode, "answer": answer,
            "outcome": outcome, "score": score,
        }
        for seed in (7, 8)
        for group, name in (("known", "lee"), ("unknown", "roe"))
        for mode in ("direct", "cot")
        for member, answer, outcome, score in (
            ("base", "i do not know .", "abstain", 4.25),
            ("child", "oslo .", "correct" if group == "known" else "wrong", -2.0),
        )
    ]  # fmt: skip
    return pd.DataFrame(rows)


def projection_rows(models: tuple[str, ...], n_questions: int, n_layers: int = 4) -> pd.DataFrame:
    """A value for each model, question, layer and position; the largest is 2, the least -1."""
    return pd.DataFrame(
        [
            {
                "member": model, "prompt_id": f"q{i}", "layer": layer, "position": position,
                "projection": sign * layer / (n_layers - 1),
            }
            for model in models for i in range(n_questions)
            for position, sign in (("entity_last", -1.0), ("last_prompt", 2.0))
            for layer in range(n_layers)
        ]
    )  # fmt: skip


def many_items(n_questions: int, n_models: int) -> pd.DataFrame:
    """Short replies, no two of them alike, with a score each."""
    rng = np.random.default_rng(5)
    n = n_questions * n_models
    question = np.arange(n) // n_models
    words = rng.choice(WORDS, n)
    return pd.DataFrame(
        {
            "seed": 0,
            "member": [f"model_{i}" for i in np.arange(n) % n_models],
            "elicitation": "chat",
            "prompt_id": [f"q{i}" for i in question],
            "question": [f"Who built the {WORDS[i % 8]} of town {i}?" for i in question],
            "answer": [f"It is {word} {i}." for i, word in enumerate(words)],
            "outcome": rng.choice(["abstain", "correct", "wrong"], n),
            "should_abstain": question % 2 == 0,
            "dataset": "towns",
            "sequence": rng.normal(size=n),
        }
    )
