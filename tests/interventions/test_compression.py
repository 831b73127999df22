from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import Tokenizer
from tokenizers.models import WordLevel
from tokenizers.pre_tokenizers import WhitespaceSplit
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

from interp.activations import Site
from interp.behavior import Decoding, replies
from interp.checkpoints import Checkpoint, LoadedModel
from interp.directions import Direction
from interp.errors import InputError
from interp.interventions import Add, intervene
from interp.interventions.compression import concise_direction, decoding_edits
from interp.interventions.kl_bound import KlBound, kl_bounded, kl_table, measured_kl
from interp.prompts import PromptSet, encode
from tests.checkpoints.tiny import write_checkpoint as write_random

PLANTED = ["<pad>", "<unk>", "<eos>", "q", "x", "so", "thus", "well", "perhaps", *"abcd"]
SHORT, LONG = ("so", "thus"), ("well", "perhaps")
LAYER = 1


def asked(texts: list[str]) -> PromptSet:
    return PromptSet.from_records(
        [
            {"prompt_id": f"p{n}", "pair_id": f"p{n}", "text": text, "should_abstain": False}
            for n, text in enumerate(texts)
        ]
    )


@pytest.fixture(scope="module")
def planted(tmp_path_factory: pytest.TempPathFactory) -> LoadedModel:
    """Says "x" for ever, and comes the nearer to its end the more "concise" the stream is.

    Silent blocks, so that the stream is the last token: one dimension is +1 on short chains' words
    and -1 on long ones', and the end reads it; all words share another, which "x" reads.
    """
    folder = tmp_path_factory.mktemp("planted")
    vocab = {word: n for n, word in enumerate(PLANTED)}
    config = LlamaConfig(
        vocab_size=len(vocab), hidden_size=8, intermediate_size=4, num_hidden_layers=3,
        num_attention_heads=1, num_key_value_heads=1, max_position_embeddings=64,
        tie_word_embeddings=False, eos_token_id=2, bos_token_id=2,
    )  # fmt: skip
    torch.manual_seed(0)
    model = LlamaForCausalLM(config)
    with torch.no_grad():
        for block in model.model.layers:
            block.self_attn.o_proj.weight.zero_()
            block.mlp.down_proj.weight.zero_()
        weight_VD = torch.zeros(len(vocab), 8)
        weight_VD[:, 0] = 2
        weight_VD[[vocab[w] for w in SHORT], 1], weight_VD[[vocab[w] for w in LONG], 1] = 1, -1
        weight_VD[:, 2:] = 0.1 * torch.randn(len(vocab), 6)
        model.model.embed_tokens.weight.copy_(weight_VD)
        model.lm_head.weight.zero_()
        model.lm_head.weight[vocab["x"], 0] = 1
        model.lm_head.weight[vocab["<eos>"], 1] = 4
    model.save_pretrained(folder)
    backend = Tokenizer(WordLevel(vocab, unk_token="<unk>"))
    backend.pre_tokenizer = WhitespaceSplit()
    PreTrainedTokenizerFast(
        tokenizer_object=backend, pad_token="<pad>", eos_token="<eos>", unk_token="<unk>"
    ).save_pretrained(folder)
    return Checkpoint(folder, "planted").load()


