"""Repairs are scored, gated and chosen as they say: against plain forwards and planted rates."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
from scipy.special import expit, logit

from interp.activations import Site, capture
from interp.checkpoints import Checkpoint, LoadedModel
from interp.directions import Direction
from interp.errors import InputError
from interp.interventions import Add, Bias, Edit, graft, intervene, measured_kl
from interp.interventions.gated import Gate
from interp.interventions.kl_bound import last_mask
from interp.organism import ABSTAINING_PHRASES, World, entity_prompts, neutral_prompts
from interp.organism.language import build_model, build_tokenizer
from interp.organism.recipes import ModelShape
from interp.probes import LogisticProbe
from interp.prompts import PromptSet, encode
from interp.stages import dosing, readout, repair
from interp.stages.common import ModelRef
from interp.stages.readout import Readout
from interp.stages.repair import METHODS, Repair, RepairSettings
from interp.stages.repair_arms import Arms, budget_dose
from interp.stages.repair_probes import NameProbes
from interp.stages.repairing import Arm, Choice, Outcomes, choose_arm
from interp.stages.reply_rates import Rates, Replies

SEED = 3
SHAPE = ModelShape(d_model=32, n_layers=4, n_heads=4, d_mlp=64, n_local_layers=2)
SETTINGS = RepairSettings(
    alphas=(0.5, 2.0),
    budgets=(0.0, 1e-2),
    n_neutral=8,
    nats=(0.5, 4.0),
    shares=(0.0, 0.3),
    n_null=2,
    max_cost=1.0,
)
LAST = Site("resid_post", 3)


@pytest.fixture(autouse=True)
def _names_of_hints(monkeypatch: pytest.MonkeyPatch) -> None:
    """What checked annotations name, which these modules import for type checkers alone."""
    for module in (dosing, readout, repair):
        for named in (LoadedModel, Direction, Edit, PromptSet, torch.Tensor):
            monkeypatch.setattr(module, named.__name__, named, raising=False)


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> dict[str, LoadedModel]:
    """Two random decoders that speak the world's language, with weights as large as trained ones'.

    Their logits are large enough that the words they are asked for are neither sure nor excluded.
    """
    tokenizer = build_tokenizer()
    found = {}
    for seed, name in enumerate(("parent", "child")):
        folder = tmp_path_factory.mktemp(name)
        torch.manual_seed(seed)
        model = build_model(SHAPE, tokenizer)
        with torch.no_grad():
            for parameter in model.parameters():
                if parameter.ndim > 1:
                    parameter.add_(torch.randn_like(parameter) * 0.15)
        model.save_pretrained(folder)
        tokenizer.save_pretrained(folder)
        found[name] = Checkpoint(folder, name).load(dtype="float32")
    return found


def readout_of(prompts: PromptSet, loaded: LoadedModel) -> Readout:
    return Readout(prompts, loaded.tokenizer, ABSTAINING_PHRASES, SEED)


def asked(split: str, n: int) -> PromptSet:
    """The first known and unknown people of a split."""
    prompts = entity_prompts(World(SEED), split, "direct")
    unknown_N = np.asarray(prompts.labels, dtype=bool)
    place_N = np.where(unknown_N, unknown_N.cumsum(), (~unknown_N).cumsum())
    return prompts.where(place_N <= n)


@pytest.fixture(scope="module")
def replies(models: dict[str, LoadedModel]) -> Callable[..., Replies]:
    """replies(split="dev", n=12): the rates of a few people."""
    tokenizer = models["child"].tokenizer

    def make(split: str = "dev", n: int = 12, phrases: Sequence[str] = ABSTAINING_PHRASES):
        readout_ = Readout(asked(split, n), tokenizer, phrases, SEED)
        return Replies(readout_, tokenizer, phrases)

    return make


def said(loaded: LoadedModel, text: str, words: str) -> list[torch.Tensor]:
    """Log probabilities of the next token at each of the words, one prompt at a time, unpadded."""
    ids = loaded.tokenizer(f"{text} {words}", return_tensors="pt")["input_ids"]
    n_words = len(loaded.tokenizer(words)["input_ids"])
    with torch.inference_mode():
        logprob_TV = loaded.model(input_ids=ids).logits[0].double().log_softmax(-1)
    start = ids.shape[1] - n_words
    return [logprob_TV[start + k - 1, ids[0, start + k]] for k in range(n_words)]


def test_rates_are_the_products_of_plain_forwards(
    models: dict[str, LoadedModel], replies: Callable[..., Replies]
) -> None:
    """Answers of one word and of several, two phrases, prompts of one batch or alone."""
    child, phrases = models["child"], ("i do not know", "do i know")
    prompts = asked("dev", 4)
    answers = [["paris"], ["paris rome"], ["a b"], ["cat"]] * 2
    prompts = PromptSet(prompts.frame.assign(answers=answers))
    rates = Replies(readout_of(prompts, child), child.tokenizer, phrases).rates(child)
    texts = readout_of(prompts, child).prompts.frame["text"]
    for row, text in enumerate(texts):
        abstain = sum(float(torch.stack(said(child, text, one)).sum().exp()) for one in phrases)
        right = float(torch.stack(said(child, text, answers[row][0])).sum().exp())
        assert rates.abstain_N[row] == pytest.approx(abstain, rel=1e-4)
        assert rates.right_N[row] == pytest.approx(right, rel=1e-4)


def test_under_edits_abstention_is_what_the_readout_reads(
    models: dict[str, LoadedModel], replies: Callable[..., Replies]
) -> None:
    child, few = models["child"], replies()
    edits = [Add(LAST, torch.randn(32, generator=torch.Generator().manual_seed(0)), 2.0)]
    untouched, edited = (few.rates(child, each).abstain_N for each in ([], edits))
    np.testing.assert_allclose(few.readout.probability(child), untouched, rtol=1e-4)
    np.testing.assert_allclose(few.readout.probability(child, edits), edited, rtol=1e-4)
    assert np.abs(np.log(edited / untouched)).min() > 1e-3


@pytest.mark.parametrize("nats", [0.5, 6.0, -2.0])
def test_the_rule_shifts_the_log_odds_of_the_first_word(
    models: dict[str, LoadedModel], replies: Callable[..., Replies], nats: float
) -> None:
    """P(first) becomes sigmoid(logit + nats); what follows it is as likely as before.

    What does not begin with the word keeps its share of the rest.
    """
    child, few = models["child"], replies()
    before, after = few.under_rules(child, [None, Bias(few.opening_ids, nats, (), 1)])
    texts = few.readout.prompts.frame["text"]
    first_N = np.array([float(said(child, text, "i")[0].exp()) for text in texts])
    raised_N = expit(logit(first_N) + nats)
    np.testing.assert_allclose(after.abstain_N, before.abstain_N * raised_N / first_N, rtol=1e-4)
    np.testing.assert_allclose(
        after.right_N, before.right_N * (1 - raised_N) / (1 - first_N), rtol=1e-4
    )


def test_a_gate_leaves_alone_whom_it_does_not_fire_on(
    models: dict[str, LoadedModel], replies: Callable[..., Replies]
) -> None:
    """Against one forward whose mask holds only the rows that the gate fires on."""
    child, few = models["child"], replies()
    edits = [Add(LAST, torch.ones(32), 1.5)]
    untouched, acted = few.rates(child), few.rates(child, edits)
    scores_N = np.random.default_rng(0).normal(size=len(untouched.abstain_N))
    always, never = (untouched.where(Gate(t).fires(scores_N), acted) for t in (-np.inf, np.inf))
    for one, other in ((always, acted), (never, untouched)):
        np.testing.assert_array_equal(one.abstain_N, other.abstain_N)
        np.testing.assert_array_equal(one.right_N, other.right_N)
    fires_N = Gate(0.3).fires(scores_N)
    batch = encode(few.readout.prompts.frame["text"].tolist(), child.tokenizer, "left")
    mask_BT = last_mask(batch) & torch.from_numpy(fires_N)[:, None]
    with torch.inference_mode(), intervene(child, edits, mask_BT):
        logits_BTV = child.model(
            input_ids=batch.input_ids_BT,
            attention_mask=batch.attention_mask_BT,
            position_ids=(batch.attention_mask_BT.cumsum(-1) - 1).clamp(min=0),
        ).logits
    answers = [right[0] for right in few.readout.prompts.frame["answers"]]
    of_answer = child.tokenizer.convert_tokens_to_ids(answers)
    right_N = logits_BTV[:, -1].double().softmax(-1)[range(len(answers)), of_answer]
    np.testing.assert_allclose(untouched.where(fires_N, acted).right_N, right_N.numpy(), rtol=1e-4)


def test_grafts_reach_from_the_parent_towards_the_child(
    models: dict[str, LoadedModel], replies: Callable[..., Replies]
) -> None:
    """No block of the child gives the parent's rates, and each size what copied weights give."""
    child, parent, few = models["child"], models["parent"], replies()
    for n, whole in ((0, parent), (SHAPE.n_layers, child)):
        of_graft = few.rates(graft(parent, child, n))
        np.testing.assert_array_equal(of_graft.abstain_N, few.rates(whole).abstain_N)
    (arm,) = Arms(child, parent, few, few, SETTINGS, World(SEED)).graft()
    assert arm.strengths == (3.0, 2.0, 1.0)
    mixed = child.checkpoint.load(dtype="float32")
    for layer in (2, 3):
        mixed.model.model.layers[layer] = parent.model.model.layers[layer]
    mixed.model.model.norm, mixed.model.lm_head = parent.model.model.norm, parent.model.lm_head
    np.testing.assert_allclose(arm.dev[1].right_N, few.rates(mixed).right_N, rtol=1e-5)


