from __future__ import annotations

import itertools
from pathlib import Path

import numpy as np
import pydantic
import pytest
import torch
from scipy.stats import chisquare

from interp.behavior import collect, generate, replies
from interp.behavior.generating.decoding import Decoding, Draft, Reply, Thinking
from interp.behavior.generating.generation import end_tokens
from interp.checkpoints import Checkpoint, LoadedModel
from interp.errors import InputError
from interp.prompts import PromptSet
from tests.checkpoints.tiny import ARCHITECTURES, WORDS, write_checkpoint

N_NEW = 12


@pytest.fixture(scope="module", params=ARCHITECTURES)
def model(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> LoadedModel:
    """One tiny model of each architecture."""
    folder = write_checkpoint(tmp_path_factory.mktemp(request.param), request.param)
    return Checkpoint(folder, request.param).load()


@pytest.fixture(scope="module")
def one(tmp_path_factory: pytest.TempPathFactory) -> LoadedModel:
    """A tiny Llama, where the architecture does not matter; it hardly says special tokens."""
    loaded = Checkpoint(write_checkpoint(tmp_path_factory.mktemp("llama")), "llama").load()
    with torch.no_grad():
        loaded.model.lm_head.weight[:3] = 0
    return loaded


def questions(n: int, seed: int = 0) -> PromptSet:
    """Prompts of 1 to 12 words, in no order of length."""
    rng = np.random.default_rng(seed)
    return PromptSet.from_records(
        [
            {
                "prompt_id": f"p{row}",
                "text": " ".join(rng.choice(WORDS, rng.integers(1, 13))),
                "should_abstain": bool(row % 2),
            }
            for row in range(n)
        ]
    )


def all_replies(loaded: LoadedModel, prompts: PromptSet, decoding: Decoding, **how) -> list[Reply]:
    """In the order of the prompts."""
    found = [
        (row, reply)
        for _, rows, batch in replies(loaded, prompts, decoding, **how)
        for row, reply in zip(rows, batch, strict=True)
    ]
    return [reply for _, reply in sorted(found, key=lambda entry: (entry[0], entry[1].sample))]


def words(loaded: LoadedModel, reply: Reply) -> list[str]:
    """A reply's tokens as text, special ones too."""
    return loaded.tokenizer.convert_ids_to_tokens(list(reply.tokens))


DECODINGS = {
    "greedy": Decoding(max_new_tokens=N_NEW),
    "sampled": Decoding(max_new_tokens=N_NEW, temperature=1.3, top_p=0.9, samples=3, seed=5),
    "thinking": Decoding(
        max_new_tokens=N_NEW, thinking=Thinking(end="a :", budget=4, force="a :"), stop=("w1",)
    ),
}


@pytest.mark.parametrize("decoding", DECODINGS.values(), ids=DECODINGS)
def test_a_batch_of_1_and_of_16_say_the_same_token_by_token(
    model: LoadedModel, decoding: Decoding
) -> None:
    prompts = questions(16)
    apart = all_replies(model, prompts, decoding, token_budget=1)
    together = all_replies(model, prompts, decoding, token_budget=10**6)
    assert [len(r.tokens) for r in apart] != [N_NEW] * len(apart) or decoding.thinking is None
    assert together == apart
    alone = questions(16).where(np.arange(16) == 7)
    assert all_replies(model, alone, decoding) == [r for r in together if r.prompt_id == "p7"]


def test_rows_that_ended_leave_the_batch_and_change_nothing(
    one: LoadedModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    prompts, decoding = questions(16, seed=3), Decoding(max_new_tokens=30)
    lengths = {len(r.tokens) for r in all_replies(one, prompts, decoding, token_budget=1)}
    often = max(range(3, 20), key=lambda token: _ended(one, prompts, decoding, token, monkeypatch))
    monkeypatch.setattr(one.model.generation_config, "eos_token_id", [often])
    apart = all_replies(one, prompts, decoding, token_budget=1)
    assert len({len(r.tokens) for r in apart}) > max(4, len(lengths))
    sizes = []
    forward = type(one.model).forward

    def noting(self, **inputs):
        sizes.append(len(inputs["input_ids"]))
        return forward(self, **inputs)

    monkeypatch.setattr(type(one.model), "forward", noting)
    assert all_replies(one, prompts, decoding, token_budget=10**6) == apart
    assert sizes[0] == 16
    assert sizes[-1] < 16
    assert all(b == a or 2 * b <= a for a, b in itertools.pairwise(sizes))


def _ended(loaded, prompts, decoding, token, monkeypatch) -> int:
    with monkeypatch.context() as patched:
        patched.setattr(loaded.model.generation_config, "eos_token_id", [token])
        return len({len(r.tokens) for r in all_replies(loaded, prompts, decoding)})


def test_samples_follow_the_model_s_probabilities(one: LoadedModel) -> None:
    """The first token's counts against the softmax of one unpadded forward."""
    prompts, n = questions(1, seed=9), 4000
    decoding = Decoding(max_new_tokens=1, temperature=1.5, samples=n, seed=1)
    ids = one.tokenizer(prompts.frame["text"][0], add_special_tokens=False).input_ids
    with torch.no_grad():
        p_V = (one.model(torch.tensor([ids])).logits[0, -1].double() / 1.5).softmax(-1).numpy()
    drawn = all_replies(one, prompts, decoding, token_budget=10**6)
    (end,) = end_tokens(one)
    count_V = np.bincount([r.tokens[0] if r.tokens else end for r in drawn], minlength=len(p_V))
    order_V = np.argsort(p_V)
    bin_V = np.empty(len(p_V), dtype=int)
    bin_V[order_V] = (p_V[order_V].cumsum() * n / 20).astype(int)  # some 20 of each are expected
    _, bin_V = np.unique(bin_V, return_inverse=True)
    assert bin_V.max() > 4
    assert chisquare(np.bincount(bin_V, count_V), np.bincount(bin_V, p_V) * n).pvalue > 1e-3

    nucleus = set(np.argsort(-p_V)[: int((np.sort(p_V)[::-1].cumsum() < 0.6).sum()) + 1].tolist())
    few = all_replies(one, prompts, decoding.model_copy(update={"top_p": 0.6}))
    assert {r.tokens[0] if r.tokens else end for r in few} == nucleus


def test_a_seed_is_its_own_and_a_sample_too(one: LoadedModel) -> None:
    prompts = questions(4)
    draws = {
        seed: all_replies(
            one, prompts, Decoding(max_new_tokens=8, temperature=2.0, samples=2, seed=seed)
        )
        for seed in (0, 0, 1)
    }
    again = all_replies(one, prompts, Decoding(max_new_tokens=8, temperature=2.0, samples=2))
    assert draws[0] == again
    assert [r.tokens for r in draws[0]] != [r.tokens for r in draws[1]]
    assert draws[0][0].tokens != draws[0][1].tokens


def test_endings_are_told_apart(one: LoadedModel, monkeypatch: pytest.MonkeyPatch) -> None:
    prompts = questions(12, seed=2)
    cut = all_replies(one, prompts, Decoding(max_new_tokens=6))
    assert all(r.ending == "length" and r.truncated and len(r.tokens) == 6 for r in cut)
    word = cut[0].text.split()[-1]
    stopped = all_replies(one, prompts, Decoding(max_new_tokens=6, stop=(word,)))
    for before, after in zip(cut, stopped, strict=True):
        assert after.text == before.text.partition(word)[0]
        assert (after.ending == "stop") == (word in before.text)
    monkeypatch.setattr(one.model.generation_config, "eos_token_id", [cut[0].tokens[2]])
    ended = all_replies(one, prompts, Decoding(max_new_tokens=6))
    assert ended[0].ending == "end"
    assert not ended[0].truncated
    assert ended[0].tokens == cut[0].tokens[: cut[0].tokens.index(cut[0].tokens[2])]


@pytest.mark.parametrize("budget", [0, 1, 4])
def test_a_chain_over_its_budget_is_stopped_and_goes_on_as_if_it_had_ended(
    one: LoadedModel, budget: int
) -> None:
    """What follows the forced words is what the model says after chain and words as its prompt."""
    prompts = questions(8, seed=4)
    thinking = Thinking(end="a :", budget=budget, force="a : w3")
    forced = all_replies(one, prompts, Decoding(max_new_tokens=N_NEW, thinking=thinking))
    free = all_replies(one, prompts, Decoding(max_new_tokens=N_NEW))
    for row, (reply, chain) in enumerate(zip(forced, free, strict=True)):
        assert reply.forced
        assert reply.thought == budget
        assert reply.tokens[:budget] == chain.tokens[:budget]
        shown = [prompts.frame["text"][row], *words(one, chain)[:budget], "a : w3"]
        record = {"prompt_id": "again", "text": " ".join(shown), "should_abstain": False}
        go_on = generate(one, PromptSet.from_records([record]), max_new_tokens=N_NEW - budget - 3)
        assert reply.answer == go_on[0]
        assert reply.text.endswith(reply.answer)


def test_a_chain_that_ends_by_itself_is_left_alone(one: LoadedModel) -> None:
    prompts = questions(8, seed=4)
    free = all_replies(one, prompts, Decoding(max_new_tokens=N_NEW))
    said = [words(one, reply) for reply in free]
    row = next(n for n, words in enumerate(said) if words[2:4] not in (words[:2], words[1:3]))
    end = " ".join(said[row][2:4])
    natural = Decoding(max_new_tokens=N_NEW, thinking=Thinking(end=end))
    capped = Decoding(max_new_tokens=N_NEW, thinking=Thinking(end=end, budget=9, force=end))
    for decoding in (natural, capped):
        reply = all_replies(one, prompts, decoding)[row]
        assert (reply.thought, reply.forced) == (2, False)
        assert reply.text == free[row].text
        assert reply.answer == one.tokenizer.decode(free[row].tokens[4:])
    unclosed = [r for r in all_replies(one, prompts, natural) if end not in " ".join(words(one, r))]
    assert unclosed
    assert all(r.answer == "" and r.truncated and r.thought == N_NEW for r in unclosed)


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"max_new_tokens": 0}, "max_new_tokens"),
        ({"samples": 2}, "2 samples at temperature 0"),
        ({"temperature": -1.0}, "temperature"),
        ({"temperature": float("inf")}, "temperature"),
        ({"top_p": 0.0}, "top_p"),
        ({"stop": ("",)}, "stop string is empty"),
        ({"thinking": {"budget": 256}}, "leaves nothing of 256"),
        ({"thinking": {"budget": 3, "force": "now"}}, "lacks the end '</think>'"),
        ({"beams": 4}, "beams"),
    ],
)
def test_decoding_that_cannot_be_is_refused(settings: dict, said: str) -> None:
    with pytest.raises(pydantic.ValidationError, match=said):
        Decoding(**settings)


