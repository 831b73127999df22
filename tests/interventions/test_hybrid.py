"""Hybrids of models with weights set by hand, whose recovered gap is known, and of random ones.

By hand, every item is: question q_k, a neutral word, a decision. After the decision the base model
says "wrong" and the thinker r_k; adding the k-th axis makes the base model say r_k, and changes no
other word. One step of four is a decision.
"""

from __future__ import annotations

import copy
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from sae_lens import StandardSAE, StandardSAEConfig

from interp.activations import Site
from interp.behavior import Decoding, Reply, replies
from interp.behavior.generating import generation
from interp.checkpoints import LoadedModel
from interp.directions import Direction, random_directions
from interp.errors import InputError
from interp.features.dictionary import Dictionary
from interp.interventions import Add, intervene
from interp.interventions.hybrid import by_dictionary, hybrid_replies
from interp.interventions.hybrid_gap import gap_table, hybrid_items
from interp.interventions.hybrid_steps import Written
from interp.interventions.strategy_steering import in_order
from tests.interventions.conftest import Load
from tests.interventions.hand_set import SITE, axis, likeliest, model_of, prompts_of

K = 3
WORDS = ("f", "wrong", *(f"{kind}{k}" for kind in "qmdr" for k in range(K)))
GREEDY = Decoding(max_new_tokens=8)


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> tuple[LoadedModel, LoadedModel]:
    """Base and thinker."""
    shared = {"wrong": {"<eos>": 20.0}}
    for k in range(K):
        shared |= {f"q{k}": {f"m{k}": 20.0}, f"m{k}": {f"d{k}": 20.0}, f"r{k}": {"<eos>": 20.0}}
    base = shared | {f"d{k}": {"wrong": 3.0} for k in range(K)}
    thinker = shared | {f"d{k}": {f"r{k}": 3.0} for k in range(K)}
    pushes = [{f"r{k}": 6.0} for k in range(K)]
    root: Path = tmp_path_factory.mktemp("hybrid")
    return model_of(root / "base", WORDS, base, pushes), model_of(
        root / "r", WORDS, thinker, pushes
    )


def of_words(loaded: LoadedModel, *kinds: str):
    """The category of a state is the k of its word, of the kinds given."""
    ids = loaded.tokenizer.get_vocab()

    def categorise(acts_ND: torch.Tensor) -> torch.Tensor:
        word_N = acts_ND[:, : len(ids)].argmax(1)
        category_N = torch.full_like(word_N, -1)
        for kind in kinds:
            for k in range(K):
                category_N[word_N == ids[f"{kind}{k}"]] = k
        return category_N

    return categorise


def always(category: int):
    return lambda acts_ND: torch.full((len(acts_ND),), category)


def questions(n: int):
    """Of all categories in turn, some with a filler before them."""
    return prompts_of([f"{'f ' * (row % 2)}q{row % K}" for row in range(n)])


def right(found: list[Reply]) -> list[bool]:
    return [f"r{int(reply.prompt_id[1:]) % K}" in reply.text.split() for reply in found]


def written(base: LoadedModel, coefficient: float = 1.0, bias: float | None = None) -> Written:
    """Axes, and as a bias the first of them."""
    directions = [axis(base, k) for k in range(K)]
    given = None if bias is None else directions[0]
    return Written(directions, [coefficient] * K, given, bias or 0.0)


def plain(loaded: LoadedModel, prompts, decoding: Decoding = GREEDY) -> list[Reply]:
    return in_order(replies(loaded, prompts, decoding))


def share_right(found: list[Reply]) -> float:
    return float(np.mean(right(found)))


def test_the_models_are_as_they_were_meant(models):
    base, thinker = models
    assert [reply.text for reply in plain(base, questions(3))] == [
        f"m{k} d{k} wrong" for k in range(3)
    ]
    assert right(plain(thinker, questions(6))) == [True] * 6


def test_the_full_hybrid_recovers_everything_with_one_step_in_four(models):
    base, thinker = models
    found = hybrid_replies(
        base, thinker, questions(9), GREEDY, written(base), of_words(thinker, *"qmdr"), SITE
    )
    assert [reply.text for reply in found.replies] == [
        reply.text for reply in plain(thinker, questions(9))
    ]
    assert found.share_steered == 0.25
    steered = found.steps[found.steps["steered"]]
    assert steered["step"].tolist() == [2] * 9
    assert steered["category"].tolist() == [row % K for row in range(9)]
    assert steered["prompt_id"].tolist() == [f"p{row}" for row in range(9)]
    others = found.steps[~found.steps["steered"]]
    assert others["category"].eq(-1).all()
    assert not others["differs"].any()
    assert others["coefficient"].eq(0).all()


