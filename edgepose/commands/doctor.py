"""Check everything the daemon needs, and say what to do about what is amiss."""

import argparse
import sys
from pathlib import Path

import msgspec

from edgepose import doctor, logs
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
    for finding in doctor.examine(args.config):
        findings.append(finding)
        if not args.json:
            print(line(finding), flush=True)
    report = Report.of(findings)
    if args.json:
        text = msgspec.json.format(msgspec.json.encode(report), indent=2).decode()
        sys.stdout.write(text + "\n")
    return 0 if report.ok else 1


def line(finding: Finding) -> str:
    """Write one finding for people, and below it what to do."""
    text = f"{finding.verdict:<{len(INDENT)}}{finding.check}: {finding.found}"
    return f"{text}\n{INDENT}-> {finding.mend}" if finding.mend else text
