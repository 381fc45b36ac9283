"""Run the daemon with the bundled clips and model and its own broker.

Prints the messages that any MQTT client would receive. The page shows them too, with the picture
and two zones; zones drawn there apply at once. Ctrl-C stops everything. If changes were saved on
the page, the configuration file is kept and its path is printed.
"""

import argparse
import itertools
import logging
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import Any, Final

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
DEMO: Final = "demo://"
KEPT: Final = Path("edgepose-demo.toml")
ZONES: Final = [
    {
        "id": "sofa",
        "kind": "rest",
        "polygon": [[0.2, 0.72], [0.45, 0.72], [0.45, 0.95], [0.2, 0.95]],
    },
    {"id": "door", "polygon": [[0.62, 0.52], [0.93, 0.52], [0.97, 0.76], [0.62, 0.76]]},
]
"""Zones of the bundled clip."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments."""
    parser.add_argument("--source", metavar="URI", default=DEMO, help="use this source instead")
    parser.add_argument("--model", metavar="NAME", default="auto", help="use this model")


def run(args: argparse.Namespace) -> int:
    """Start a daemon with its broker, print its messages, and stop it at the end."""
    sources.check(args.source)
    # SIGTERM must stop the daemon, too
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    with tempfile.TemporaryDirectory(prefix="edgepose-") as folder:
        file, broker = (
            Path(folder) / "demo.toml",
            _free_address("broker", Address(HOST, PORTS["mqtt"])),
        )
        page = _free_page()
        text = configuration(args.source, broker, page)
        file.write_text(text, encoding="utf-8")
        words = ["run", "-c", str(file), "--model", args.model]
        daemon = subprocess.Popen([sys.executable, "-m", "edgepose", *words])
        try:
            return _follow_daemon(daemon, broker, page)
        finally:
            daemon.terminate()
            daemon.wait()
            if file.read_text(encoding="utf-8") != text:
                print(keep_saved(file))


def configuration(source: str, broker: Address, page: Address) -> str:
    """Return the daemon's configuration as TOML: the cameras, and free ports."""
    metrics = address(Config().metrics.listen)
    assert metrics is not None
    return toml.dump(
        {
            "mqtt": {"url": f"embedded:{broker.port}"},
            "camera": _cameras(source),
            "web": {"listen": str(page), "picture": source == DEMO},
            "metrics": {"listen": str(_free_address("metrics", metrics))},
        }
    )


def _cameras(source: str) -> list[dict[str, Any]]:
    """Return the bundled clips as two cameras, or another source as one."""
    if source != DEMO:
        place = source if "://" in source else str(Path.cwd() / source)
        return [{"id": "camera", "source": place}]
    return [
        {"id": "camera", "name": "Living room", "source": DEMO, "zone": ZONES},
        {"id": "fall", "name": "A fall", "source": f"{DEMO}fall"},
    ]


def _free_page() -> Address:
    usual = address(Config().web.listen)
    assert usual is not None
    return _free_address("page", usual)


def keep_saved(file: Path) -> str:
    """Copy what was saved on the page to the current folder; return a sentence that says where."""
    numbered = (KEPT.with_stem(f"{KEPT.stem}{f'-{n}' if n else ''}") for n in itertools.count())
    kept = next(path for path in numbered if not path.exists())
    try:
        shutil.copyfile(file, kept)
    except OSError as error:
        return f"what was saved on the page is lost: {kept.absolute()}: {error.strerror}"
    return f"what was saved on the page is in {kept}; edgepose run -c {kept} starts with it"


def _free_address(what: str, usual: Address) -> Address:
    """Return the usual address, or one with a free port if the usual port is taken."""
    found = or_another(usual)
    if found != usual:
        log.warning("%s: port %d is in use; using %d", what, usual.port, found.port)
    return found


def _follow_daemon(daemon: subprocess.Popen[bytes], broker: Address, page: Address) -> int:
    """Print messages until Ctrl-C or the daemon's end; return its exit code, 0 for Ctrl-C."""
    try:
        while daemon.poll() is None and not _is_answering(broker):
            time.sleep(LOOK_S)
        with Subscription(f"mqtt://{broker}") as subscription:

            def close_after() -> None:
                daemon.wait()
                subscription.close()

            threading.Thread(target=close_after, daemon=True).start()
            watch.follow(subscription, f"page http://{page}  mqtt://{broker}")
    except KeyboardInterrupt:
        return 0
    return daemon.poll() or 0


def _is_answering(place: Address) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(place) == 0