def test_oracle_labels_recover_everything_where_the_classifier_does_not(models):
    base, thinker = models
    prompts = questions(12)
    oracle = {f"p{row}": [-1, -1, row % K] for row in range(12)}
    options = (base, thinker, prompts, GREEDY, written(base), always(0), SITE)
    assert share_right(hybrid_replies(*options).replies) == pytest.approx(1 / K)
    told = hybrid_replies(*options, arm="oracle", oracle=oracle)
    assert share_right(told.replies) == 1
    silent = hybrid_replies(*options, arm="oracle", oracle=dict.fromkeys(oracle, ()))
    assert share_right(silent.replies) == 0
    assert silent.share_steered == 0


def test_random_timing_recovers_its_share(models):
    """A decision is steered with chance q and nothing else matters: q of the gap is recovered."""
    base, thinker = models
    n, q = 240, 0.3
    found = hybrid_replies(
        base, thinker, questions(n), GREEDY, written(base), of_words(thinker, "d"), SITE,
        arm="random_timing", share=q, seed=1,
    )  # fmt: skip
    sd = np.sqrt(q * (1 - q) / n)
    assert share_right(found.replies) == pytest.approx(q, abs=3 * sd)
    assert found.share_steered == pytest.approx(q, abs=3 * sd / 2)
    at_decision = found.steps[found.steps["step"] == 2]
    assert at_decision["steered"].tolist() == right(found.replies)
    # Where the thinker has no category, one is drawn.
    drawn = found.steps[found.steps["steered"] & (found.steps["step"] == 0)]["category"]
    assert set(drawn) == {0, 1, 2}


@pytest.mark.parametrize("share", [0.0, 1.0])
def test_random_timing_at_its_ends_is_never_or_always(models, share):
    base, thinker = models
    found = hybrid_replies(
        base, thinker, questions(6), GREEDY, written(base), of_words(thinker, "d"), SITE,
        arm="random_timing", share=share,
    )  # fmt: skip
    assert found.share_steered == share
    assert share_right(found.replies) == share


def test_the_bias_alone_recovers_the_items_that_it_happens_to_fit(models):
    base, thinker = models
    options = (base, thinker, questions(12), GREEDY, written(base, bias=0.75))
    found = hybrid_replies(*options, of_words(thinker, "d"), SITE, arm="bias_only")
    assert right(found.replies) == [row % K == 0 for row in range(12)]
    assert found.share_steered == 0.25
    assert set(found.steps[found.steps["steered"]]["coefficient"]) == {0.75}
    with_it = hybrid_replies(*options, of_words(thinker, "d"), SITE)
    assert share_right(with_it.replies) == 1


def test_coefficients_are_in_units_of_the_norm(models):
    base, thinker = models
    options = (base, thinker, questions(6), GREEDY)
    shares = []
    for norm, coefficient in ((1.0, 0.4), (4.0, 0.4), (4.0, 0.1)):
        used = Written([axis(base, k, norm) for k in range(K)], [coefficient] * K)
        found = hybrid_replies(*options, used, of_words(thinker, "d"), SITE)
        shares.append(share_right(found.replies))
    assert shares == [0, 1, 0]  # 6 * .4 falls short of the 3 that call for "wrong"
    used = Written([axis(base, 0, 4.0)], [0.5], axis(base, 1, 2.0), 3.0)
    for only_bias, doses in ((False, [6.0, 2.0]), (True, [6.0])):
        assert [add.coefficient for add in used.edits(0, only_bias=only_bias)] == doses
    (random,) = used.randomised(3).directions
    assert random.norm == 4.0
    assert float(random.vector_D.norm()) == pytest.approx(1)


def test_random_vectors_recover_what_the_head_makes_of_them(models):
    base, thinker = models
    seen = set()
    for seed in range(4):
        found = hybrid_replies(
            base, thinker, questions(6), GREEDY, written(base, coefficient=1.5),
            of_words(thinker, "d"), SITE, arm="random_vectors", seed=seed,
        )  # fmt: skip
        random_KD = 1.5 * random_directions(K, base.d_model, seed)
        wanted = [likeliest(base, f"d{row % K}", random_KD[row % K]) for row in range(6)]
        said = [
            reply.text.split()[2] if len(reply.tokens) > 2 else "<eos>" for reply in found.replies
        ]
        assert said == wanted
        seen |= set(wanted)
        assert found.steps[found.steps["step"] == 2]["steered"].all()
    assert "wrong" in seen


