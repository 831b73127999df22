"""Datasets by name: what is missing is said with its source, and counts are held to the known."""

from __future__ import annotations

import bz2
import json
import re

import pytest

from interp.errors import InputError
from interp.prompts.datasets import Counts, check_dataset, datasets, is_there, read_dataset
from tests.prompts.datasets.files import REAL
from tests.prompts.datasets.published import MAKERS

real = pytest.mark.skipif(not REAL.is_dir(), reason="the public datasets are not on this machine")
# As they are counted in the files themselves, without any of the readers.
PUBLISHED = {
    "abstain_r1_alcuna": Counts(171, 71, 0),
    "abstain_r1_falseqa": Counts(190, 93, 0),
    "abstain_r1_gsm8k_abstain": Counts(176, 76, 0),
    "abstain_r1_known_unknown_questions": Counts(172, 76, 0),
    "abstain_r1_musique": Counts(173, 74, 0),
    "abstain_r1_qaqa": Counts(191, 92, 0),
    "abstain_r1_squad2": Counts(187, 88, 0),
    "bbh_disambiguation": Counts(250, 75, 0),
    "coconot": Counts(1001 - 395 + 379 - 149, 1001 - 395, 0),
    "gsm8k_abstain": Counts(2 * 1213, 1213, 1213),
    "known_1000": Counts(1209, 0, 0),
    "mip_overthinking": Counts(50 + 300 + 2 * 582, 50 + 300 + 582, 582),
    "mmlu_history": Counts(2 * 39, 39, 39),
    "mmlu_math": Counts(2 * 133, 133, 133),
    "sae_entities": Counts(6 * 1024, 0, 0),
    "sae_entities_triviaqa": Counts(512, 0, 0),
    "selfaware": Counts(3369, 1032, 0),
    "truthfulqa": Counts(817, 56, 0),
    "umwp": Counts(5200, 2600, 2600),
    "xstest": Counts(450, 200, 0),
    "falseqa": Counts(1374, 687, 687),
    "mathtrap": Counts(104 + 40, 104, 40),
    "mediq": Counts(2 * (140 + 1272 - 3), 140 + 1272 - 3, 140 + 1272 - 3),
    "moralchoice": Counts(680 + 687, 680, 0),
    "situatedqa_geo": Counts(506 + 129, 129, 129),
    "sum": Counts(2 * 284, 284, 284),
    "treecut": Counts(8 * 500, 4 * 500, 0),
    "worldsense": Counts(3 * 864, 864, 0),
    "bb_known_unknowns": Counts(2 * 23, 23, 23),
    "gpqa_diamond": Counts(2 * 40, 40, 40),
    "kuq": Counts(3437 + 3447, 3437, 0),
    "questbench_gsm_csp": Counts(151 + 51, 151, 51),
    "questbench_gsm_verbal": Counts(288 - 53, 288 - 53, 0),
    "questbench_logic": Counts(2 * (1150 - 18), 1150 - 18, 1150 - 18),
}


@real
@pytest.mark.parametrize("name", PUBLISHED)
def test_the_published_files_have_the_known_counts(name):
    if not is_there(name, REAL):
        pytest.skip(f"{name} is not on this machine")
    check = check_dataset(name, REAL)
    assert check.found == check.known == PUBLISHED[name]
    assert check.passed


@real
def test_lre_has_a_prompt_for_every_subject_of_every_relation():
    if not is_there("lre_relations", REAL):
        pytest.skip("lre_relations is not on this machine")
    facts, asked = 0, 0
    for path in (REAL / "lre_relations").rglob("*.json"):
        samples = json.loads(path.read_text(encoding="utf-8"))["samples"]
        facts += len({(sample["subject"], sample["object"]) for sample in samples})
        asked += len({sample["subject"] for sample in samples})
    prompts = read_dataset("lre_relations", REAL)
    assert len(prompts) == asked
    assert check_dataset("lre_relations", REAL).passed
    assert sum(map(len, prompts.frame["answers"])) == facts


@real
def test_every_umwp_pair_is_one_problem_and_its_twin():
    if not is_there("umwp", REAL):
        pytest.skip("umwp is not on this machine")
    prompts = read_dataset("umwp", REAL)
    pairs = prompts.frame.groupby("pair_id")["should_abstain"].agg(["size", "sum"])
    assert (pairs["size"] == 2).all()
    assert (pairs["sum"] == 1).all()


def test_names_are_sorted_and_one_dataset_each():
    names = [one.name for one in datasets()]
    assert names == sorted(set(names))
    assert set(MAKERS) <= set(names)
    for one in datasets():
        assert one.url.startswith("https://")
        assert one.licence


@pytest.mark.parametrize("name", MAKERS)
def test_a_missing_file_is_said_with_its_source(name, tmp_path):
    path = MAKERS[name](tmp_path)
    assert is_there(name, tmp_path)
    for file in path.parent.glob("*"):
        file.unlink()
    assert not is_there(name, tmp_path)
    with pytest.raises(InputError, match=f"{name}: no file .*published at https://"):
        read_dataset(name, tmp_path)


def test_a_dataset_of_which_nothing_is_there_is_no_error_but_one_in_part_is(tmp_path):
    (tmp_path / "coconot").mkdir()
    check = check_dataset("coconot", tmp_path)
    assert (check.found, check.passed) == (None, True)
    MAKERS["coconot"](tmp_path).unlink()
    with pytest.raises(InputError, match=r"coconot: no file .*coconot_eval.jsonl"):
        check_dataset("coconot", tmp_path)


