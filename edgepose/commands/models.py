"""List the models that are known, fetch one, say what is in any .tflite, or how `auto` chooses."""

import argparse
import hashlib
import json
import sys
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edgepose import catalogue, decoders, models
from edgepose.decoders import Decoder
from edgepose.errors import ModelError, UsageError
from edgepose.models import ModelInfo, TensorInfo

if TYPE_CHECKING:
    from edgepose.choosing import Chooser, Plan


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare what the command takes."""
    parser.set_defaults(verb="list")
    parser.add_argument("--json", action="store_true", help="print JSON instead of a table")
    parser.add_argument(
        "--auto", action="store_true", help='measure, and say what model.name = "auto" means here'
    )
    parser.add_argument(
        "-c", "--config", type=Path, metavar="FILE", help="with --auto: for this configuration"
    )
    verbs = parser.add_subparsers(metavar="show NAME_OR_FILE | fetch NAME")
    show = verbs.add_parser("show", help="inputs, outputs and family of a model")
    show.add_argument("model", help="a name of the list, or a .tflite file")
    show.add_argument("--json", action="store_true", default=argparse.SUPPRESS)
    show.set_defaults(verb="show")
    fetch = verbs.add_parser("fetch", help="download models and check them")
    fetch.add_argument("model", nargs="+", help="a name of the list")
    fetch.add_argument(
        "--to", type=Path, metavar="DIR", help="put them there; default: the state directory"
    )
    fetch.set_defaults(verb="fetch")


def run(args: argparse.Namespace) -> int:
    """List the catalogue, show or fetch a model, or choose one."""
    if args.verb == "show":
        description = describe(args.model)
        print(json.dumps(description, indent=2) if args.json else _page(description))
    elif args.verb == "fetch":
        fetch(args.model, args.to or catalogue.folders()[0])
    elif args.auto:
        print(choose(args.config, as_json=args.json))
    else:
        rows = catalogue.entries()
        print(_as_json(rows) if args.json else _table(rows))
    return 0


def fetch(names: list[str], folder: Path) -> None:
    """Download models, each with its twin for the CPU, and say where they are."""
    entries = catalogue.entries()
    for name in names:
        if name not in entries:
            catalogue.choose(name)
            msg = f"model {name}: is a file; expected a name that `edgepose models` lists"
            raise UsageError(msg)
    wanted = [other for name in names for other in (name, entries[name].cpu) if other]
    for name in dict.fromkeys(wanted):
        if entries[name].url:
            print(f"{name}: {_fetch(name, entries[name], folder)}")
        else:
            print(f"{name}: comes with edgepose")


def _fetch(name: str, entry: catalogue.Entry, folder: Path) -> Path:
    from tqdm import tqdm

    from edgepose import fetching

    quiet = not sys.stderr.isatty()
    with tqdm(total=entry.bytes, unit="B", unit_scale=True, desc=name, disable=quiet) as bar:
        return fetching.fetch(name, entry, folder, lambda here: bar.update(here - bar.n) and None)


def choose(file: Path | None, *, as_json: bool) -> str:
    """Measure what was not measured yet, and say what `auto` takes and why."""
    import msgspec

    from edgepose import config as configuration
    from edgepose import storage
    from edgepose.choosing import Chooser
    from edgepose.timing import Clock

    config = configuration.effective(file, model="auto")
    chooser = Chooser(storage.state_directory(config.device.id), Clock())
    plan = chooser.plan(config)
    if not as_json:
        return _judgement(chooser, plan)
    judged = [row._asdict() for row in chooser.rows]
    answer = {"model": plan.model, "why": plan.model_reason, "delegate": plan.delegate.name}
    return json.dumps(msgspec.to_builtins(answer | {"delegate_why": plan.reason, "rows": judged}))


def _judgement(chooser: "Chooser", plan: "Plan") -> str:
    width = max(len(row.model) for row in chooser.rows)
    lines = [f"{'NAME':<{width}}  {'ON':<8}  {'AP':>5}  {'MS':>7}  VERDICT"]
    for row in chooser.rows:
        ms = "" if row.ms is None else f"{row.ms:.1f}"
        lines.append(
            f"{row.model:<{width}}  {row.delegate:<8}  {row.accuracy:5.1f}  {ms:>7}  {row.verdict}"
        )
    lines += ["", f"{plan.model} on {plan.delegate.name}", plan.model_reason, plan.reason]
    return "\n".join(lines)


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
    text = f"{shape or 'any shape'} {tensor.dtype}"
    if tensor.quantisation is not None:
        scale, zero_point = tensor.quantisation
        text += f", real = {scale:.6g} * (stored - {zero_point})"
    return f"{text}   {tensor.name}"


def _table(rows: dict[str, catalogue.Entry]) -> str:
    width = max(len(name) for name in rows)
    head = f"{'NAME':<{width}}  {'FAMILY':<7}  {'PEOPLE':<6}  {'MB':>4}  {'LICENCE':<10}"
    lines = [f"{head}  {'SHA-256':<12}  {'HERE':<5}  WHAT IT IS"]
    for name, entry in rows.items():
        here = "yes" if entry.path else "fetch"
        lines.append(
            f"{name:<{width}}  {entry.family:<7}  {entry.people:<6}  {entry.bytes / 1e6:4.1f}  "
            f"{entry.licence:<10}  {entry.sha256[:12]}  {here:<5}  {_about(entry)}"
        )
    lines += ["", f"fetch: edgepose models fetch NAME puts it into {catalogue.folders()[0]}"]
    return "\n".join(lines)


def _about(entry: catalogue.Entry) -> str:
    return f"{entry.description}; on the CPU: {entry.cpu}" if entry.cpu else entry.description


def _as_json(rows: dict[str, catalogue.Entry]) -> str:
    import msgspec

    listed = {
        name: msgspec.to_builtins(entry)
        | {"edgetpu": catalogue.for_edgetpu(name) or "", "path": str(entry.path or "")}
        for name, entry in rows.items()
    }
    return json.dumps(listed, indent=2)
