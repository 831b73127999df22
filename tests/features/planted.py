"""Codes in which some latents are known to tell the classes."""

from __future__ import annotations

import numpy as np

from interp.features.codes import SparseCodes

N, M = 240, 40
UNKNOWN, ONE_KIND, INHIBITOR, EVERYWHERE, STRENGTH = 0, 1, 2, 3, 4
KINDS = np.array(["player", "city", "song"])


def planted(seed, shift=0):
    """Rows of entities of three types, two rows each, with five latents that tell the classes."""
    rng = np.random.default_rng(seed)
    entity_N = np.repeat(np.arange(N // 2), 2) + shift
    kind_N = KINDS[entity_N % 3]
    label_N = entity_N // 3 % 2 == 1
    fires_NM = rng.random((N, M)) < 0.1
    chance_N = rng.random(N)
    fires_NM[:, UNKNOWN] = chance_N < np.where(label_N, 0.95, 0.03)
    fires_NM[:, ONE_KIND] = chance_N < np.where(label_N & (kind_N == "city"), 0.98, 0.02)
    fires_NM[:, INHIBITOR] = chance_N < np.where(label_N, 0.03, 0.95)
    fires_NM[:, EVERYWHERE] = fires_NM[:, UNKNOWN]
    fires_NM[:, -1] = False
    value_NM = np.where(fires_NM, np.round(rng.exponential(size=(N, M)), 1) + 0.1, 0)
    value_NM[:, STRENGTH] = rng.random(N) + 1.5 * label_N + 0.1  # always on, stronger on unknown
    return value_NM.astype(np.float32), label_N, entity_N, kind_N


def generic_codes(seed=9):
    rng = np.random.default_rng(seed)
    fires_NM = rng.random((1000, M)) < 0.01
    fires_NM[:, EVERYWHERE] = rng.random(1000) < 0.1
    return SparseCodes.from_dense(fires_NM.astype(np.float32))


DENSE, LABEL, ENTITY, KIND = planted(0)
CODES = SparseCodes.from_dense(DENSE)
LEVELS = {"entity": ENTITY}
TEST_DENSE, TEST_LABEL, TEST_ENTITY, TEST_KIND = planted(1, shift=N)
TEST_CODES = SparseCodes.from_dense(TEST_DENSE)
TEST_LEVELS = {"kind": TEST_KIND, "entity": TEST_ENTITY}