def test_other_counts_than_the_published_do_not_pass(tmp_path):
    MAKERS["umwp"](tmp_path)
    check = check_dataset("umwp", tmp_path)
    assert (check.found, check.known) == (Counts(3, 1, 1), Counts(5200, 2600, 2600))
    assert not check.passed


def test_a_dataset_whose_counts_nobody_published_is_counted_and_passes(tmp_path):
    MAKERS["alcuna"](tmp_path)
    check = check_dataset("alcuna", tmp_path)
    assert (check.found, check.known, check.passed) == (Counts(2, 1, 0), None, True)


def test_what_does_not_exist_is_named(tmp_path):
    for call in (read_dataset, check_dataset, is_there):
        with pytest.raises(InputError, match=r"no dataset 'umpw' \(did you mean 'umwp'"):
            call("umpw", tmp_path)
        with pytest.raises(InputError, match="nowhere: no such folder"):
            call("umwp", tmp_path / "nowhere")


# The column each layout loses; the readers ask for every one of these.
DROPPED = {
    "abstain_r1_squad2": ("question", "answer"),
    "bbh_disambiguation": ("input", "target"),
    "coconot": ("id", "category", "subcategory", "prompt"),
    "gsm8k_abstain": ("question", "answer"),
    "known_1000": ("known_id", "subject", "attribute", "prompt", "meta-llama/Llama-3.1-8B"),
    "lre_relations": ("name", "prompt_templates_zs", "samples"),
    "mip_overthinking": ("question", "answer", "insufficient_question"),
    "mmlu_math": ("question", "choice2", "answer"),
    "sae_entities": ("train", "test"),
    "sae_entities_triviaqa": ("question", "question_id", "split", "correct_answer", "label"),
    "selfaware": ("question_id", "question", "answerable", "source"),
    "truthfulqa": ("Type", "Category", "Question", "Best Answer", "Correct Answers"),
    "umwp": ("id", "question", "answerable", "relevant_ids", "category", "source"),
    "xstest": ("id", "prompt", "label", "type", "focus"),
    "bbq": ("example_id", "context_condition", "context", "question", "label", "ans1"),
    "falseqa": ("question", "answer", "label"),
    "mathtrap": ("original_problem", "trap_problem", "trap_type", "category", "human_annotation"),
    "mediq": ("id", "context", "question", "options", "answer"),
    "moralchoice": ("scenario_id", "ambiguity", "context", "action1", "generation_rule"),
    "popqa": ("id", "subj", "prop", "question", "possible_answers", "s_pop"),
    "situatedqa_geo": ("id", "question", "edited_question", "location", "answer", "any_answer"),
    "squad2": ("data", "title", "paragraphs", "context", "qas", "id", "question", "is_impossible"),
    "sum": ("answerable_question", "unanswerable_question", "ground_truth"),
    "treecut": ("problem", "answer", "proof"),
    "worldsense": ("dialog_history", "target_message"),
    "alcuna": ("question", "answers", "form", "type"),
    "bb_known_unknowns": ("examples", "input", "target_scores"),
    "freshqa": ("split", "question", "false_premise", "fact_type", "answer_0", "answer_9"),
    "gpqa_diamond": ("Record ID", "Question", "Correct Answer", "Incorrect Answer 3", "Subdomain"),
    "kuq": ("question", "answer", "unknown", "source", "category"),
    "musique": ("id", "question", "answer", "answer_aliases", "answerable", "paragraphs", "title"),
    "qaqa": (
        "question",
        "abstractive_answer",
        "all_assumptions_valid",
        "questionable_assumption",
        "type_questionable_assumption",
    ),
    "qasper": (
        *("title", "full_text", "section_name", "paragraphs", "qas", "question", "answers"),
        *("answer", "unanswerable", "extractive_spans", "yes_no", "free_form_answer"),
    ),
    "questbench_gsm_csp": (
        *("Full Problem", "Full Answer", "GT Question", "Rewritten Problem", "Variables", "depth"),
    ),
    "questbench_gsm_verbal": ("CSP", "GT Question", "Rewritten Problem", "Variables", "depth"),
    "questbench_logic": (
        *("known_facts", "known_untrue_facts", "goal", "rules", "max_depth", "gt_qs"),
    ),
}


def rename(path: Path, column: str) -> None:
    """Another name for a column: of a key wherever it stands, or in the header alone."""
    pack, unpack = (bz2.compress, bz2.decompress) if path.suffix == ".bz2" else (bytes, bytes)
    text = unpack(path.read_bytes()).decode()
    if path.suffix in (".csv", ".tsv"):
        text = re.sub(rf"\b{column}\b", f"{column}_v2", text, count=1)
    else:
        text = text.replace(f'"{column}"', f'"{column}_v2"')
    path.write_bytes(pack(text.encode()))


@pytest.mark.parametrize("name", MAKERS)
def test_a_changed_schema_is_said_with_file_and_column(name, tmp_path):
    for column in DROPPED[name]:
        path = MAKERS[name](tmp_path)
        rename(path, column)
        with pytest.raises(InputError) as caught:
            read_dataset(name, tmp_path)
        message = str(caught.value)
        assert message.startswith(str(path))
        assert f"the column '{column}' is missing" in message
        assert f"{column}_v2" in message
