"""Keyed random generators: equal seeds and keys give equal draws, in any order of calls and in any process."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import numpy as np


def keyed_seed(seed: int, *key: str | int) -> int:
    """Derive a 64-bit seed from a seed and a key.

    Args:
        seed: Seed given by the user.
        *key: Purpose of the draw, e.g. the name of a variant and the id of a scene.

    Example:
        >>> keyed_seed(0, "mixed_rand", "n02090379_1168") == keyed_seed(0, "mixed_rand", "n02090379_1168")
        True
        >>> keyed_seed(0, "a", "bc") == keyed_seed(0, "ab", "c")
        False
    """
    # repr separates the parts, so ("a", "bc") and ("ab", "c") differ, as do 1 and "1"
    text = repr((int(seed), *key))
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), "little")


def keyed_generator(seed: int, *key: str | int) -> np.random.Generator:
    """Create a random generator for one draw, independent of the order of calls, batches and workers.

    Args:
        seed: Seed given by the user.
        *key: Purpose of the draw; see `keyed_seed`.

    Example:
        >>> int(keyed_generator(0, "donor", "scene-3").integers(100))
        81
    """
    return np.random.Generator(np.random.PCG64(keyed_seed(seed, *key)))


def digest(parts: Sequence[str]) -> str:
    """Hash a list of strings to 16 hexadecimal digits (BLAKE2b, 64 bits); the division into parts matters.

    Example:
        >>> digest(["a", "bc"]) == digest(["ab", "c"])
        False
    """
    return hashlib.blake2b(repr(list(parts)).encode(), digest_size=8).hexdigest()
