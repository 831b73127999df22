"""A portrait holds what a loop over every token finds."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from sae_lens import SAE, StandardSAE, StandardSAEConfig

from interp.activations import Site, capture
from interp.checkpoints import Checkpoint
from interp.errors import InputError
from interp.features.codes import SparseCodes
from interp.features.dictionary import Dictionary
from interp.features.logit_effects import logit_effects
from interp.features.portraits import Portrait, portrait, token_texts
from interp.prompts import PromptSet
from tests.checkpoints.tiny import D_MODEL, write_checkpoint

M = 24
LENGTHS = (5, 1, 9, 3, 1, 7, 4, 12)
IDS = [f"p{row}" for row in range(len(LENGTHS))]
GROUPS = ["b", "a", "b", "c", "a", "c", "b", "b"]
OFFSETS = np.concatenate([[0], np.cumsum(LENGTHS)])
TOKENS = [[f"{row}.{place}" for place in range(n)] for row, n in enumerate(LENGTHS)]


def a_dictionary() -> Dictionary:
    torch.manual_seed(0)
    sae: SAE[Any] = StandardSAE(StandardSAEConfig(d_in=D_MODEL, d_sae=M))
    with torch.no_grad():
        sae.W_enc.normal_()
        sae.W_dec.normal_()
    return Dictionary(sae, Site("resid_post", 1), "drawn", {})


def values(seed: int = 0) -> np.ndarray:
    """Of one latent, with many ties; prompt 3 is silent, prompt 4 fires faintly."""
    rng = np.random.default_rng(seed)
    code_N = np.where(rng.random(sum(LENGTHS)) < 0.5, rng.integers(1, 6, sum(LENGTHS)) / 2, 0)
    code_N[OFFSETS[3] : OFFSETS[4]] = 0
    code_N[OFFSETS[4]] = 0.5
    code_N[OFFSETS[1]] = 2.5
    return code_N.astype(np.float32)


def of(code_N: np.ndarray, **options: Any) -> Portrait:
    given = {"offsets": OFFSETS, "tokens": TOKENS, "prompt_ids": IDS, "latent": 3} | options
    return portrait(a_dictionary(), codes_N=code_N, **given)


@pytest.mark.parametrize("seed", range(5))
def test_examples_are_what_a_sort_of_every_token_finds(seed: int) -> None:
    code_N = values(seed)
    drawn = of(code_N, n_examples=4, context=2)
    tokens = [
        (-code_N[OFFSETS[row] + place], row, place)
        for row, n in enumerate(LENGTHS)
        for place in range(n)
        if code_N[OFFSETS[row] + place] > 0
    ]
    best: dict[int, int] = {}
    for _, row, place in sorted(tokens):
        best.setdefault(row, place)
    assert [e.prompt_id for e in drawn.examples] == [IDS[row] for row in list(best)[:4]]
    for example, (row, place) in zip(drawn.examples, best.items(), strict=False):
        first, stop = max(0, place - 2), min(LENGTHS[row], place + 3)
        assert example.tokens == tuple(f"{row}.{i}" for i in range(first, stop))
        assert example.values == tuple(code_N[OFFSETS[row] + i] for i in range(first, stop))
        assert (example.first, example.peak) == (first, place - first)
        assert example.n_tokens == LENGTHS[row]


def test_the_first_of_equal_tokens_and_of_equal_prompts_comes_first() -> None:
    code_N = np.zeros(sum(LENGTHS))
    code_N[[OFFSETS[2] + 4, OFFSETS[2] + 6, OFFSETS[5] + 1, OFFSETS[0] + 2]] = 1.5
    drawn = of(code_N)
    assert [e.prompt_id for e in drawn.examples] == ["p0", "p2", "p5"]
    assert [e.tokens[e.peak] for e in drawn.examples] == ["0.2", "2.4", "5.1"]


@pytest.mark.parametrize("ceiling", [None, 2.5, 7.0])
def test_the_histogram_counts_each_firing_token_once(ceiling: float | None) -> None:
    code_N = values()
    drawn = of(code_N, n_bins=7, ceiling=ceiling)
    top = code_N.max() if ceiling is None else ceiling
    np.testing.assert_allclose(drawn.edges, [top * i / 7 for i in range(8)])
    expected = [0] * 7
    for value in code_N[code_N > 0]:
        expected[max(i for i in range(7) if value >= drawn.edges[i])] += 1
    assert list(drawn.counts) == expected


def test_groups_and_peaks_are_those_of_a_loop() -> None:
    code_N = values()
    drawn = of(code_N, groups=GROUPS)
    assert [group.name for group in drawn.groups] == ["b", "a", "c"]
    assert drawn.overall.name == "all"
    for group in (*drawn.groups, drawn.overall):
        rows = [row for row, name in enumerate(GROUPS) if group.name in (name, "all")]
        parts = [code_N[OFFSETS[row] : OFFSETS[row + 1]] for row in rows]
        every = [float(value) for part in parts for value in part]
        assert (group.n_prompts, group.n_tokens) == (len(rows), len(every))
        assert group.prompt_rate == sum(any(part > 0) for part in parts) / len(rows)
        assert group.token_rate == sum(value > 0 for value in every) / len(every)
        assert group.mean == pytest.approx(sum(every) / len(every))
        assert group.maximum == max(every)
    for row, name in enumerate(IDS):
        assert drawn.peaks[name] == code_N[OFFSETS[row] : OFFSETS[row + 1]].max()
    assert [e.group for e in drawn.examples] == [
        GROUPS[IDS.index(e.prompt_id)] for e in drawn.examples
    ]


def test_without_labels_there_are_no_groups() -> None:
    drawn = of(values())
    assert drawn.groups == ()
    assert {example.group for example in drawn.examples} == {None}


def test_a_latent_that_never_fires() -> None:
    drawn = of(np.zeros(sum(LENGTHS)), groups=GROUPS, n_bins=4)
    assert drawn.examples == ()
    assert drawn.counts == (0, 0, 0, 0)
    assert drawn.edges == (0.0, 0.25, 0.5, 0.75, 1.0)
    for group in (*drawn.groups, drawn.overall):
        rates = (group.prompt_rate, group.token_rate, group.mean, group.maximum)
        assert rates == (0.0, 0.0, 0.0, 0.0)


def test_a_prompt_of_one_token() -> None:
    code_N = np.zeros(sum(LENGTHS))
    code_N[OFFSETS[4]] = 0.25
    (example,) = of(code_N).examples
    assert (example.prompt_id, example.tokens, example.values) == ("p4", ("4.0",), (0.25,))
    assert (example.peak, example.first, example.n_tokens) == (0, 0, 1)


def test_tensors_and_arrays_give_one_portrait() -> None:
    code_N = values()
    drawn = of(torch.from_numpy(code_N), offsets=torch.from_numpy(OFFSETS), groups=GROUPS)
    assert drawn == of(code_N, groups=GROUPS)


def test_a_model_read_through_a_dictionary(tmp_path) -> None:
    loaded = Checkpoint(write_checkpoint(tmp_path / "tiny"), "tiny").load()
    texts = ["q : who is w1 ? a :", "w7", "q : w3 w4 in w5"]
    prompts = PromptSet.from_records(
        [
            {"prompt_id": f"r{row}", "text": text, "should_abstain": False}
            for row, text in enumerate(texts)
        ]
    )
    dictionary, site = a_dictionary(), Site("resid_post", 1)
    acts = capture(loaded, prompts, [site], ["all"])
    codes = SparseCodes.of(dictionary, acts.read(site, "all"))
    latent = int(codes.frequency.argmax())
    tokens = token_texts(acts, loaded)
    assert [[token.strip() for token in row] for row in tokens] == [t.split() for t in texts]
    drawn = portrait(
        dictionary,
        latent,
        codes.dense([latent])[:, 0],
        acts.offsets,
        tokens,
        prompts.frame["prompt_id"].tolist(),
        loaded=loaded,
        n_effects=4,
    )
    for row in range(3):
        code_TM = dictionary.encode(acts.of(site, row))
        assert drawn.peaks[f"r{row}"] == pytest.approx(code_TM[:, latent].max().item())
    assert drawn.effects == logit_effects(loaded, dictionary.decoder_MD[latent], 4)


WRONG = {
    "no such latent": ({"latent": M}, rf"no latent {M} in drawn; it has 0 to {M - 1}"),
    "latent below 0": ({"latent": -1}, "no latent -1"),
    "value below 0": ({"code_N": values() - 1}, "latent 3 is -1.0 at token"),
    "not finite": ({"code_N": values() * np.nan}, "latent 3 is nan at token 0"),
    "codes of other prompts": ({"code_N": values()[:-1]}, r"shape \(41,\).* 42 tokens"),
    "offsets from 1": ({"offsets": OFFSETS + 1}, "do not begin at 0"),
    "a prompt without tokens": ({"offsets": OFFSETS[[0, 1, 1, 8]]}, "do not ascend"),
    "no prompts": ({"offsets": OFFSETS[:1]}, "offsets"),
    "too few token lists": ({"tokens": TOKENS[1:]}, "7 lists of tokens for 8 prompts"),
    "other tokens": ({"tokens": TOKENS[::-1]}, "prompt p0 has 12 tokens, its values are of 5"),
    "too few ids": ({"prompt_ids": IDS[1:]}, "7 prompt ids for 8 prompts"),
    "an id twice": ({"prompt_ids": ["p1", *IDS[1:]]}, "not all different"),
    "too few labels": ({"groups": GROUPS[1:]}, "7 groups for 8 prompts"),
    "low ceiling": ({"ceiling": 1.0}, "a ceiling of 1.0, but latent 3 reaches 2.5"),
    "ceiling of nan": ({"ceiling": float("nan")}, "a ceiling of nan"),
    "examples below 0": ({"n_examples": -1}, "n_examples=-1"),
    "context below 0": ({"context": -1}, "context=-1; expected at least 0"),
    "no bins": ({"n_bins": 0}, "n_bins=0; expected at least 1"),
}


@pytest.mark.parametrize("case", WRONG)
def test_bad_input_is_named(case: str) -> None:
    options, message = WRONG[case]
    with pytest.raises(InputError, match=message):
        of(**({"code_N": values()} | options))
