"""Check everything the daemon needs, and say what to do about what is amiss.

While the service runs it is asked. While it does not, root looks as the service would: as
its user, with its password for the broker and its state directory.
"""

import argparse
import os
import pwd
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Final, NoReturn

import msgspec

from edgepose.commands import add_config
from edgepose.config.loading import DEFAULT_FILE
from edgepose.doctor import checks, machine, report_socket
from edgepose.mqtt.messages import Finding, Report
from edgepose.system import logs

INDENT = " " * 6
USER: Final = "edgepose"
AS_SERVICE: Final = (
    "systemd-run --quiet --collect --pipe --wait"
    f" -p User={USER} -p StateDirectory={USER} -p UMask=0027"
    " -p LoadCredential=mqtt-password:edgepose.mqtt-password"
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Say which arguments there are."""
    add_config(parser)
    parser.add_argument("--json", action="store_true", help="for programs, and for support")


def run(args: argparse.Namespace) -> int:
    """Print each finding as soon as it is there; 1 if anything fails."""
    logs.configure("debug" if args.debug else "error")  # what is amiss is a finding
    findings = []
    for finding in _findings(args):
        findings.append(finding)
        if not args.json:
            print(line(finding), flush=True)
    report = Report.of(findings)
    if args.json:
        text = msgspec.json.format(msgspec.json.encode(report), indent=2).decode()
        sys.stdout.write(text + "\n")
    return 0 if report.ok else 1


def _findings(args: argparse.Namespace) -> Iterator[Finding]:
    """Ask the service if it runs, and look at everything ourselves if not."""
    of_service = args.config in {None, DEFAULT_FILE}
    told = report_socket.ask() if of_service else None
    if told is None and of_service and os.geteuid() == 0 and has_service():
        look_as_service(args)
    if of_service:
        yield from machine.service()
    yield from checks.run_checks(args.config) if told is None else told.findings


def has_service() -> bool:
    """Say whether the service may be installed: a service manager runs, and its user is there."""
    try:
        pwd.getpwnam(USER)
    except KeyError:
        return False
    return Path("/run/systemd/system").is_dir() and DEFAULT_FILE.exists()


def look_as_service(args: argparse.Namespace) -> NoReturn:
    """Become the same command, run by the service manager with what the service has."""
    words = ["--debug"] * args.debug + ["doctor"] + ["--json"] * args.json
    command = [*AS_SERVICE.split(), sys.executable, "-m", "edgepose", *words]
    os.execvp(command[0], command)


def line(finding: Finding) -> str:
    """Write one finding for people, and below it what to do."""
    text = f"{finding.verdict:<{len(INDENT)}}{finding.check}: {finding.found}"
    return f"{text}\n{INDENT}-> {finding.mend}" if finding.mend else text
