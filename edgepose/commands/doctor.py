"""Check everything the daemon needs, and say what to do about what is amiss."""

import argparse
import sys
from collections.abc import Iterator
from pathlib import Path

import msgspec

from edgepose import doctor, hatch, logs
from edgepose.config import DEFAULT_FILE
from edgepose.messages import Finding, Report

INDENT = " " * 6


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Say which arguments there are."""
    parser.add_argument("-c", "--config", type=Path, metavar="FILE", help="configuration file")
    parser.add_argument("--json", action="store_true", help="for programs, and for support")


def run(args: argparse.Namespace) -> int:
    """Print each finding as soon as it is there; 1 if anything fails."""
    logs.configure("debug" if args.debug else "error")  # what is amiss is a finding
    findings = []
    for finding in _findings(args.config):
        findings.append(finding)
        if not args.json:
            print(line(finding), flush=True)
    report = Report.of(findings)
    if args.json:
        text = msgspec.json.format(msgspec.json.encode(report), indent=2).decode()
        sys.stdout.write(text + "\n")
    return 0 if report.ok else 1


def _findings(file: Path | None) -> Iterator[Finding]:
    """Ask the service if it runs, and look at everything ourselves if not."""
    told = hatch.ask() if file in {None, DEFAULT_FILE} else None
    yield from doctor.examine(file) if told is None else told.findings


def line(finding: Finding) -> str:
    """Write one finding for people, and below it what to do."""
    text = f"{finding.verdict:<{len(INDENT)}}{finding.check}: {finding.found}"
    return f"{text}\n{INDENT}-> {finding.mend}" if finding.mend else text
