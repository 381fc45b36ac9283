"""List the models that ship, or say what is in any .tflite."""

import argparse
import hashlib
import json
from dataclasses import asdict
from typing import Any

from edgepose import catalogue, decoders, models
from edgepose.decoders import Decoder
from edgepose.errors import ModelError
from edgepose.models import ModelInfo, TensorInfo


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare what the command takes."""
    parser.set_defaults(verb="list")
    parser.add_argument("--json", action="store_true", help="print JSON instead of a table")
    verbs = parser.add_subparsers(metavar="show NAME_OR_FILE")
    show = verbs.add_parser("show", help="inputs, outputs and family of a model")
    show.add_argument("model", help="a name of the list, or a .tflite file")
    show.add_argument("--json", action="store_true", default=argparse.SUPPRESS)
    show.set_defaults(verb="show")


def run(args: argparse.Namespace) -> int:
    """List the catalogue or show one model."""
    if args.verb == "show":
        description = describe(args.model)
        print(json.dumps(description, indent=2) if args.json else _page(description))
    else:
        rows = catalogue.entries()
        print(_as_json(rows) if args.json else _table(rows))
    return 0


def describe(name: str) -> dict[str, Any]:
    """Read a model file and say everything it says about itself."""
    choice = catalogue.choose(name)
    content = catalogue.read_file(choice.path)
    info = models.read(content, choice.name)
    return {
        "name": choice.name,
        "file": str(choice.path),
        "bytes": len(content),
        "sha256": hashlib.sha256(content).hexdigest(),
        "family": _family(content, choice.name),
        "inputs": [asdict(tensor) for tensor in info.inputs],
        "outputs": [asdict(tensor) for tensor in info.outputs],
        "custom_ops": list(info.custom_ops),
    }


def _family(content: bytes, name: str) -> str:
    try:
        decoder: Decoder
        info: ModelInfo
        _, info, decoder = decoders.load(content, name)
    except ModelError as error:
        return f"none ({error})"
    return decoder.family if not info.custom_ops else f"{decoder.family}, for the Edge TPU"


def _page(description: dict[str, Any]) -> str:
    lines = [
        f"{description['name']}: {description['family']}",
        f"  file        {description['file']}",
        f"  size        {description['bytes']:,} bytes",
        f"  sha256      {description['sha256']}",
    ]
    for kind in ("inputs", "outputs"):
        for position, tensor in enumerate(description[kind]):
            lines.append(f"  {kind[:-1]:<6} {position}    {_tensor(TensorInfo(**tensor))}")
    if ops := description["custom_ops"]:
        lines.append(f"  custom ops  {', '.join(ops)}")
    return "\n".join(lines)


def _tensor(tensor: TensorInfo) -> str:
    shape = " x ".join("any" if side < 0 else str(side) for side in tensor.shape)
    text = f"{shape} {tensor.dtype}"
    if tensor.quantisation is not None:
        scale, zero_point = tensor.quantisation
        text += f", real = {scale:.6g} * (stored - {zero_point})"
    return f"{text}   {tensor.name}"


def _table(rows: dict[str, catalogue.Entry]) -> str:
    width = max(len(name) for name in rows)
    lines = [f"{'NAME':<{width}}  {'PEOPLE':<6}  {'MB':>5}  {'LICENCE':<11} WHAT IT IS"]
    for name, entry in rows.items():
        lines.append(
            f"{name:<{width}}  {entry.people:<6}  {entry.bytes / 1e6:5.1f}  "
            f"{entry.licence:<11} {entry.description}"
        )
    return "\n".join(lines)


def _as_json(rows: dict[str, catalogue.Entry]) -> str:
    import msgspec

    return json.dumps({name: msgspec.to_builtins(entry) for name, entry in rows.items()}, indent=2)