def test_states_without_a_category_are_left_alone(models):
    base, thinker = models
    found = hybrid_replies(base, thinker, questions(6), GREEDY, written(base), always(-1), SITE)
    assert found.share_steered == 0
    assert found.replies == plain(base, questions(6))
    assert found.steps["differs"].mean() == 0.25


def test_a_dictionary_gives_the_category_of_its_strongest_latent(models):
    base, thinker = models
    ids, d = thinker.tokenizer.get_vocab(), thinker.d_model
    sae = StandardSAE(StandardSAEConfig(d_in=d, d_sae=K + 1, dtype="float32", device="cpu"))
    with torch.no_grad():
        sae.W_enc.zero_()
        sae.b_enc.zero_()
        for k in range(K):
            sae.W_enc[ids[f"d{k}"], k + 1] = 1
    categorise = by_dictionary(Dictionary(sae, SITE, "made", {}), [1, 2, 3])
    states_ND = torch.eye(d)[[ids["d1"], ids["d0"], ids["q1"], ids["d2"]]]
    assert categorise(states_ND).tolist() == [1, 0, -1, 2]
    found = hybrid_replies(base, thinker, questions(6), GREEDY, written(base), categorise, SITE)
    assert share_right(found.replies) == 1


def test_samples_are_drawn_and_counted_one_by_one(models):
    base, thinker = models
    drawn = Decoding(max_new_tokens=8, samples=3, temperature=0.05, seed=2)
    options = (base, thinker, questions(8), drawn, written(base), of_words(thinker, "d"), SITE)
    together = hybrid_replies(*options, arm="random_timing", share=0.5)
    assert [(r.prompt_id, r.sample) for r in together.replies] == [
        (f"p{n}", s) for n in range(8) for s in range(3)
    ]
    counts = together.steps.groupby(["prompt_id", "sample"])["steered"].agg(["size", "sum"])
    assert counts["size"].eq(4).all()
    assert counts["sum"].unstack().nunique(axis=1).max() > 1  # each sample has its own times
    apart = hybrid_replies(*options, arm="random_timing", share=0.5, token_budget=1)
    assert together.replies == apart.replies
    assert together.steps.equals(apart.steps)


# Random models, whose states depend on all that was read and written.


def pair_of(load: Load, architecture: str) -> tuple[LoadedModel, LoadedModel]:
    """A model and one that was tuned a little from it: they say the same at some steps."""
    base, thinker = load(architecture), load(architecture)
    torch.manual_seed(2)
    with torch.no_grad():
        for parameter in thinker.model.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter))
    return base, thinker


def by_sign(acts_ND: torch.Tensor) -> torch.Tensor:
    return (acts_ND[:, 0] > 0).long()


def random_written(coefficient: float) -> Written:
    directions = [
        Direction(unit_D, 2.0, Site("resid_post", n + 1), "windows", "made", "random")
        for n, unit_D in enumerate(random_directions(2, 16, 9))
    ]
    bias = Direction(random_directions(1, 16, 10)[0], 1.0, Site("resid_pre", 1), "w", "made", "r")
    return Written(directions, [coefficient] * 2, bias, coefficient)


TEXTS = ["w3 w4 w5 w6 w7 w8 w9", "w11 w12", "w13 w4 w15 w7", "w5", "w21 w22 w3 w8 w30"]
LONG = Decoding(max_new_tokens=12)


@pytest.mark.parametrize("architecture", ["qwen2_sliding", "llama", "gpt2"])
def test_one_pass_over_the_whole_text_steered_at_the_same_tokens_says_the_same(load, architecture):
    """Without any cache: the base model is what it says it is at every step."""
    base, thinker = pair_of(load, architecture)
    prompts, used = prompts_of(TEXTS), random_written(1.0)
    found = hybrid_replies(base, thinker, prompts, LONG, used, by_sign, Site("resid_post", 2))
    assert 0.1 < found.share_steered < 0.95
    assert set(found.steps["category"]) == {-1, 0, 1}
    for text, reply in zip(TEXTS, found.replies, strict=True):
        prompt = base.tokenizer(text)["input_ids"]
        ids_BT = torch.tensor([[*prompt, *reply.tokens]])
        of_reply = found.steps[found.steps["prompt_id"] == reply.prompt_id]
        edits, masks = [], []
        for category in (0, 1):
            mask_BT = torch.zeros_like(ids_BT, dtype=torch.bool)
            for step in of_reply[of_reply["category"] == category]["step"]:
                mask_BT[0, len(prompt) - 1 + step] = True
            edits.append(used.edits(category, only_bias=False))
            masks.append(mask_BT)
        with (
            torch.inference_mode(),
            intervene(base, edits[0], masks[0]),
            intervene(base, edits[1], masks[1]),
        ):
            said = base.model(input_ids=ids_BT).logits[0, len(prompt) - 1 :].argmax(-1).tolist()
        wanted = [*reply.tokens, 2] if reply.ending == "end" else list(reply.tokens)
        assert said[: len(wanted)] == wanted
    unsteered = [reply.tokens for reply in plain(base, prompts, LONG)]
    assert unsteered != [reply.tokens for reply in found.replies]


