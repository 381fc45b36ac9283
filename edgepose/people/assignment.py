"""Minimum-cost assignment between tracks and poses."""

import math
from collections import Counter
from collections.abc import Mapping
from typing import NamedTuple

Pair = tuple[int, int]
"""Row of a person and column of a pose."""


def assign(worth: Mapping[Pair, float]) -> list[Pair]:
    """Return the one-to-one assignment of rows to columns with the largest total worth.

    Parameters
    ----------
    worth : mapping
        From ``(row, column)`` to a worth above 0; pairs not in it are ruled out.

    Returns
    -------
    list of (row, column)
        In ascending order of rows.

    Notes
    -----
    Exact. Pairs that compete with no other pair are taken at once. These are nearly all,
    since `compare` rules out everything beyond the gate. The rest is solved by shortest
    augmenting paths [1]_.

    References
    ----------
    .. [1] Jonker and Volgenant, "A shortest augmenting path algorithm for dense and
       sparse linear assignment problems", Computing 38, 1987
    """
    if not worth:
        return []
    by_row = Counter([row for row, _ in worth])
    by_column = Counter([column for _, column in worth])
    pairs = [pair for pair in worth if by_row[pair[0]] == by_column[pair[1]] == 1]
    if len(pairs) == len(worth):
        return pairs
    crowded = {pair: worth[pair] for pair in worth.keys() - set(pairs)}
    return sorted(pairs + _assign_crowded(crowded))


def _assign_crowded(worth: Mapping[Pair, float]) -> list[Pair]:
    rows, columns = (sorted(set(part)) for part in zip(*worth, strict=True))
    if min(len(rows), len(columns)) == 1:
        return [max(worth, key=worth.__getitem__)]
    if len(rows) > len(columns):
        turned = {(column, row): value for (row, column), value in worth.items()}
        return [(row, column) for column, row in _assign_crowded(turned)]
    cost = [[-worth.get((row, column), 0.0) for column in columns] for row in rows]
    pairs = [(rows[a], columns[b]) for a, b in augment(cost)]
    return [pair for pair in pairs if pair in worth]


def augment(cost: list[list[float]]) -> list[tuple[int, int]]:
    """Return the (row, column) pairs of the minimum-cost assignment of every row.

    `cost` must have at least as many columns as rows.
    """
    every = range(len(cost[0]))
    row_price, column_price = [0.0] * len(cost), [0.0] * len(every)
    owner: list[int | None] = [None] * len(every)
    for start in range(len(cost)):
        path = _Path([math.inf] * len(every), [None] * len(every))
        row: int | None = start
        column: int | None = None
        length = 0.0
        open_columns = set(every)
        while row is not None:
            for other in open_columns:
                reach = length + cost[row][other] - row_price[row] - column_price[other]
                if reach < path.length[other]:
                    path.length[other], path.before[other] = reach, column
            column = min(open_columns, key=path.length.__getitem__)
            open_columns.remove(column)
            length, row = path.length[column], owner[column]
        row_price[start] += length
        for other in every:
            if (holder := owner[other]) is not None and other not in open_columns:
                row_price[holder] += length - path.length[other]
                column_price[other] -= length - path.length[other]
        while column is not None:
            before = path.before[column]
            owner[column] = start if before is None else owner[before]
            column = before
    return [(row, column) for column, row in enumerate(owner) if row is not None]


class _Path(NamedTuple):
    """Shortest paths from one row to every column."""

    length: list[float]
    before: list[int | None]
    """Previous column on the path; None where the path is direct."""
