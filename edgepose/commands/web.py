"""Open the daemon's page to other machines.

A token is needed where web.listen is beyond this machine, or a proxy is before it. It is
shown once; what is kept is a hash. A new one takes the place of the older, and whoever
is signed in has to sign in again.
"""

import argparse
import os
import sys
from pathlib import Path

from edgepose.commands import add_config
from edgepose.config.loading import DEFAULT_FILE, load
from edgepose.config.schema import Config
from edgepose.errors import UsageError
from edgepose.models import catalog
from edgepose.system import storage
from edgepose.web import tokens


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Say which arguments there are."""
    verbs = parser.add_subparsers(metavar="token", required=True)
    token = verbs.add_parser("token", help="make a token and print it")
    add_config(token)


def run(args: argparse.Namespace) -> int:
    """Make a token and print it, alone on its line."""
    file = _folder(args.config) / tokens.FILE
    try:
        token = tokens.make(file)
    except OSError as error:
        msg = f"{file}: cannot be written: {error.strerror}; run this as the daemon's user, or root"
        raise UsageError(msg) from None
    print(token)
    notes = (
        f"Write it down: it is not shown again; its hash is in {file}.",
        "A daemon that runs takes it with the next reload: systemctl reload edgepose",
    )
    print(*notes, sep="\n", file=sys.stderr)
    return 0


def _folder(file: Path | None) -> Path:
    """Return where the daemon of this configuration looks."""
    of_service = file in {None, DEFAULT_FILE} and os.geteuid() == 0 and catalog.SYSTEM.is_dir()
    if of_service and not os.environ.get(storage.VARIABLE):
        return catalog.SYSTEM
    config = load(file or DEFAULT_FILE) if file or DEFAULT_FILE.is_file() else Config()
    folder = storage.state_directory(config.device.id)
    if folder is None:
        msg = f"there is no place for a token; set {storage.VARIABLE} to a folder"
        raise UsageError(msg)
    return folder
