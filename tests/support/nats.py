"""A cluster of three nats-servers on loopback, configured by the example in `deploy/nats`."""

import os
import random
import shutil
import signal
import subprocess
import urllib.request
from contextlib import ExitStack
from http import HTTPStatus
from pathlib import Path
from typing import Final, Self

import pytest

from tests.support.brokers import wait_until

NATS: Final = shutil.which("nats-server", path=f"{os.environ.get('PATH', '')}:/usr/sbin")
DEPLOY: Final = Path(__file__).parents[2] / "deploy" / "nats"

needs_nats = pytest.mark.skipif(
    NATS is None, reason="no nats-server here: sh tests/support/install-nats.sh"
)


class Node:
    """One node: an address of its own with the usual ports, so that the example fits unchanged."""

    def __init__(self, folder: Path, name: str, address: str) -> None:
        self.name, self.address = name, address
        self.log = folder / f"{name}.log"
        self._folder = folder
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int:
        """Return the id of the running process."""
        assert self._process is not None
        return self._process.pid

    def start(self) -> None:
        """Start it, or restart it with its state on disk."""
        assert NATS is not None
        state = self._folder / self.name
        state.mkdir(exist_ok=True)
        told = {"NODE": self.name, "ADDRESS": self.address, "STATE_DIRECTORY": str(state)}
        self._process = subprocess.Popen(
            [NATS, "-c", self._folder / "node.conf", "-l", self.log, "-m", "8222"],
            env=os.environ | told,
        )

    @property
    def whole(self) -> bool:
        """Return whether it runs and is in sync with the other nodes."""
        try:
            with urllib.request.urlopen(f"http://{self.address}:8222/healthz", timeout=5) as answer:
                return bool(answer.status == HTTPStatus.OK)
        except OSError:
            return False

    def kill(self) -> None:
        """End it with SIGKILL."""
        assert self._process is not None
        self._process.send_signal(signal.SIGKILL)
        self._process.wait(10)
        self._process = None

    def close(self) -> None:
        """End it if it runs."""
        if self._process is not None:
            self.kill()


class Cluster:
    """Three nodes, and the `mqtt.url` of a device for them."""

    def __init__(self, folder: Path, users: dict[str, str]) -> None:
        # All of 127/8 is this machine: tests that run in parallel use other addresses.
        block = f"127.{random.randrange(1, 255)}.{random.randrange(256)}"
        self.nodes = [Node(folder, f"broker-{n}", f"{block}.{n}") for n in (1, 2, 3)]
        self.url = "mqtt://" + ",".join(node.address for node in self.nodes)
        shutil.copy(DEPLOY / "node.conf", folder)
        routes = ", ".join(f'"nats://{node.address}:6222"' for node in self.nodes)
        (folder / "routes.conf").write_text(f"routes: [{routes}]\n")
        given = "".join(f"{name} {password}\n" for name, password in users.items())
        made = subprocess.run(
            ["sh", DEPLOY / "users.sh"], input=given, capture_output=True, text=True, check=True
        )
        (folder / "users.conf").write_text(made.stdout)

    def __enter__(self) -> Self:
        with ExitStack() as stack:
            for node in self.nodes:
                stack.callback(node.close)
                node.start()
            assert wait_until(self._ready, 30), self.nodes[0].log.read_text()[-2000:]
            self._close = stack.pop_all()
        return self

    def _ready(self) -> bool:
        """Return whether the nodes have found each other and elected a leader."""
        logs = [node.log.read_text() if node.log.exists() else "" for node in self.nodes]
        agreed = any("JetStream cluster new metadata leader" in text for text in logs)
        return agreed and all(node.whole for node in self.nodes)

    @property
    def pids(self) -> list[int]:
        """Return the ids of all processes."""
        return [node.pid for node in self.nodes]

    def __exit__(self, *_: object) -> None:
        self._close.close()
