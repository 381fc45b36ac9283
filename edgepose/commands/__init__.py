"""The commands, one file each, and arguments that several of them share."""

import argparse
import math
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar, get_args

from edgepose.config.loading import DEFAULT_FILE
from edgepose.config.schema import Mqtt
from edgepose.config.secrets import PASSWORD_VARIABLE

Number = TypeVar("Number", int, float)


def count(number: int, one: str, many: str = "") -> str:
    """Return a number with its noun.

    Examples
    --------
    >>> count(1, "label"), count(2, "label"), count(0, "person", "people")
    ('1 label', '2 labels', '0 people')
    """
    return f"{number} {one if number == 1 else many or one + 's'}"


def ranged(kind: type[Number], low: float, high: float = math.inf) -> Callable[[str], Number]:
    """Return an `argparse` type for numbers within a range, with a clear error message.

    Examples
    --------
    >>> ranged(int, 1)("3")
    3
    """
    whole = "a whole number" if kind is int else "a number"
    what = f"{whole} from {low:g} {'up' if high == math.inf else f'to {high:g}'}"

    def read(text: str) -> Number:
        try:
            found = kind(text)
        except ValueError:
            found = kind(low) - 1
        if math.isfinite(found) and low <= found <= high:
            return found
        msg = f"{text}: expected {what}"
        raise argparse.ArgumentTypeError(msg)

    return read


def add_config(parser: argparse.ArgumentParser, what: str = "configuration file") -> None:
    """Add the option for the configuration file."""
    parser.add_argument(
        "-c", "--config", type=Path, metavar="FILE", help=f"{what}; default {DEFAULT_FILE}"
    )


def add_broker(parser: argparse.ArgumentParser) -> None:
    """Add the options for the broker. The default needs `add_config`, too."""
    from edgepose.mqtt.subscriber import DEFAULT_URL  # late, as it imports numpy

    parser.add_argument(
        "--mqtt",
        metavar="URL",
        help="the broker, mqtt://[USER[:PASSWORD]@]HOST[:PORT]; default: that of the"
        f" configuration, or {DEFAULT_URL} if it has none."
        f" A password can also be given in the environment variable {PASSWORD_VARIABLE}",
    )
    parser.add_argument("--ca-file", metavar="FILE", help="certificate of the broker's CA")


def add_topics(parser: argparse.ArgumentParser) -> None:
    """Add the options for device, camera and base topic."""
    parser.add_argument("--device", metavar="D", help="only this device")
    parser.add_argument("--camera", metavar="C", help="only this camera")
    parser.add_argument(
        "--base-topic",
        metavar="TOPIC",
        help=f"first part of the topics; default that of the configuration, or {Mqtt().base_topic}",
    )


def add_model(parser: argparse.ArgumentParser, default: str = "auto") -> None:
    """Add the options for the model and its policy."""
    from edgepose.models.catalog import DEFAULT
    from edgepose.pose.policies import PolicyName  # late, as it imports numpy

    parser.add_argument(
        "-m",
        "--model",
        metavar="NAME",
        default=default,
        help=f"name or .tflite; default {DEFAULT if default == 'auto' else default}",
    )
    parser.add_argument(
        "--policy", choices=get_args(PolicyName), default="auto", help="area to process"
    )


def add_threads(parser: argparse.ArgumentParser) -> None:
    """Add the option for the number of threads of an inference."""
    parser.add_argument(
        "--threads",
        type=ranged(int, 0, 64),
        default=0,
        metavar="N",
        help="threads of one inference; default 0: all cores but one",
    )


def add_interpreters(parser: argparse.ArgumentParser) -> None:
    """Add the option for the number of concurrent inferences."""
    parser.add_argument(
        "--interpreters",
        type=ranged(int, 1, 16),
        default=1,
        metavar="N",
        help="inferences at the same time; default 1",
    )


def add_min_score(parser: argparse.ArgumentParser) -> None:
    """Add the option for the minimum score of a person."""
    parser.add_argument(
        "--min-score",
        type=ranged(float, 0, 1),
        metavar="S",
        help="omit people below this score, 0 to 1; default: the model's own",
    )