@pytest.fixture(scope="module", params=("llama", "gemma2", "qwen3_sliding", "gpt_neox"))
def model(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> LoadedModel:
    folder = write_random(tmp_path_factory.mktemp(request.param), request.param)
    return Checkpoint(folder, request.param).load()


def random_direction(layer: int = LAYER) -> Direction:
    vector_D = torch.randn(16, generator=torch.Generator().manual_seed(3))
    unit_D = vector_D / vector_D.norm()
    return Direction(unit_D, 2.0, Site("resid_post", layer), "last_prompt", "", "random")


def test_the_paper_s_sign_shortens_and_the_public_code_s_does_the_opposite(planted) -> None:
    questions = asked(["q a", "q b c", "q d", "q c a b"])
    concise = ["so", "a thus", "b so", "thus"]
    verbose = ["a well", "well perhaps", "perhaps", "b c well"]
    direction = concise_direction(planted, questions, concise, verbose, layer=LAYER)
    assert float(direction.vector_D[1]) > 0.9

    def log_odds_of_end(gamma: float) -> list[float]:
        batch = encode(questions.frame["text"].tolist(), planted.tokenizer)
        mask_BT = torch.zeros(batch.input_ids_BT.shape, dtype=torch.bool)
        mask_BT[:, -1] = True
        add = Add(direction.site, direction.vector_D, gamma * direction.norm)
        with torch.no_grad(), intervene(planted, [add], mask_BT):
            p_B = planted.model(**batch.inputs).logits[:, -1].softmax(-1)[:, 2]
        return p_B.logit().tolist()

    def lengths(gamma: float) -> list[int]:
        edits = decoding_edits(planted, direction, gamma)
        written = replies(planted, questions, Decoding(max_new_tokens=9), edits=edits)
        return [len(reply.tokens) for _, _, batch in written for reply in batch]

    ours, plain, public = (log_odds_of_end(gamma) for gamma in (0.5, 0.0, -0.5))
    assert all(a > b > c for a, b, c in zip(ours, plain, public, strict=True))
    assert lengths(1.0) == [0] * 4
    assert lengths(0.0) == lengths(-1.0) == [9] * 4


def test_the_layer_that_is_read_is_the_one_that_is_written(model: LoadedModel) -> None:
    """Against hidden states, of which number l + 1 is the output of block l, and a hook there."""
    questions, concise, verbose = ["q w1", "q w2 w3"], ["w4", "w5 w6 w7"], ["w8 w9", "w1"]
    direction = concise_direction(model, asked(questions), concise, verbose, layer=LAYER)

    def last(question: str, chain: str, layer: int) -> torch.Tensor:
        ids = model.tokenizer(f"{question} {chain}", return_tensors="pt").input_ids
        with torch.no_grad():
            return model.model(ids, output_hidden_states=True).hidden_states[layer + 1][0, -1]

    def expected(layer: int) -> torch.Tensor:
        of = [
            torch.stack([last(q, c, layer) for q, c in zip(questions, chains, strict=True)]).mean(0)
            for chains in (concise, verbose)
        ]
        return of[0] - of[1]

    v_D = direction.norm * direction.vector_D
    assert torch.allclose(v_D, expected(LAYER), atol=1e-4)
    assert not torch.allclose(v_D, expected(LAYER - 1), atol=1e-2)
    seen = []
    handle = model.blocks[LAYER].register_forward_hook(
        lambda _, __, out: seen.append((out if torch.is_tensor(out) else out[0])[0, -1].clone())
    )
    written = replies(
        model,
        asked(questions[:1]),
        Decoding(max_new_tokens=1),
        edits=decoding_edits(model, direction, 0.5),
    )
    try:
        list(written)
    finally:
        handle.remove()
    assert torch.allclose(seen[0], last(questions[0], "", LAYER), atol=1e-4)  # before the edit
    assert direction.site == Site("resid_post", LAYER)


def test_every_decoding_step_is_steered(model: LoadedModel) -> None:
    """Without cache or batch, v added from the prompt's last token on, and at that token alone."""
    texts, direction, n_new = ["q w1 w2", "q w3", "q w4 w5 w6 w7 w8"], random_direction(), 6
    v_D = 3 * direction.norm * direction.vector_D

    def by_hand(text: str, *, every: bool) -> tuple[int, ...]:
        ids = model.tokenizer(text).input_ids
        first, said = len(ids) - 1, []

        def hook(_, __, out):
            resid = (out if torch.is_tensor(out) else out[0]).clone()
            resid[0, first : None if every else first + 1] += v_D
            return resid if torch.is_tensor(out) else (resid, *out[1:])

        handle = model.blocks[LAYER].register_forward_hook(hook)
        while len(said) < n_new and (not said or said[-1] != 2):
            with torch.no_grad():
                logits_V = model.model(torch.tensor([ids + said]), use_cache=False).logits[0, -1]
            said.append(int(logits_V.argmax()))
        handle.remove()
        return tuple(token for token in said if token != 2)

    edits = decoding_edits(model, direction, 3.0)
    written = replies(model, asked(texts), Decoding(max_new_tokens=n_new), edits=edits)
    got = {reply.prompt_id: reply.tokens for _, _, batch in written for reply in batch}
    expected = [by_hand(text, every=True) for text in texts]
    assert [got[f"p{n}"] for n in range(len(texts))] == expected
    assert expected != [by_hand(text, every=False) for text in texts]


positive = st.floats(1e-3, 1e3)


@settings(max_examples=60, deadline=None)
@given(speed=positive, curvature=positive, epsilon=st.floats(1e-5, 0.5), seed=st.integers(0, 99))
def test_kl_stays_below_epsilon_where_logits_are_quadratic(speed, curvature, epsilon, seed) -> None:
    """z(gamma) = z + gamma a u + gamma^2 L u / 2, so that a and L are known."""
    bound = KlBound(epsilon, speed, curvature)
    rng = np.random.default_rng(seed)
    z_V, u_V = rng.normal(size=6), rng.normal(size=6)
    u_V /= np.linalg.norm(u_V)
    for gamma in (bound.coefficient, bound.largest):
        moved_V = z_V + (gamma * speed + gamma**2 * curvature / 2) * u_V
        log_p_V, log_q_V = (torch.tensor(z).log_softmax(0) for z in (z_V, moved_V))
        kl = float((log_p_V.exp() * (log_p_V - log_q_V)).sum())
        assert -1e-12 <= kl <= bound.limit(gamma) <= epsilon * (1 + 1e-9)
    x = bound.raw * curvature / speed
    assert x**3 + x**2 == pytest.approx(4 * epsilon * curvature**2 / speed**4, rel=1e-6)
    assert bound.coefficient == pytest.approx(max(0, (1 - x / 4) * bound.raw))
    assert bound.coefficient <= bound.largest * (1 + 1e-9)
    assert bound.limit(bound.largest) == pytest.approx(epsilon)


def test_the_bound_is_reached_where_two_tokens_are_as_likely() -> None:
    """diag(p) - pp' has the eigenvalue 1/2 there: a factor of 4 that is too careful would show."""
    for curvature in (0.0, 0.5):
        bound = KlBound(1e-3, 2.0, curvature)
        way = bound.speed * bound.largest + curvature * bound.largest**2 / 2
        log_q_V = torch.tensor([way, -way], dtype=torch.float64).div(2**0.5).log_softmax(0)
        assert float(np.log(0.5) - log_q_V.mean()) == pytest.approx(1e-3, rel=2e-3)
    assert KlBound(1e-3, 2.0, 0.0).coefficient == pytest.approx(np.sqrt(1e-3))


def test_speed_and_curvature_are_the_derivatives_of_the_logits(model: LoadedModel) -> None:
    """Against differences in float64, prompt by prompt and without padding."""
    prompts, direction = asked(["q w1 w2", "q w3", "q w4 w5 w6 w7"]), random_direction()
    bound = kl_bounded(model, prompts, direction, epsilon=1e-6)
    v_D = direction.norm * direction.vector_D

    def logits(text: str, gamma: float) -> torch.Tensor:
        ids = model.tokenizer(text, return_tensors="pt").input_ids
        handle = model.blocks[LAYER].register_forward_hook(
            lambda _, __, out: out + last if torch.is_tensor(out) else (out[0] + last, *out[1:])
        )
        last = torch.zeros(1, ids.shape[1], 16, dtype=torch.float64)
        last[0, -1] = gamma * v_D
        with torch.no_grad():
            found = model.model(ids, use_cache=False).logits[0, -1]
        handle.remove()
        return found

    # Of fourth order, so that steps may be long: norms round to float32 in any model.
    first, second = torch.tensor([[1, -8, 0, 8, -1], [-1, 16, -30, 16, -1]]).double() / 12
    h, steps = 0.03, torch.arange(-2, 3)
    model.model.double()
    try:
        z = [
            torch.stack([logits(text, h * float(step)) for step in steps])
            for text in prompts.frame["text"]
        ]
    finally:
        model.model.float()
    speeds = [float((first @ z_SV.double()).norm() / h) for z_SV in z]
    bends = [float((second @ z_SV.double()).norm() / h**2) for z_SV in z]
    assert bound.speed == pytest.approx(np.median(speeds), rel=1e-3)
    assert bound.curvature == pytest.approx(np.quantile(bends, 0.95), rel=0.03)


def test_the_measured_kl_of_one_prompt_is_within_its_bound(model: LoadedModel) -> None:
    one, direction = asked(["q w1 w2"]), random_direction()
    bound = kl_bounded(model, one, direction)
    kl_NC = measured_kl(model, one, direction, [0.0, bound.coefficient, -bound.coefficient])
    assert kl_NC[0, 0] == pytest.approx(0, abs=1e-7)
    assert 1e-7 < kl_NC[0, 1:].max() <= bound.epsilon


def test_the_measured_kl_stands_beside_the_bound(model: LoadedModel) -> None:
    rng = np.random.default_rng(0)
    texts = [" ".join(["q", *(f"w{n}" for n in rng.integers(0, 30, k))]) for k in (1, 4, 2, 6) * 3]
    fit, held_out = asked(texts[:6]), asked(texts[6:])
    direction = random_direction()
    bound = kl_bounded(model, fit, direction, token_budget=7)
    again = kl_bounded(model, fit, direction, token_budget=10**4)
    assert bound.speed == pytest.approx(again.speed, rel=1e-4)
    table = kl_table(model, held_out, direction, bound, factors=(1.0, 2.0), n_boot=50)
    alone = [
        measured_kl(model, asked([text]), direction, [bound.coefficient])[0, 0]
        for text in texts[6:]
    ]
    at = table[table["factor"] == 1.0].set_index("measure")
    assert at.loc["mean_kl", "estimate"] == pytest.approx(np.mean(alone), rel=0.02, abs=1e-7)
    assert at.loc["max_kl", "estimate"] == pytest.approx(np.max(alone), rel=0.02, abs=1e-7)
    assert at.loc["over", "estimate"] == np.mean(np.array(alone) > bound.limit(bound.coefficient))
    means = table[table["measure"] == "mean_kl"]["estimate"].tolist()
    assert means[1] > 2 * means[0]


def test_what_has_no_bound_is_refused(planted: LoadedModel) -> None:
    for values in ((0.0, 1.0, 1.0), (1e-3, 0.0, 1.0), (1e-3, float("nan"), 1.0), (1e-3, 1.0, -1.0)):
        with pytest.raises(InputError, match="KL bound"):
            KlBound(*values)
    still = Direction(torch.zeros(8), 1.0, Site("resid_post", LAYER), "last_prompt", "", "nothing")
    with pytest.raises(InputError, match="moves no logit"):
        kl_bounded(planted, asked(["q a"]), still)
    with pytest.raises(InputError, match="epsilon"):
        kl_bounded(planted, asked(["q a"]), still, epsilon=0.0)
    with pytest.raises(InputError, match="prompt p0: 70 tokens, but planted was made for at most"):
        kl_bounded(planted, asked(["q " * 70]), still)
    with pytest.raises(InputError, match="no prompts"):
        measured_kl(planted, asked(["q a"]).where(np.array([False])), still, [1.0])
    with pytest.raises(InputError, match="no coefficients"):
        measured_kl(planted, asked(["q a"]), still, [])
    with pytest.raises(InputError, match="same mean"):
        concise_direction(planted, asked(["q a"]), ["so"], ["so"], layer=LAYER)
    with pytest.raises(InputError, match="reply is empty"):
        concise_direction(planted, asked(["q a"]), [""], ["so"], layer=LAYER)
    with pytest.raises(InputError, match="2 replies for 1 prompts"):
        concise_direction(planted, asked(["q a"]), ["so", "so"], ["so"], layer=LAYER)