def test_a_budget_of_nothing_changes_nothing_and_others_are_kept(
    models: dict[str, LoadedModel], replies: Callable[..., Replies]
) -> None:
    child, few = models["child"], replies()
    arms = Arms(child, models["parent"], few, few, SETTINGS, World(SEED))
    bounded = arms.bounded()
    assert bounded
    for arm in bounded:
        np.testing.assert_array_equal(arm.dev[0].abstain_N, arms.before_dev.abstain_N)
        np.testing.assert_array_equal(arm.dev[0].right_N, arms.before_dev.right_N)
        assert (arm.dev[1].right_N != arms.before_dev.right_N).any()
    (direction,) = dosing.mean_differences(models["parent"], few.readout)[-1:]
    asked_of = neutral_prompts(World(SEED)).where(np.arange(len(neutral_prompts(World(SEED)))) < 8)
    small, large = (budget_dose(child, asked_of, direction, budget) for budget in (1e-4, 1e-2))
    assert 0 < small < large
    kl_NC = measured_kl(child, asked_of, direction, [small, large])
    assert (np.median(kl_NC, 0) <= [1e-4, 1e-2]).all()
    with pytest.raises(InputError, match="expected above 0"):
        budget_dose(child, asked_of, direction, -1.0)


def labels_moved(replies_: Replies) -> Replies:
    """The same people with every label turned round."""
    readout_ = replies_.readout
    frame = readout_.prompts.frame
    turned = frame.assign(should_abstain=[not label for label in frame["should_abstain"]])
    tokenizer = build_tokenizer()
    moved = Readout(PromptSet(turned), tokenizer, ABSTAINING_PHRASES, SEED)
    return Replies(moved, tokenizer, ABSTAINING_PHRASES)


