from __future__ import annotations

import numpy as np
import pytest
import torch

from interp.errors import InputError
from interp.features import stability


def test_the_same_latents_in_another_order_are_found_again():
    rng = np.random.default_rng(0)
    first_MD = torch.tensor(rng.normal(size=(20, 32)))
    order = rng.permutation(20)
    second_MD = first_MD[order] * 3 + 0.05 * torch.tensor(rng.normal(size=(20, 32)))
    third_MD = torch.cat([first_MD[:10], torch.tensor(rng.normal(size=(15, 32)))])
    table = stability([first_MD, second_MD, third_MD])
    assert table["latent"].tolist() == list(range(20))
    assert order[table["match_1"]].tolist() == list(range(20))
    assert table["match_2"].tolist()[:10] == list(range(10))
    assert table["replicates"].tolist() == [2] * 10 + [1] * 10
    cosine_M = torch.cosine_similarity(first_MD, second_MD[table["match_1"]])
    np.testing.assert_allclose(table["cosine_1"], cosine_M)
    np.testing.assert_allclose(table["mean_cosine"], (table["cosine_1"] + table["cosine_2"]) / 2)
    assert (stability([first_MD, second_MD], cut=1.0)["replicates"] == 0).all()


def test_one_latent_does_not_stand_for_two():
    first_MD = torch.eye(4)[[0, 0, 1]] + torch.tensor([0, 0.1, 0])[:, None]
    table = stability([first_MD, torch.eye(4)[[0, 1]]])
    assert table["match_1"].tolist() == [0, 0, 1]
    assert table["mutual_1"].tolist() == [True, False, True]
    assert table["replicates"].tolist() == [1, 0, 1]


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: stability([torch.eye(3)]), "1 decoders; expected at least 2"),
        (lambda: stability([torch.eye(3), torch.eye(4)]), "one d"),
    ],
)
def test_bad_input_gets_one_clear_error(call, message):
    with pytest.raises(InputError, match=message):
        call()
