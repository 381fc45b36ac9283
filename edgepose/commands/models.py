"""List known models, download them, describe a .tflite file, or show what `auto` selects."""

import argparse
import hashlib
import json
import sys
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edgepose.commands import add_config
from edgepose.errors import ModelError, UsageError
from edgepose.models import catalog
from edgepose.models import info as models
from edgepose.models.info import ModelInfo, TensorInfo
from edgepose.pose import decoders
from edgepose.pose.decoders import Decoder

if TYPE_CHECKING:
    from edgepose.pose.selection import ModelSelector, Plan


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments."""
    parser.set_defaults(verb="list")
    parser.add_argument("--json", action="store_true", help="print JSON instead of a table")
    parser.add_argument(
        "--auto",
        action="store_true",
        help='measure, and show what model.name = "auto" selects here',
    )
    parser.add_argument(
        "--measure",
        action="store_true",
        help="like --auto, and repeat earlier measurements",
    )
    add_config(parser, "with --auto: for this configuration")
    verbs = parser.add_subparsers(metavar="show NAME_OR_FILE | fetch NAME")
    show = verbs.add_parser("show", help="inputs, outputs and family of a model")
    show.add_argument("model", help="a name of the list, or a .tflite file")
    show.add_argument("--json", action="store_true", default=argparse.SUPPRESS)
    show.set_defaults(verb="show")
    fetch = verbs.add_parser("fetch", help="download models and check them")
    fetch.add_argument("model", nargs="+", help="a name of the list")
    fetch.add_argument(
        "--to", type=Path, metavar="DIR", help="folder for models; default: in the state directory"
    )
    fetch.set_defaults(verb="fetch")


def run(args: argparse.Namespace) -> int:
    """List the catalogue, describe or download models, or show the automatic selection."""
    if args.verb == "show":
        description = describe(args.model)
        print(json.dumps(description, indent=2) if args.json else page(description))
    elif args.verb == "fetch":
        fetch(args.model, args.to or catalog.folders()[0])
    elif args.auto or args.measure:
        print(choose(args.config, as_json=args.json, anew=args.measure))
    else:
        rows = catalog.entries() | {name: _preset_entry(name) for name in catalog.PRESETS}
        print(_as_json(rows) if args.json else _render_table(rows))
    return 0


def fetch(names: list[str], folder: Path) -> None:
    """Download models, each with its CPU variant, and print their paths.

    Raises
    ------
    UsageError
        When a name is that of a file.
    """
    entries = catalog.entries()
    for name in names:
        if name not in entries and name not in catalog.PRESETS:
            catalog.choose(name)
            msg = f"model {name}: is a file; expected a name that `edgepose models` lists"
            raise UsageError(msg)
    twins = {name: entry.cpu for name, entry in entries.items()}
    wanted = [other for name in names for other in (name, twins.get(name)) if other]
    for name in dict.fromkeys(wanted):
        if name in entries and entries[name].url:
            print(f"{name}: {_fetch_model(name, entries[name], folder)}")
        else:
            print(f"{name}: is included in edgepose")


def _fetch_model(name: str, entry: catalog.Entry, folder: Path) -> Path:
    from tqdm import tqdm

    from edgepose.models import download

    quiet = not sys.stderr.isatty()
    with tqdm(total=entry.bytes, unit="B", unit_scale=True, desc=name, disable=quiet) as bar:
        return download.fetch(name, entry, folder, lambda here: bar.update(here - bar.n) and None)


def choose(file: Path | None, *, as_json: bool, anew: bool) -> str:
    """Measure the models that have no timing yet; return what `auto` selects and why."""
    import msgspec

    from edgepose.camera.build import total_fps
    from edgepose.config import loading
    from edgepose.pose.selection import ModelSelector
    from edgepose.system import storage
    from edgepose.timing import Clock

    config = loading.load_with_overrides(file, model="auto")
    selector = ModelSelector(storage.state_directory(config.device.id), Clock())
    if anew:
        selector.forget_timings()
    plan = selector.plan(config, total_fps(config))
    if not as_json:
        return _explain_choice(selector, plan)
    judged = [row._asdict() for row in selector.rows]
    answer = {"model": plan.model, "why": plan.model_reason, "delegate": plan.delegate.name}
    answer |= {"arrangement": str(plan.arrangement), "arrangement_why": plan.arrangement_reason}
    return json.dumps(msgspec.to_builtins(answer | {"delegate_why": plan.reason, "rows": judged}))


def _explain_choice(selector: "ModelSelector", plan: "Plan") -> str:
    from edgepose.pose.selection import accuracies

    width = max(len(row.model) for row in selector.rows)
    lines = [f"{'NAME':<{width}}  {'ON':<8}  {'AP':>5}  {'MS':>7}  VERDICT"]
    for row in selector.rows:
        ms = "" if row.ms is None else f"{row.ms:.1f}"
        lines.append(
            f"{row.model:<{width}}  {row.delegate:<8}  {row.accuracy:5.1f}  {ms:>7}  {row.verdict}"
        )
    lines += ["", f"{plan.model} on {plan.delegate.name}", plan.model_reason, plan.reason]
    lines.append(f"interpreters x threads: {plan.arranged}")
    lines.append(f"AP: {accuracies().pictures}")
    return "\n".join(lines)


def describe(name: str) -> dict[str, Any]:
    """Return the metadata of a model's files as JSON-serialisable data."""
    model_set = catalog.model_set(name)
    if model_set.refiner is None:
        return _describe_choice(model_set.detectors[0])
    pair = catalog.PRESETS.get(name)
    return {
        "name": name,
        "family": "pair",
        "description": pair.description if pair else "",
        "finders": [_describe_choice(choice) for choice in model_set.detectors],
        "looker": _describe_choice(model_set.refiner),
    }