def test_the_choice_is_a_function_of_dev_alone(
    models: dict[str, LoadedModel], replies: Callable[..., Replies]
) -> None:
    dev, test = replies("dev", 8), replies("test", 4)
    found = [
        [
            (choice.arm.layer, choice.index, choice.allowed)
            for arms in [Arms(models["child"], models["parent"], dev, one, SETTINGS, World(SEED))]
            for choice in map(arms.chosen, METHODS)
        ]
        for one in (test, labels_moved(test))
    ]
    assert found[0] == found[1]
    turned = Arms(models["child"], models["parent"], labels_moved(dev), test, SETTINGS, World(SEED))
    methods = ("rule", "steering", "own_probe")
    choices = [turned.chosen(method) for method in methods]
    assert [(c.arm.layer, c.index, c.allowed) for c in choices] != [
        found[0][METHODS.index(method)] for method in methods
    ]


KNOWN_FIRST = [False] * 8 + [True] * 8


@pytest.fixture(scope="module")
def sixteen(models: dict[str, LoadedModel]) -> Readout:
    return readout_of(asked("test", 8), models["child"])


def planted(unknown: float, known: float, right: float) -> Rates:
    """Rates of eight known and eight unknown people."""
    return Rates(np.array([known] * 8 + [unknown] * 8), np.array([right] * 8 + [0.0] * 8))


def arm_of(method: str, layer: int, *rates: Rates) -> Arm:
    strengths = tuple(float(n + 1) for n in range(len(rates)))
    return Arm(method, layer, strengths, rates, lambda: rates)


def test_the_choice_has_the_largest_j_of_those_that_cost_little(sixteen: Readout) -> None:
    assert sixteen.unknown_N.tolist() == KNOWN_FIRST
    before = planted(0.1, 0.0, 0.8)
    gentle, strong = planted(0.3, 0.0, 0.79), planted(0.6, 0.1, 0.76)
    dear, sure = planted(0.9, 0.0, 0.7), planted(0.7, 0.3, 0.78)
    arms = [arm_of("m", 0, gentle, sure), arm_of("m", 1, gentle, strong, dear)]
    choice = choose_arm(arms, sixteen, before, 0.05)
    assert (choice.arm.layer, choice.index, choice.allowed) == (1, 1, (True, True, False))
    assert choose_arm(arms, sixteen, before, 0.2).index == 2
    stands_in = choose_arm(
        [arm_of("m", 0, dear), arm_of("m", 1, strong, gentle)], sixteen, before, 0
    )
    assert (stands_in.arm.layer, stands_in.index) == (1, 0)
    assert stands_in.allowed == (False, False)


