"""Run the daemon in the foreground: process the cameras and publish results over MQTT."""

import argparse
import logging
import os
import signal
import sys
from contextlib import suppress
from pathlib import Path
from typing import Final

from edgepose.commands import add_config
from edgepose.config.loading import Origin
from edgepose.system import logs

SWITCH_S: Final = 0.0005  # seconds; Python's default of 5 ms delays the inference thread


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments."""
    add_config(parser)
    parser.add_argument("--source", metavar="URI", default="", help="use this source instead")
    parser.add_argument("--model", metavar="NAME", default="", help="use this model")
    parser.add_argument("--mqtt", metavar="URL", default="", help="use this broker")
    parser.add_argument("--once", action="store_true", help="stop at the end of a finite source")


def run(args: argparse.Namespace) -> int:
    """Run until stopped by a signal or, with --once, until the sources end."""
    origin = Origin(
        file=str(args.config or ""),
        source=args.source,
        model=args.model,
        mqtt=args.mqtt,
        debug=args.debug,
    )
    config = origin.read()
    logs.configure(config.log.level, config.log.format)
    sys.setswitchinterval(SWITCH_S)

    from edgepose.system import process

    process.configure_malloc()
    # imported after the check of the configuration: these imports take most of the start
    from edgepose.pose import preprocess
    from edgepose.service.daemon import Daemon

    preprocess.use_one_thread()
    daemon = Daemon(config, once=args.once, origin=origin)
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: daemon.stop())
    signal.signal(signal.SIGHUP, lambda *_: daemon.reload())
    try:
        daemon.run()
    finally:
        if daemon.stuck:
            # A normal exit would wait for the hung library, or crash in it.
            logging.shutdown()
            if not daemon.state.restart_requested.is_set():
                os._exit(int(daemon.state.failure.error is not None))
    if daemon.state.restart_requested.is_set():
        restart_process()
    return 0


def restart_process() -> None:
    """Replace the process by a new one with the same command line; the process id remains.

    So service managers, containers and terminals do not treat the restart as an exit.
    """
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, signal.SIG_DFL)  # until the new process handles them
    sys.stdout.flush()
    logging.shutdown()
    for entry in Path("/proc/self/fd").iterdir():
        if int(entry.name) > sys.stderr.fileno():
            with suppress(OSError):
                os.set_inheritable(int(entry.name), False)
    os.execv(sys.executable, [sys.executable, *sys.orig_argv[1:]])