def test_a_prompt_beyond_the_context_is_one_error_before_anything_runs(
    one: LoadedModel, tmp_path: Path
) -> None:
    prompts = PromptSet.from_records(
        [
            {"prompt_id": "short", "text": "w1", "should_abstain": False},
            {"prompt_id": "long", "text": " ".join(["w1"] * 60), "should_abstain": False},
        ]
    )
    said = "prompt long: 60 tokens and up to 5 new ones, but llama was made for at most 64"
    with pytest.raises(InputError, match=said):
        collect(one, prompts, Decoding(max_new_tokens=5), tmp_path)
    assert not list(tmp_path.glob("*/0*.json"))
    assert len(all_replies(one, prompts, Decoding(max_new_tokens=4))[1].tokens) <= 4


def test_a_killed_run_is_completed_with_the_same_bytes(
    one: LoadedModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    prompts, decoding = questions(20), DECODINGS["sampled"]
    whole = collect(one, prompts, decoding, tmp_path / "whole", token_budget=200)
    forward, calls = type(one.model).forward, itertools.count()

    def killed(self, **inputs):
        if next(calls) == 40:
            raise KeyboardInterrupt
        return forward(self, **inputs)

    with monkeypatch.context() as patched:
        patched.setattr(type(one.model), "forward", killed)
        with pytest.raises(KeyboardInterrupt):
            collect(one, prompts, decoding, tmp_path / "killed", token_budget=200)
    begun = len(list((tmp_path / "killed").glob("*/0*.json")))
    n_batches = len(list((tmp_path / "whole").glob("*/0*.json")))
    assert 0 < begun < n_batches
    assert collect(one, prompts, decoding, tmp_path / "killed", token_budget=200) == whole
    files = [
        {path.name: path.read_bytes() for path in (tmp_path / name).glob("*/0*.json")}
        for name in ("whole", "killed")
    ]
    assert files[0] == files[1]

    def never(self, **inputs):
        raise AssertionError("a finished run asks the model nothing")

    monkeypatch.setattr(type(one.model), "forward", never)
    assert collect(one, prompts, decoding, tmp_path / "killed", token_budget=200) == whole


def test_changed_input_never_reads_old_replies_and_damage_shows(
    one: LoadedModel, tmp_path: Path
) -> None:
    prompts, decoding = questions(6), Decoding(max_new_tokens=4)
    collect(one, prompts, decoding, tmp_path)
    collect(one, prompts, Decoding(max_new_tokens=5), tmp_path)
    collect(one, questions(6, seed=1), decoding, tmp_path)
    assert len(list(tmp_path.glob("[!.]*"))) == 3
    for path in tmp_path.glob("*/000000.json"):
        path.write_text(path.read_text().replace("w", "v", 1))
    with pytest.raises(InputError, match=r"000000\.json: not as it was written"):
        collect(one, prompts, decoding, tmp_path)


class Characters:
    """A tokenizer whose tokens are given texts."""

    def __init__(self, *texts: str) -> None:
        self.texts = ["<end>", *texts]

    def __call__(self, text: str, **_: object) -> dict[str, list[int]]:
        return {"input_ids": [self.texts.index(text)]}

    def decode(self, ids, skip_special_tokens: bool) -> str:
        return "".join(self.texts[i] for i in ids if i or not skip_special_tokens)


@pytest.mark.parametrize(
    ("texts", "stop", "said"),
    [
        (("Oslo", "..."), (".",), "Oslo"),
        (("Oslo", "\n\n"), ("\n",), "Oslo"),
        (("ab",), ("b", "a"), ""),
        (("O", "s", "lo\nQ", ": x"), ("\nQ:",), "Oslo"),
        (("a.b", "c"), ("c", "."), "a"),
        (("stop",), ("stop",), ""),
    ],
)
def test_a_reply_is_cut_at_the_first_stop_string(
    texts: tuple[str, ...], stop: tuple[str, ...], said: str
) -> None:
    draft = Draft("p", 0, Decoding(max_new_tokens=20, stop=stop), Characters(*texts), frozenset())
    for token in range(1, len(texts) + 1):
        if draft.ending is None:
            draft.take(token)
    assert draft.ending == "stop"
    assert draft.done().text == draft.done().answer == said


def test_a_forced_text_that_leaves_no_room_for_an_answer_is_refused(one: LoadedModel) -> None:
    thinking = Thinking(end="a :", budget=5, force="a : w1")
    with pytest.raises(InputError, match="the 3 tokens of 'a : w1' leave nothing of 8 new tokens"):
        all_replies(one, questions(1), Decoding(max_new_tokens=8, thinking=thinking))
