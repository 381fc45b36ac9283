"""Commands: one small file each."""

import argparse
from typing import get_args


def count(number: int, one: str, many: str = "") -> str:
    """Write a number with its noun.

    Examples
    --------
    >>> count(1, "label"), count(2, "label"), count(0, "person", "people")
    ('1 label', '2 labels', '0 people')
    """
    return f"{number} {one if number == 1 else many or one + 's'}"


def add_model(parser: argparse.ArgumentParser) -> None:
    """Declare which model looks where."""
    from edgepose.policies import PolicyName  # numpy: other commands need not wait for it

    parser.add_argument("-m", "--model", metavar="NAME", default="auto", help="name or .tflite")
    parser.add_argument(
        "--policy", choices=get_args(PolicyName), default="auto", help="where to look"
    )


def add_threads(parser: argparse.ArgumentParser) -> None:
    """Declare how many threads the network has."""
    parser.add_argument(
        "--threads",
        type=int,
        default=0,
        metavar="N",
        help="of the network; default 0: all cores but one",
    )


def add_min_score(parser: argparse.ArgumentParser, default: float) -> None:
    """Declare how sure a person must be."""
    parser.add_argument(
        "--min-score",
        type=float,
        default=default,
        metavar="S",
        help=f"leave out people below it, 0 to 1; default {default:g}",
    )