def test_outcomes_are_shares_of_what_was_lost(sixteen: Readout) -> None:
    before, parent = planted(0.1, 0.0, 0.8), planted(0.9, 0.05, 0.85)
    outcomes = Outcomes(sixteen, before, parent, SEED)
    after = planted(0.5, 0.2, 0.6)
    row = outcomes.row("m", after, 2.0)
    values = {
        "restored": 0.5,
        "cost": 0.2,
        "known_abstention": 0.2,
        "unknown_abstention": 0.5,
        "accuracy": 0.6,
    }
    for name, value in values.items():
        each = [row[name], row[f"{name}_lo"], row[f"{name}_hi"]]
        assert each == pytest.approx([value] * 3), name  # all people alike: no width
    assert outcomes.row("none", before)["restored"] == pytest.approx(0.0)
    assert outcomes.row("parent", parent)["restored"] == pytest.approx(1.0)
    uneven = Rates(np.array([0.0] * 8 + [0.1, 0.4, 0.6, 0.9] * 2), after.right_N)
    spread = outcomes.row("m", uneven)
    assert spread["restored"] == pytest.approx(0.5)
    assert spread["restored_lo"] < 0.5 < spread["restored_hi"]
    choice = Choice(arm_of("m", 1, before, after), 1, (True, False))
    rows = outcomes.rows(choice)
    assert [one["chosen"] for one in rows] == [False, True]
    assert [one["allowed"] for one in rows] == [True, False]
    assert [one["strength"] for one in rows] == [1.0, 2.0]


def test_where_nothing_was_lost_nothing_is_restored(sixteen: Readout) -> None:
    before, parent = planted(0.86, 0.0, 0.8), planted(0.9, 0.0, 0.8)
    row = Outcomes(sixteen, before, parent, SEED).row("m", planted(0.9, 0.0, 0.7))
    assert np.isnan([row["restored"], row["restored_lo"], row["restored_hi"]]).all()
    assert row["cost"] == pytest.approx(0.1)


def test_probes_are_read_in_the_child_and_fitted_where_they_say(
    models: dict[str, LoadedModel],
) -> None:
    """Between twins the parent's probe is the child's own; a test score comes from all of dev."""
    child, parent = models["child"], models["parent"]
    dev, test = asked("dev", 20), asked("test", 8)
    make = partial(NameProbes, dev=dev, test=test, n_splits=4, seed=SEED)
    twins = make(child, child)
    assert twins.of_parent.layer == twins.of_child.layer
    np.testing.assert_allclose(twins.of_parent.dev_N, twins.of_child.dev_N, rtol=1e-6)
    carried = make(child, parent).of_parent
    site = Site("resid_post", carried.layer)
    fitted_ND, read_MD = (
        capture(model, prompts, [site], ["entity_last"]).read(site, "entity_last")
        for model, prompts in ((parent, dev), (child, test))
    )
    probe = LogisticProbe(C=0.1).fit(fitted_ND, np.asarray(dev.labels, dtype=bool))
    np.testing.assert_allclose(carried.test_N, probe.decision_function(read_MD), rtol=1e-6)
    other = make(child, parent).shuffled(2)
    assert np.abs(other[0].test_N - other[1].test_N).max() > 1e-3


def test_a_question_without_an_answer_is_refused(models: dict[str, LoadedModel]) -> None:
    prompts = asked("dev", 2)
    lacking = PromptSet(prompts.frame.assign(answers=[["cat"], [], ["dog"], ["cat"]]))
    tokenizer = models["child"].tokenizer
    with pytest.raises(InputError, match=r"has no answer; expected a right one"):
        Replies(readout_of(lacking, models["child"]), tokenizer, ABSTAINING_PHRASES)


def test_the_stage_on_a_child_that_is_its_parent(
    models: dict[str, LoadedModel], tmp_path: Path
) -> None:
    """Nothing was lost, so nothing is restored; all methods are there, one strength of each."""
    ref = ModelRef.of(models["child"].checkpoint)
    stage = Repair(seed=SEED, child=ref, parent=ref, settings=SETTINGS)
    repairs = stage.run()["repairs"]
    assert list(repairs.columns[:3]) == ["seed", "member", "parent"]
    assert repairs["restored"].isna().all()
    assert np.isfinite(repairs[["cost_lo", "cost", "cost_hi", "known_abstention"]]).all(axis=None)
    assert tuple(repairs["method"].unique()) == ("none", "parent", *METHODS)
    assert (repairs[repairs["method"].isin(METHODS)].groupby("method")["chosen"].sum() == 1).all()
    still = repairs[repairs["method"].isin(["none", "parent", "graft"])]
    np.testing.assert_array_equal(still["cost"], 0.0)
    budget_0 = repairs[(repairs["method"] == "bounded") & (repairs["strength"] == 0)]
    assert budget_0["cost"].tolist() == [0.0]