@pytest.mark.parametrize("architecture", ["qwen2_sliding", "llama", "gpt2"])
def test_where_the_two_models_differ_is_read_off_their_own_forwards(load, architecture):
    """With nothing written: the likeliest tokens of each model after each prefix."""
    base, thinker = pair_of(load, architecture)
    site = Site("resid_post", 2)
    found = hybrid_replies(
        base, thinker, prompts_of(TEXTS), LONG, random_written(1.0), always(-1), site
    )
    for text, reply in zip(TEXTS, found.replies, strict=True):
        prompt = base.tokenizer(text)["input_ids"]
        ids_BT = torch.tensor([[*prompt, *reply.tokens]])
        with torch.inference_mode():
            own, other = (
                loaded.model(input_ids=ids_BT).logits[0, len(prompt) - 1 :].argmax(-1)
                for loaded in (base, thinker)
            )
        differs = found.steps[found.steps["prompt_id"] == reply.prompt_id]["differs"].tolist()
        assert differs == (own != other).tolist()[: len(differs)]


@pytest.mark.parametrize("architecture", ["qwen2_sliding", "llama", "gpt2"])
def test_with_coefficients_of_zero_the_logits_are_the_base_models_to_the_bit(
    load, architecture, monkeypatch
):
    base, thinker = pair_of(load, architecture)
    prompts = prompts_of(TEXTS)
    heard: list[torch.Tensor] = []

    def choose(logits_BV, drafts, decoding):
        heard.append(logits_BV.clone())
        return logits_BV.argmax(-1).tolist()

    def untouched(encoded, rows):  # the batch then stays whole to its end, as the hybrid's does
        return nullcontext()

    monkeypatch.setattr(generation, "_choose", choose)
    wanted = in_order(replies(base, prompts, LONG, edits=untouched))
    unsteered = heard.copy()
    heard.clear()
    options = (base, thinker, prompts, LONG, random_written(0.0), by_sign, Site("resid_post", 2))
    found = hybrid_replies(*options)
    assert found.replies == wanted
    assert found.share_steered > 0.1
    assert len(heard) == len(unsteered) == 12
    assert all(torch.equal(a, b) for a, b in zip(heard, unsteered, strict=True))


@pytest.mark.parametrize("architecture", ["qwen2_sliding", "gpt2"])
def test_prompts_alone_give_what_a_batch_gives(load, architecture):
    base, thinker = pair_of(load, architecture)
    options = (base, thinker, prompts_of(TEXTS), LONG, random_written(1.0), by_sign)
    together, apart = (
        hybrid_replies(*options, Site("resid_post", 2), token_budget=budget) for budget in (8192, 1)
    )
    assert together.replies == apart.replies
    assert together.steps.equals(apart.steps)


def test_the_models_are_left_as_they_were(load: Load):
    base, thinker = pair_of(load, "llama")
    before = plain(base, prompts_of(TEXTS), LONG)
    options = (base, thinker, prompts_of(TEXTS), LONG, random_written(1.0))
    hybrid_replies(*options, by_sign, Site("resid_post", 2))
    with pytest.raises(InputError, match=r"hybrid: categories \[7, 7, 7, 7, 7\] of 5 states"):
        hybrid_replies(*options, always(7), Site("resid_post", 2))
    assert plain(base, prompts_of(TEXTS), LONG) == before


def test_what_does_not_fit_is_refused(models, load: Load):
    base, thinker = models
    options = (questions(2), GREEDY, written(base), always(0), SITE)
    for keys, message in (
        ({"arm": "bias_only"}, "bias_only without a bias is the base model"),
        ({"arm": "random_timing"}, "random_timing with share None; expected one from 0 to 1"),
        ({"arm": "random_timing", "share": 1.5}, "random_timing with share 1.5"),
        ({"arm": "oracle"}, "the oracle says nothing of prompt p0"),
        ({"arm": "oracle", "oracle": {"p0": [0]}}, "the oracle says nothing of prompt p1"),
        (
            {"arm": "oracle", "oracle": {"p0": [0], "p1": [3]}},
            "the oracle says category 3; expected one below 3",
        ),
    ):
        with pytest.raises(InputError, match=message):
            hybrid_replies(base, thinker, *options, **keys)
    with pytest.raises(
        InputError, match="hybrid of base and llama-0: token 'd0' has id 11 and none"
    ):
        hybrid_replies(base, load("llama"), *options)
    with pytest.raises(InputError, match="hybrid items: n_draws is 0; expected at least 1"):
        hybrid_items(base, thinker, *options, right, n_draws=0)
    with pytest.raises(InputError, match="hybrid items: 1 marks for 2 replies"):
        hybrid_items(base, thinker, *options, lambda found: right(found)[1:])
    with pytest.raises(InputError, match="1 directions and 2 coefficients; expected one of each"):
        Written([axis(base, 0)], [1.0, 1.0])
    with pytest.raises(InputError, match="0 directions and 0 coefficients"):
        Written([], [])


