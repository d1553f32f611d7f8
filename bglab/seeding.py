"""Randomness is keyed, never streamed: the same (seed, key) gives the same draw in any order or process."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import numpy as np


def keyed_seed(seed: int, *key: str | int) -> int:
    """Give a 64-bit seed that depends on the seed and on every part of the key.

    Args:
        seed: The user's seed.
        *key: What the draw is for, e.g. the variant's name and the scene's id.

    Example:
        >>> keyed_seed(0, "mixed_rand", "n02090379_1168") == keyed_seed(0, "mixed_rand", "n02090379_1168")
        True
        >>> keyed_seed(0, "a", "bc") == keyed_seed(0, "ab", "c")
        False
    """
    # repr keeps the parts apart, so ("a", "bc") and ("ab", "c") differ, as do 1 and "1"
    text = repr((int(seed), *key))
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), "little")


def keyed_generator(seed: int, *key: str | int) -> np.random.Generator:
    """Give a generator of its own for one draw; order of calls, batches and workers cannot change it.

    Args:
        seed: The user's seed.
        *key: What the draw is for.

    Example:
        >>> int(keyed_generator(0, "donor", "scene-3").integers(100))
        81
    """
    return np.random.Generator(np.random.PCG64(keyed_seed(seed, *key)))


def digest(parts: Sequence[str]) -> str:
    """Hash a list of strings to 16 hexadecimal digits, keeping the parts apart."""
    return hashlib.blake2b(repr(list(parts)).encode(), digest_size=8).hexdigest()
