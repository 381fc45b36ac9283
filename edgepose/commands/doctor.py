"""Check everything that the daemon needs, and print how to fix what fails.

If the service runs, its own checks are printed. If it does not run, root checks as the
service's user, with the service's broker password and state directory.
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
    """Add the command's arguments."""
    add_config(parser)
    parser.add_argument(
        "--json", action="store_true", help="print JSON, for programs and for support"
    )


def run(args: argparse.Namespace) -> int:
    """Print each finding as soon as it is available; return 1 if any check fails."""
    logs.configure("debug" if args.debug else "error")  # warnings are printed as findings
    findings = []
    for finding in _all_findings(args):
        findings.append(finding)
        if not args.json:
            print(line(finding), flush=True)
    report = Report.from_findings(findings)
    if args.json:
        text = msgspec.json.format(msgspec.json.encode(report), indent=2).decode()
        sys.stdout.write(text + "\n")
    return 0 if report.ok else 1


def _all_findings(args: argparse.Namespace) -> Iterator[Finding]:
    """Yield the running service's findings; without one, run the checks here."""
    of_service = args.config in {None, DEFAULT_FILE}
    told = report_socket.ask() if of_service else None
    if told is None and of_service and os.geteuid() == 0 and has_service():
        look_as_service(args)
    if of_service:
        yield from machine.service()
    yield from checks.run_checks(args.config) if told is None else told.findings


def has_service() -> bool:
    """Return whether the service seems installed: systemd runs; user and configuration exist."""
    try:
        pwd.getpwnam(USER)
    except KeyError:
        return False
    return Path("/run/systemd/system").is_dir() and DEFAULT_FILE.exists()


def look_as_service(args: argparse.Namespace) -> NoReturn:
    """Replace this process by the same command, run by systemd as the service's user."""
    words = ["--debug"] * args.debug + ["doctor"] + ["--json"] * args.json
    command = [*AS_SERVICE.split(), sys.executable, "-m", "edgepose", *words]
    os.execvp(command[0], command)


def line(finding: Finding) -> str:
    """Return one finding as text, with its remedy on the next line."""
    text = f"{finding.verdict:<{len(INDENT)}}{finding.check}: {finding.found}"
    return f"{text}\n{INDENT}-> {finding.mend}" if finding.mend else text
