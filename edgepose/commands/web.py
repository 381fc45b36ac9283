"""Give other machines access to the page and its API.

A token is needed where web.listen is open to other machines, or where a proxy forwards
requests. It is printed once; only a hash is stored. A new token replaces the old one and
ends its sessions. The token made with --read-only is for programs: it gives access only
to the API below /api/v1/.
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
    """Add the command's arguments."""
    verbs = parser.add_subparsers(metavar="token", required=True)
    token = verbs.add_parser("token", help="create a token and print it")
    token.add_argument(
        "--read-only", action="store_true", help="a token for programs, valid for /api/v1/ only"
    )
    add_config(token)


def run(args: argparse.Namespace) -> int:
    """Create a token and print it on a line of its own."""
    file = _state_folder_of(args.config) / (tokens.READ_FILE if args.read_only else tokens.FILE)
    try:
        token = tokens.make(file)
    except OSError as error:
        msg = f"{file}: cannot be written: {error.strerror}; run this as the daemon's user, or root"
        raise UsageError(msg) from None
    print(token)
    print(f"It is not shown again; its hash is in {file}.", file=sys.stderr)
    if not args.read_only:
        note = "If the page was not served for lack of a token: systemctl reload edgepose"
        print(note, file=sys.stderr)
    return 0


def _state_folder_of(file: Path | None) -> Path:
    """Return the state folder of the daemon that uses this configuration."""
    of_service = file in {None, DEFAULT_FILE} and os.geteuid() == 0 and catalog.SYSTEM.is_dir()
    if of_service and not os.environ.get(storage.VARIABLE):
        return catalog.SYSTEM
    config = load(file or DEFAULT_FILE) if file or DEFAULT_FILE.is_file() else Config()
    folder = storage.state_directory(config.device.id)
    if folder is None:
        msg = f"there is no folder for the token; set {storage.VARIABLE} to a folder"
        raise UsageError(msg)
    return folder
