"""Show the real daemon at work: bundled clip, bundled model, and a broker of its own.

What is printed is what any MQTT client would receive. Ctrl-C ends all of it.
"""

import argparse
import signal
import subprocess
import sys

from edgepose.broker import EmbeddedBroker
from edgepose.commands import watch


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare what the command takes."""
    parser.add_argument("--source", metavar="URI", default="demo://", help="look at this instead")
    parser.add_argument("--model", metavar="NAME", default="auto", help="with this model")


def run(args: argparse.Namespace) -> int:
    """Start broker and daemon beside us, print what is published, and end them with us."""
    broker = EmbeddedBroker().start()
    words = ["run", "--source", args.source, "--model", args.model, "--mqtt", broker.url]
    daemon = subprocess.Popen([sys.executable, "-m", "edgepose", *words])
    # whoever stops us with `kill` means the whole demo
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        parser = argparse.ArgumentParser()
        watch.add_arguments(parser)
        return watch.run(parser.parse_args(["--mqtt", broker.url]))
    finally:
        daemon.terminate()
        daemon.wait()
        broker.close()