def test_a_thinker_may_have_special_tokens_of_its_own(models):
    base, thinker = models
    tokenizer = copy.deepcopy(thinker.tokenizer)
    tokenizer.add_special_tokens({"additional_special_tokens": ["<think>"]})
    options = (questions(3), GREEDY, written(base), of_words(thinker, "d"), SITE)
    told = hybrid_replies(base, replace(thinker, tokenizer=tokenizer), *options)
    assert told.replies == hybrid_replies(base, thinker, *options).replies
    moved = copy.deepcopy(thinker.tokenizer)
    moved.add_tokens(["f2"])
    other = copy.deepcopy(base.tokenizer)
    other.add_tokens(["more", "f2"])
    with pytest.raises(InputError, match="token 'f2' has id 18 and 17"):
        hybrid_replies(replace(base, tokenizer=other), replace(thinker, tokenizer=moved), *options)


def test_a_vector_of_another_width_is_refused(models):
    base, thinker = models
    wide = Direction(torch.ones(5), 1.0, SITE, "windows", "made", "made")
    add = Written([wide], [1.0])
    with pytest.raises(InputError, match=r"a vector of shape \(5,\)"):
        hybrid_replies(base, thinker, questions(2), GREEDY, add, always(0), SITE)
    assert isinstance(add.edits(0, only_bias=False)[0], Add)


def test_items_of_all_arms_make_the_table_that_was_planted(models):
    base, thinker = models
    n = 60
    items = hybrid_items(
        base, thinker, questions(n), GREEDY, written(base, bias=0.75), of_words(thinker, "d"), SITE,
        right, oracle={f"p{row}": [-1, -1, row % K] for row in range(n)}, n_draws=3, seed=5,
    )  # fmt: skip
    table = gap_table(items, seed=0, n_boot=500).set_index("arm")
    assert list(table.index) == [
        "base", "think", "full", "bias_only", "random_timing", "random_vectors", "oracle",
    ]  # fmt: skip
    for arm, recovered in (("base", 0), ("think", 1), ("full", 1), ("oracle", 1)):
        assert (
            table.loc[arm, ["recovered", "recovered_lo", "recovered_hi"]].tolist()
            == [pytest.approx(recovered)] * 3
        )
    assert table.loc["bias_only", "recovered"] == pytest.approx(1 / K)
    assert table.loc["bias_only", "recovered_lo"] < 1 / K < table.loc["bias_only", "recovered_hi"]
    # Steered with the full arm's share: the bias alone does no harm at any other step.
    timing = table.loc["random_timing"]
    assert timing["recovered"] == pytest.approx(0.25, abs=3 * np.sqrt(0.25 * 0.75 / (3 * n)))
    assert timing["share_steered"] == pytest.approx(0.25, abs=0.05)
    assert table.loc["full", "share_steered"] == 0.25
    assert table.loc["full", "oracle_bits"] == pytest.approx(np.log2(K))
    assert table.loc["full", "timing_bits"] == pytest.approx(2)  # one step of four
    assert table.loc["bias_only", ["oracle_bits", "timing_bits"]].tolist() == [
        0,
        pytest.approx(2),
    ]
    assert timing["timing_bits"] == 0
    steered = items[items["arm"] == "random_timing"]["n_steered"].mean()
    assert timing["oracle_bits"] == pytest.approx(steered * np.log2(K))
    assert table["n_prompts"].eq(n).all()
    assert table["n_replies"].tolist() == [n, n, n, n, 3 * n, 3 * n, n]
    few = hybrid_items(
        base, thinker, questions(6), GREEDY, written(base), of_words(thinker, "d"), SITE, right,
        n_draws=1,
    )  # fmt: skip
    assert list(dict.fromkeys(few["arm"])) == [
        "base", "think", "full", "random_timing", "random_vectors",
    ]  # fmt: skip