def _describe_choice(choice: catalog.Choice) -> dict[str, Any]:
    content = catalog.read_file(choice.path)
    info = models.read(content, choice.name)
    return {
        "name": choice.name,
        "file": str(choice.path),
        "bytes": len(content),
        "sha256": hashlib.sha256(content).hexdigest(),
        "family": _family_of(content, choice.name),
        "input": f"{choice.size.height}x{choice.size.width}" if choice.size else "",
        "inputs": [asdict(tensor) for tensor in info.inputs],
        "outputs": [asdict(tensor) for tensor in info.outputs],
        "decoded": [asdict(tensor) for tensor in _decoded_tensors(content, info)],
        "custom_ops": list(info.custom_ops),
    }


def _family_of(content: bytes, name: str) -> str:
    try:
        decoder: Decoder
        info: ModelInfo
        _, info, decoder = decoders.load(content, name)
    except ModelError as error:
        return f"none ({error})"
    return decoder.family if not info.custom_ops else f"{decoder.family}, for the Edge TPU"


def _decoded_tensors(content: bytes, info: ModelInfo) -> tuple[TensorInfo, ...]:
    """Return the decoded tensors, if a custom operator was removed; else empty."""
    try:
        taken = decoders.load(content, info.name).model.outputs
    except ModelError:
        return ()
    return () if taken == info.outputs else taken


def page(description: dict[str, Any]) -> str:
    """Return the result of `describe` as readable text."""
    if "looker" not in description:
        return _render_page(description)
    pages = [_render_page(found) for found in [*description["finders"], description["looker"]]]
    head = (
        f"{description['name']}: {len(pages)} models; the last one refines the people that"
        " the others find"
    )
    return "\n\n".join([head, *pages])


def _render_page(description: dict[str, Any]) -> str:
    lines = [
        f"{description['name']}: {description['family']}",
        f"  file        {description['file']}",
        f"  size        {description['bytes']:,} bytes",
        f"  sha256      {description['sha256']}",
    ]
    for kind, title in (("inputs", "input"), ("outputs", "output"), ("decoded", "decoded")):
        for position, tensor in enumerate(description[kind]):
            lines.append(f"  {title:<7} {position}   {_describe_tensor(TensorInfo(**tensor))}")
    if description["input"]:
        lines.append(f"  used at     {description['input']}, height x width")
    if ops := description["custom_ops"]:
        lines.append(f"  custom ops  {', '.join(ops)}")
    return "\n".join(lines)


def _describe_tensor(tensor: TensorInfo) -> str:
    shape = " x ".join("any" if side < 0 else str(side) for side in tensor.shape)
    text = f"{shape or 'of no fixed shape,'} {tensor.dtype}"
    if tensor.shape != tensor.default_shape:
        text += f", {' x '.join(map(str, tensor.default_shape))} if nothing is set"
    if tensor.quantisation is not None:
        scale, zero_point = tensor.quantisation
        text += f", real = {scale:.6g} * (stored - {zero_point})"
    return f"{text}   {tensor.name}"


def _preset_entry(name: str) -> catalog.Entry:
    """Return a catalogue entry for a preset of several models."""
    pair, entries = catalog.PRESETS[name], catalog.entries()
    files = {choice.path: choice for choice in catalog.model_set(name).members}
    licences = sorted({entries[choice.name.partition("@")[0]].licence for choice in files.values()})
    return catalog.Entry(
        file="",
        sha256="",
        bytes=sum(path.stat().st_size for path in files),
        family="pair",
        people="many",
        min_pose_score=catalog.REFINED_SCORE,
        licence=", ".join(licences),
        origin="",
        description=f"{pair.description}: {pair.models}",
    )


def _render_table(rows: dict[str, catalog.Entry]) -> str:
    width = max(len(name) for name in rows)
    head = f"{'NAME':<{width}}  {'FAMILY':<7}  {'PEOPLE':<6}  {'MB':>4}  {'LICENCE':<10}"
    lines = [f"{head}  {'SHA-256':<12}  {'HERE':<5}  WHAT IT IS"]
    for name, entry in rows.items():
        here = "yes" if entry.path else "fetch"
        lines.append(
            f"{name:<{width}}  {entry.family:<7}  {entry.people:<6}  {entry.bytes / 1e6:4.1f}  "
            f"{entry.licence:<10}  {entry.sha256[:12]:<12}  {here:<5}  {_describe_entry(entry)}"
        )
    lines += ["", f"fetch: edgepose models fetch NAME puts it into {catalog.folders()[0]}"]
    return "\n".join(lines)


def _describe_entry(entry: catalog.Entry) -> str:
    return f"{entry.description}; on the CPU: {entry.cpu}" if entry.cpu else entry.description


def _path_of(entry: catalog.Entry) -> str:
    return str(entry.path) if entry.file and entry.path else ""


def _as_json(rows: dict[str, catalog.Entry]) -> str:
    import msgspec

    listed = {
        name: msgspec.to_builtins(entry)
        | {"edgetpu": catalog.for_edgetpu(name) or "", "path": _path_of(entry)}
        for name, entry in rows.items()
    }
    return json.dumps(listed, indent=2)
