"""Run the daemon with the bundled clip and model and its own broker.

Prints the messages that any MQTT client would receive. The page shows them too; zones drawn
there apply at once. Ctrl-C stops everything. Settings are not stored.
"""

import argparse
import logging
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import Final

from edgepose.camera import sources
from edgepose.commands import watch
from edgepose.config import toml
from edgepose.config.schema import Config
from edgepose.mqtt.subscriber import Subscription
from edgepose.system.sockets import or_another
from edgepose.urls import PORTS, Address, address

log: Final = logging.getLogger(__name__)

HOST: Final = "127.0.0.1"
LOOK_S: Final = 0.1


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments."""
    parser.add_argument("--source", metavar="URI", default="demo://", help="look at this instead")
    parser.add_argument("--model", metavar="NAME", default="auto", help="with this model")


def run(args: argparse.Namespace) -> int:
    """Start a daemon with its broker, print its messages, and stop it at the end."""
    sources.check(args.source)
    # SIGTERM must stop the daemon, too
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    with tempfile.TemporaryDirectory(prefix="edgepose-") as folder:
        file, broker = Path(folder) / "demo.toml", _free("broker", Address(HOST, PORTS["mqtt"]))
        file.write_text(configuration(args.source, broker), encoding="utf-8")
        words = ["run", "-c", str(file), "--model", args.model]
        daemon = subprocess.Popen([sys.executable, "-m", "edgepose", *words])
        try:
            return _follow(daemon, broker)
        finally:
            daemon.terminate()
            daemon.wait()


def configuration(source: str, broker: Address) -> str:
    """Return the daemon's configuration as TOML: one camera, and free ports."""
    usual = Config()
    page, metrics = address(usual.web.listen), address(usual.metrics.listen)
    assert page is not None
    assert metrics is not None
    return toml.dump(
        {
            "mqtt": {"url": f"embedded:{broker.port}"},
            "camera": [
                {"id": "camera", "source": source if "://" in source else str(Path.cwd() / source)}
            ],
            "web": {"listen": str(_free("page", page))},
            "metrics": {"listen": str(_free("metrics", metrics))},
        }
    )


def _free(what: str, usual: Address) -> Address:
    """Return the usual address, or one with a free port if the usual port is taken."""
    found = or_another(usual)
    if found != usual:
        log.warning("%s: port %d is taken; taking %d", what, usual.port, found.port)
    return found


def _follow(daemon: subprocess.Popen[bytes], broker: Address) -> int:
    """Print messages until Ctrl-C or the daemon's end; return its exit code, 0 for Ctrl-C."""
    try:
        while daemon.poll() is None and not _answers(broker):
            time.sleep(LOOK_S)
        with Subscription(f"mqtt://{broker}") as subscription:

            def close_after() -> None:
                daemon.wait()
                subscription.close()

            threading.Thread(target=close_after, daemon=True).start()
            watch.follow(subscription, f"mqtt://{broker}")
    except KeyboardInterrupt:
        return 0
    return daemon.poll() or 0


def _answers(place: Address) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(place) == 0
