"""Check, show or start a configuration file."""

import argparse
import sys
import tomllib
from pathlib import Path
from typing import Final

import msgspec

from edgepose import urls
from edgepose.commands import count
from edgepose.config import files, loading, reference, toml
from edgepose.config.loading import DEFAULT_FILE, Origin
from edgepose.config.schema import Config, Model
from edgepose.errors import ConfigError, UsageError, in_words
from edgepose.urls import redact

STDOUT: Final = Path("-")
AUTO: Final = "auto"
DEMO: Final = "demo://"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments."""
    verbs = parser.add_subparsers(metavar="check|show|init|schema|docs", required=True)

    check = verbs.add_parser("check", help="check a file")
    check.set_defaults(verb=_check_file)
    show = verbs.add_parser("show", help="print all values, defaults included")
    show.set_defaults(verb=_show_config)
    init = verbs.add_parser("init", help="write a commented file to start from")
    init.set_defaults(verb=_write_config)
    for verb in (check, show, init):
        verb.add_argument(
            "file",
            nargs="?",
            type=Path,
            default=DEFAULT_FILE,
            metavar="FILE",
            help=f"default {DEFAULT_FILE}",
        )
    init.add_argument(
        "--source",
        default=DEMO,
        metavar="URI",
        help="source of the camera; auto: the first camera found",
    )
    init.add_argument("--broker", default="", metavar="URL", help="address of the broker")
    init.add_argument("--force", action="store_true", help="overwrite an existing file")

    schema = verbs.add_parser("schema", help="print the JSON Schema of the file")
    schema.set_defaults(verb=_print_schema)
    docs = verbs.add_parser("docs", help="print the reference of all keys, in Markdown")
    docs.set_defaults(verb=_print_docs)


def run(args: argparse.Namespace) -> int:
    """Run the subcommand."""
    args.verb(args)
    return 0


def _check_file(args: argparse.Namespace) -> None:
    found = loading.load(args.file)
    loading.require_cameras(found, args.file)
    check(found, Origin(file=str(args.file)))
    print(f"{args.file}: good")
    print(summary(found))
    print(f"whether cameras and broker are there: edgepose doctor -c {args.file}")


def _show_config(args: argparse.Namespace) -> None:
    print(toml.dump(loading.redacted(loading.load(args.file))), end="")


def _write_config(args: argparse.Namespace) -> None:
    source = _source_of(args.source)
    text = reference.starter(source, args.broker)
    _check_starter(text, source)
    if args.file == STDOUT:
        print(text, end="")
    else:
        _write_file(args.file, text, force=args.force)
        print(f"{args.file}: written; next: edit it, then edgepose config check {args.file}")
    if source == DEMO:
        why = "no camera was found" if args.source == AUTO else "no --source was given"
        print(
            f"{why}: the file has the bundled clip, which is no camera; edgepose doctor looks for"
            " cameras, and --source auto takes the first",
            file=sys.stderr,
        )


def _check_starter(text: str, source: str) -> None:
    """Raise if `config check` would refuse the source or broker in the new file."""
    from edgepose.camera import sources

    sources.check(source)
    for problem in loading.validate(tomllib.loads(text))[1]:
        msg = f"config init: {problem.message}"
        raise UsageError(msg)


def _source_of(asked: str) -> str:
    """Replace `auto` by the first attached camera, or by the demo clip without a camera."""
    if asked != AUTO:
        return asked
    from edgepose.camera.sources import (
        picamera2,
        v4l2,  # late, as it imports OpenCV
    )

    return next(iter([*picamera2.attached(), *v4l2.attached()]), DEMO)


def _print_schema(args: argparse.Namespace) -> None:
    text = msgspec.json.format(msgspec.json.encode(reference.schema()), indent=2)
    sys.stdout.write(text.decode() + "\n")


def _print_docs(args: argparse.Namespace) -> None:
    print(reference.markdown(), end="")


def check(found: Config, origin: Origin) -> None:
    """Raise for what `edgepose run` refuses and for unusable files. Opens no camera.

    Raises
    ------
    ConfigError, ModelError, UsageError, SourceError
        As `edgepose run` does.
    """
    from edgepose.camera import sources
    from edgepose.web import requirements

    for problem in files.missing_files(found):
        raise ConfigError(origin.line(problem.path) + problem.message)
    with loading.with_config_location(origin):
        check_broker(found)
        if bad := requirements.bad_certificate(found):
            raise ConfigError(bad, ("web", "cert_file"))
    with loading.with_config_location(origin, "model", "name"):
        check_model(found.model)
    sources.check_all(found, origin)
    sources.check_paths(found, origin)


def check_broker(found: Config) -> None:
    """Raise `ConfigError` if a password or certificate file is invalid."""
    from edgepose.mqtt.options import BrokerOptions

    if not urls.broker(found.mqtt.url).embedded:
        BrokerOptions.from_config(found)


def check_model(model: Model) -> None:
    """Raise if the model is unknown, not downloaded or invalid, or does not suit the policy."""
    from edgepose.models import catalog
    from edgepose.pose import decoders, policies

    if model.name == "auto":
        return
    model_set = catalog.model_set(model.name)
    if model.policy == "refine":
        model_set = model_set.with_refiner()
    members = [decoders.load(catalog.read_file(it.path), it.name) for it in model_set.members]
    one = [member.decoder.people == 1 for member in members]
    policies.choose(model.policy, model_set.name, one, refines=model_set.refiner is not None)


def summary(found: Config) -> str:
    """Return a few lines that summarise the configuration."""
    zones = sum(len(camera.zones) for camera in found.cameras)
    cameras = [f"  {camera.id}: {redact(camera.source)}" for camera in found.cameras]
    discovery = "on" if found.homeassistant.discovery else "off"
    return "\n".join(
        [
            f"device {found.device.id}, model {found.model.name}, {count(zones, 'zone')}",
            f"broker {redact(found.mqtt.url)}, Home Assistant discovery {discovery}",
            f"{count(len(found.cameras), 'camera')}:",
            *cameras,
        ]
    )


def _write_file(file: Path, text: str, *, force: bool) -> None:
    """Write the file; with `force` an existing file is replaced atomically."""
    try:
        file.parent.mkdir(exist_ok=True)
        if force:
            new = file.with_name(f".{file.name}.new")
            new.write_text(text, encoding="utf-8")
            new.replace(file)
        else:
            with file.open("x", encoding="utf-8") as stream:
                stream.write(text)
    except OSError as error:
        if file.is_file() and not force:
            msg = f"{file}: exists already; --force overwrites it"
        else:
            msg = f"{file}: cannot be written: {in_words(error)}; name a file this user may write"
        raise UsageError(msg) from None
