"""Watch the cameras and say over MQTT what is seen: the daemon, in the foreground."""

import argparse
import logging
import os
import signal
import sys
from typing import Final

from edgepose.commands import add_config
from edgepose.config.loading import Origin
from edgepose.system import logs

SWITCH_S: Final = 0.0005  # the engine's thread must not wait 5 ms for another one's Python


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare what the command takes."""
    add_config(parser)
    parser.add_argument("--source", metavar="URI", default="", help="look at this instead")
    parser.add_argument("--model", metavar="NAME", default="", help="with this model")
    parser.add_argument("--mqtt", metavar="URL", default="", help="speak to this broker")
    parser.add_argument("--once", action="store_true", help="stop at the end of a finite source")


def run(args: argparse.Namespace) -> int:
    """Run until stopped by a signal."""
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
    # after the configuration is known to be good: these imports take most of the start
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
            # The library that hangs would hold up the end, or crash it.
            logging.shutdown()
            os._exit(int(daemon.failed))
    return 0
