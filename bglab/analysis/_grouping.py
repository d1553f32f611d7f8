"""Group a table by its columns and attach intervals to counts: the steps that every summary table shares."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import pandas as pd

from bglab.analysis.intervals import share_interval
from bglab.catalogue import unknown_name
from bglab.errors import UnknownName


def as_columns(by: str | Sequence[str]) -> list[str]:
    """List the columns of a ``by`` argument, which may be a single name."""
    return [by] if isinstance(by, str) else list(by)


def known_columns(table: pd.DataFrame, by: str | Sequence[str]) -> list[str]:
    """List the columns of a ``by`` argument and check that the table has them.

    Raises:
        UnknownName: If a column does not exist.
    """
    columns = as_columns(by)
    for column in columns:
        if column not in table.columns:
            raise UnknownName(unknown_name("column", column, [str(c) for c in table.columns]))
    return columns


def iterate_groups(table: pd.DataFrame, columns: Sequence[str]) -> Iterator[tuple[tuple[object, ...], pd.DataFrame]]:
    """Yield ``(key, rows)`` of each group in order of first appearance; without columns the table is one group.

    Keys are tuples with one entry per column; missing values form groups of their own.
    """
    if not columns:
        yield (), table
        return
    for key, group in table.groupby(list(columns), sort=False, observed=True, dropna=False):
        yield key if isinstance(key, tuple) else (key,), group


def with_share(
    table: pd.DataFrame, count: str, name: str, design_effects: Sequence[float] | float = 1.0
) -> pd.DataFrame:
    """Add a column of counts divided by ``n``, with its Wilson interval.

    Args:
        table: Has the integer columns ``count`` and ``n``.
        count: Column of counts.
        name: Name of the new column, which is also the stem of ``<name>_low`` and ``<name>_high``; all three are
            fractions in [0, 1], NaN where ``n`` is 0.
        design_effects: Number of rows per effectively independent one, for each row of the table.
    """
    counts, n = table[count].to_numpy(np.int64), table["n"].to_numpy(np.int64)
    low, high = share_interval(counts, n, np.broadcast_to(np.asarray(design_effects, dtype=np.float64), n.shape))
    share = np.divide(counts, n, out=np.full(len(n), np.nan), where=n > 0)
    return table.assign(**{name: share, f"{name}_low": low, f"{name}_high": high})
