"""A behaviour run from a YAML file: what it leaves, what it recomputes, what it refuses."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import yaml
from sklearn.metrics import roc_auc_score
from typer.testing import CliRunner

from interp.behaving import BehaveRun
from interp.behavior import abstention_score, generate
from interp.checkpoints import Checkpoint
from interp.cli import app
from interp.errors import InputError
from interp.prompts import PromptSet, read_prompts
from tests.checkpoints.tiny import write_checkpoint
from tests.runs.outcomes import outcomes_of

WORDS = [f"w{i}" for i in range(30)]
# What a random model says is words of its vocabulary: one of them is made to mean abstaining.
LEXICON = {
    "language": "made up",
    "words": True,
    "abstain": [{"covers": "the word", "phrases": ["w5", "w11", "w17"]}],
    "refuse": [{"covers": "another word", "phrases": ["w8"]}],
}
CONTINUATIONS = {"language": "made up", "abstain": ["w5", "w11", "w17"], "answer": ["w6", "w7 w7"]}

FEW_SHOT = {"how": "few_shot", "shots": 2, "template": "q : {question} a : {reply} \n"}


def questions(path: Path, n_pairs: int, seed: int) -> Path:
    """Minimal pairs of two datasets; the answerable half is answered by many a word."""
    rng = np.random.default_rng(seed)
    rows = [
        {
            "prompt_id": f"{seed}-{pair}-{abstain}",
            "pair_id": f"{seed}-{pair}",
            "text": f"{' '.join(rng.choice(WORDS, 4))} {'in' if abstain else 'is'} ?",
            "should_abstain": abstain,
            "answers": [] if abstain else WORDS[::2],
            "dataset": f"set{pair % 2}",
        }
        for pair in range(n_pairs)
        for abstain in (True, False)
    ]
    path.write_text("\n".join(map(json.dumps, rows)), encoding="utf-8")
    return path


def config(folder: Path, **changes: Any) -> Path:
    content = {
        "name": "tiny",
        "models": {"parent": "parent", "child": {"source": "child", "parent": "parent"}},
        "prompts": "questions.jsonl",
        "examples": "examples.jsonl",
        "elicitations": ["raw", "chat", FEW_SHOT],
        "answering": {
            "decoding": {"max_new_tokens": 6, "stop": ["w20", "w21"]},
            "lexicon": "lexicon.yaml",
            "continuations": "continuations.yaml",
            "n_boot": 100,
        },
    }  # fmt: skip
    path = folder / "run.yaml"
    path.write_text(yaml.safe_dump({**content, **changes}), encoding="utf-8")
    return path


SAMPLED = {
    "examples": None,
    "name": "sampled",
    "elicitations": ["raw", {"how": "chat", "name": "in_any_case"}],
    "knowledge_from": "in_any_case",
    "answering": {
        "decoding": {"max_new_tokens": 8, "samples": 10, "temperature": 1.0, "stop": ["w1"]},
        "lexicon": "lexicon.yaml",
        "continuations": None,
        "n_boot": 100,
    },
}


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("behaving")
    write_checkpoint(folder / "parent", "llama", seed=0)
    write_checkpoint(folder / "child", "llama", seed=3)
    questions(folder / "questions.jsonl", 30, 0)
    questions(folder / "examples.jsonl", 8, 1)
    rows = [json.loads(line) for line in (folder / "questions.jsonl").read_text().splitlines()]
    lines = [json.dumps(row | {"answers": []}) for row in rows]
    (folder / "open.jsonl").write_text("\n".join(lines))
    (folder / "lexicon.yaml").write_text(yaml.safe_dump(LEXICON), encoding="utf-8")
    (folder / "continuations.yaml").write_text(yaml.safe_dump(CONTINUATIONS), encoding="utf-8")
    return folder


@pytest.fixture(scope="module")
def outcomes(home: Path) -> dict[str, Any]:
    few = {"examples": None, "elicitations": ["raw"]}
    shared = few | {"name": "first_then_open"}
    runs = {
        "first": {},
        "again": {},
        "sampled": SAMPLED,
        "before": shared,
        "open": shared | {"prompts": "open.jsonl"},
    }
    paths = {
        name: str(config(home, **changes).rename(home / f"{name}.yaml"))
        for name, changes in runs.items()
    }
    found = outcomes_of(home, paths, "behave")
    whole = (home / "questions.jsonl").read_text()
    (home / "questions.jsonl").write_text("\n".join(whole.splitlines()[:20]))
    found |= outcomes_of(home, {"edited": paths["first"]}, "behave")
    (home / "questions.jsonl").write_text(whole)
    return found


@pytest.fixture(scope="module")
def tables(outcomes: dict[str, Any]) -> dict[str, pd.DataFrame]:
    assert "error" not in outcomes["first"], outcomes["first"]["error"]
    return outcomes["first"]["tables"]


def test_there_is_one_row_a_model_way_and_question(tables: dict[str, pd.DataFrame]) -> None:
    items = tables["items"]
    assert items.groupby(["member", "elicitation"]).size().tolist() == [60] * 6
    assert set(items["elicitation"]) == {"raw", "chat", "few_shot"}


def test_replies_and_scores_are_those_of_the_model_asked_that_way(
    home: Path, tables: dict[str, pd.DataFrame]
) -> None:
    prompts = read_prompts(home / "questions.jsonl")
    loaded = Checkpoint(home / "child", "child").load()
    turns = [[{"role": "user", "content": text}] for text in prompts.frame["text"]]
    chat = PromptSet(prompts.frame.assign(text=None, messages=turns))
    for way, asked in (("raw", prompts), ("chat", chat)):
        items = tables["items"]
        items = items[(items["member"] == "child") & (items["elicitation"] == way)]
        whole = generate(loaded, asked, max_new_tokens=6)
        assert items["prompt_id"].tolist() == prompts.frame["prompt_id"].tolist()
        for text, uncut in zip(items["text"], whole, strict=True):
            assert uncut.startswith(text)
        score_N = abstention_score(loaded, asked, CONTINUATIONS["abstain"])
        np.testing.assert_allclose(items["sequence"], score_N, rtol=1e-4, atol=1e-4)


def test_shares_of_kinds_are_means_and_sum_to_one(tables: dict[str, pd.DataFrame]) -> None:
    items, kinds = tables["items"], tables["kinds"]
    assert {"answer", "abstain", "none", "truncated"} <= set(kinds["kind"])
    for (member, way, due), rows in kinds.groupby(["member", "elicitation", "should_abstain"]):
        here = items[
            (items["member"] == member)
            & (items["elicitation"] == way)
            & (items["should_abstain"] == due)
        ]
        for row in rows.itertuples():
            is_N = here["truncated"] if row.kind == "truncated" else here["kind"] == row.kind
            assert row.estimate == pytest.approx(is_N.mean())
        assert rows.loc[rows["kind"] != "truncated", "estimate"].sum() == pytest.approx(1)


def test_rates_leave_out_refusals_and_what_was_cut_off(tables: dict[str, pd.DataFrame]) -> None:
    items, abstention = tables["items"], tables["abstention"]
    assert items.loc[items["kind"].isin(["none", "refuse"]), "outcome"].isna().all()
    for (member, way, dataset), rows in abstention.groupby(["member", "elicitation", "dataset"]):
        here = items[(items["member"] == member) & (items["elicitation"] == way)]
        here = here[here["outcome"].notna() & here["should_abstain"]]
        here = here if dataset == "all" else here[here["dataset"] == dataset]
        recall = rows.loc[rows["measure"] == "recall", "estimate"].item()
        assert recall == pytest.approx((here["kind"] == "abstain").mean(), nan_ok=True)
    assert set(abstention["dataset"]) == {"all", "set0", "set1"}


def test_the_scores_auroc_is_scikit_learn_s(tables: dict[str, pd.DataFrame]) -> None:
    items, detection = tables["items"], tables["detection"]
    rows = detection[(detection["measure"] == "auroc") & (detection["dataset"] == "all")]
    assert set(rows["score"]) == {"sequence", "normalised", "first_token_score"}
    for row in rows.itertuples():
        here = items[(items["member"] == row.member) & (items["elicitation"] == row.elicitation)]
        wanted = roc_auc_score(here["should_abstain"].astype(bool), here[row.score])
        assert row.estimate == pytest.approx(wanted)


def test_it_leaves_tables_and_figures(outcomes: dict[str, Any]) -> None:
    folder: Path = outcomes["first"]["folder"]
    drawn = {path.stem for path in folder.glob("*.pdf")}
    assert drawn == {"kinds", "reliability", "risk_coverage"}
    assert {"abstention", "calibration", "detection", "kinds"} <= {
        path.stem for path in folder.glob("*.csv")
    }
    assert not (folder / "items.csv").exists()  # rows of the user's questions stay in the cache


def test_nothing_changed_nothing_runs(outcomes: dict[str, Any]) -> None:
    assert {event.state for event in outcomes["again"]["events"]} == {"cached"}
    for name, frame in outcomes["first"]["tables"].items():
        pd.testing.assert_frame_equal(frame, outcomes["again"]["tables"][name])


def test_several_samples_are_voted_on(outcomes: dict[str, Any]) -> None:
    assert "error" not in outcomes["sampled"], outcomes["sampled"]["error"]
    tables = outcomes["sampled"]["tables"]
    items = tables["items"]
    assert items.groupby(["member", "elicitation", "prompt_id"]).size().eq(10).all()
    votes = tables["majority"].query("dataset == 'all' and k == 1 and measure == 'abstain'")
    assert len(votes) == 2 * 2 * 2
    assert tables["majority"]["k"].max() > 3
    assert not {"calibration", "reliability"} & set(tables)


def test_what_a_model_knows_is_taken_from_where_it_must_answer(outcomes: dict[str, Any]) -> None:
    items, knowledge = (outcomes["sampled"]["tables"][name] for name in ("items", "knowledge"))
    assert set(knowledge["elicitation"]) == {"raw"}
    tried = items[items["has_answer"] & (items["elicitation"] == "in_any_case")]
    right = tried.assign(right=tried["outcome"] == "correct")
    counts = right.groupby(["prompt_id", "member"])["right"].sum().unstack()
    both = counts.index[(counts >= 3).all(axis=1)]
    assert len(both) > 2
    of_child = items[(items["member"] == "child") & (items["elicitation"] == "raw")]
    of_child = of_child[of_child["outcome"].notna()]
    wanted = (of_child[of_child["prompt_id"].isin(both)]["outcome"] == "abstain").mean()
    row = knowledge[
        (knowledge["member"] == "child")
        & (knowledge["group"] == "both_known")
        & (knowledge["measure"] == "abstain")
    ]
    assert row["estimate"].item() == pytest.approx(wanted)


def test_abstaining_is_counted_also_where_no_answer_is_known(outcomes: dict[str, Any]) -> None:
    """An answer that nobody can grade decides against abstaining all the same."""
    tables = outcomes["open"]["tables"]
    items = tables["items"]
    assert not items["has_answer"].any()
    assert not {"calibration", "reliability"} & set(tables)
    for member, rows in tables["abstention"].groupby("member"):
        here = items[(items["member"] == member) & items["kind"].isin(["answer", "abstain"])]
        rows = rows[rows["dataset"] == "all"].set_index("measure")["estimate"]
        for measure, due in (("recall", True), ("over_abstention", False)):
            of_kind = here[here["should_abstain"] == due]["kind"]
            assert rows[measure] == pytest.approx((of_kind == "abstain").mean())


def test_an_edited_file_is_another_run(outcomes: dict[str, Any]) -> None:
    """The same YAML, first with 30 pairs in the file and then with 10."""
    first, second = (outcomes[name]["tables"]["kinds"]["n"].max() for name in ("first", "edited"))
    assert (first, second) == (30, 10)
    written = pd.read_csv(outcomes["edited"]["folder"] / "kinds.csv")
    assert written["n"].max() == 10


def test_nothing_of_an_earlier_run_stays_in_its_folder(outcomes: dict[str, Any]) -> None:
    folder: Path = outcomes["open"]["folder"]
    assert folder.name == "first_then_open"
    assert not list(folder.glob("calibration*")) + list(folder.glob("reliability*"))


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"elicitation": ["raw"]}, "elicitation"),
        ({"examples": None}, "few_shot needs `examples`"),
        ({"elicitations": ["raw"]}, "`examples` are for few_shot"),
        ({"elicitations": ["raw", "raw"], "examples": None}, "give each a `name`"),
        ({"models": {}}, "models"),
        ({"members": ["a"]}, "`members` are of a lineage"),
        ({"knowledge_from": "chatt"}, "did you mean 'chat'|expected one of"),
        ({"knowledge_from": "chat"}, "at least 10 samples"),
        ({"elicitations": [{"how": "raw", "models": ["no"]}], "examples": None}, "no model 'no'"),
        ({"elicitations": [{"how": "raw", "seed": 4}], "examples": None}, "seed is that of the"),
        ({"answering": {"decoding": {"seed": 4}}}, "seed is that of the run"),
        ({"models": {"a": {"source": "child", "chat_template": "none"}}}, "a has no chat template"),
        ({"prompts": "nowhere.jsonl"}, "nowhere.jsonl"),
        ({"models": {"a": "nowhere"}}, "nowhere"),
        ({"answering": {"lexicon": "klingon"}}, "klingon"),
        ({"answering": {"decoding": {"beams": 3}}}, "beams"),
        ({"answering": {"levels": ["planet"]}}, "planet"),
        ({"examples": "questions.jsonl"}, "no answer|share no pair"),
    ],
    ids=str,
)
def test_bad_input_is_one_clear_error(home: Path, changes: dict[str, Any], said: str) -> None:
    if "examples" in changes and changes["examples"] == "questions.jsonl":
        rows = [json.loads(line) for line in (home / "questions.jsonl").read_text().splitlines()]
        few = [row for row in rows if row["should_abstain"]][:2]
        (home / "few.jsonl").write_text("\n".join(map(json.dumps, few)))
        changes = {"examples": "few.jsonl"}
    path = config(home, **changes).rename(home / "bad.yaml")
    with pytest.raises(InputError, match=said):
        BehaveRun.load(str(path), device="cpu").nodes()


def test_the_command_says_what_is_wrong_in_one_line(home: Path) -> None:
    path = config(home, models={"a": "nowhere"}).rename(home / "bad.yaml")
    done = CliRunner().invoke(app, ["behave", str(path), "--device", "cpu"])
    assert isinstance(done.exception, InputError)
    assert "nowhere" in str(done.exception)
