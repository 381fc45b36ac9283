"""The embedded broker: a small MQTT server in a process of its own, on the loopback only.

For trying things out and for a device without a house around it. It speaks MQTT
3.1.1, asks for no password, keeps nothing on disk and ends with its parent however
that ends. Run as a program it is the child: ``python -m edgepose.mqtt.embedded_broker [PORT]``.
"""

import asyncio
import logging
import os
import select
import signal
import socket
import subprocess
import sys
from importlib.util import find_spec
from typing import Any, Final, Self, cast

from edgepose import extras, urls
from edgepose.errors import ConfigError, EdgeposeError

log = logging.getLogger(__name__)

HOST: Final = "127.0.0.1"
USUAL_PORT: Final = urls.PORTS["mqtt"]
START_S: Final = 15.0  # takes 0.3 s; a Pi that boots may need longer
LOOK_S: Final = 1.0  # how often the child looks for its parent when the pipe cannot tell
PROTOCOL: Final = 4
"""What it speaks: MQTT 3.1.1."""


def missing_requirement() -> tuple[str, str] | None:
    """Return what the broker lacks and what to do; None where it can start."""
    if find_spec("amqtt") is None:
        return "the built-in broker needs amqtt", "pip install 'edgepose[broker]'"
    return None


class EmbeddedBroker:
    """The broker as its parent sees it; a context manager.

    Parameters
    ----------
    port : int, optional
        None: the usual port, or a free one when that is taken.
    """

    protocol: Final = PROTOCOL

    def __init__(self, port: int | None = None) -> None:
        self._wanted = port
        self._process: subprocess.Popen[str] | None = None
        self.port = 0

    @classmethod
    def from_url(cls, url: str) -> Self:
        """Read ``embedded`` or ``embedded:PORT``."""
        return cls(urls.broker(url).port)

    @property
    def url(self) -> str:
        """Where clients find it."""
        return f"mqtt://{HOST}:{self.port}"

    def start(self) -> Self:
        """Start it and wait until it listens.

        Raises
        ------
        ConfigError
            When the library is not installed or the port that was asked for is taken.
        """
        if find_spec("amqtt") is None:
            msg = (
                f"mqtt.url: the embedded broker is not installed; {extras.install('broker')},"
                " or give the url of another broker"
            )
            raise ConfigError(msg)
        command = [sys.executable, "-m", "edgepose.mqtt.embedded_broker", str(self._wanted or "")]
        # In a session of its own, so that Ctrl-C reaches us first and our goodbye reaches it.
        self._process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
        self.port = self._await_port(self._process)
        if self._wanted is None and self.port != USUAL_PORT:
            log.warning("broker: port %d is taken; taking %d", USUAL_PORT, self.port)
        log.info("broker: the embedded broker listens at %s", self.url)
        return self

    def _await_port(self, process: subprocess.Popen[str]) -> int:
        assert process.stdout is not None
        ready, _, _ = select.select([process.stdout], [], [], START_S)
        word = process.stdout.readline().strip() if ready else ""
        if word.isdecimal():
            return int(word)
        self.close()
        if word == "taken":
            msg = f"mqtt.url: port {self._wanted} is taken; name another, or none for any"
            raise ConfigError(msg)
        msg = "broker: the embedded broker did not start; edgepose --debug tells more"
        raise EdgeposeError(msg)

    def close(self) -> None:
        """End it; twice is fine."""
        process, self._process = self._process, None
        if process is None:
            return
        process.terminate()
        try:
            process.wait(2)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        for pipe in (process.stdin, process.stdout):
            if pipe is not None:
                pipe.close()

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.close()


def _free(port: int) -> int | None:
    """Return the port if nobody has it (0: any that nobody has)."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except OSError:
            return None
        found: int = probe.getsockname()[1]
        return found


async def _listen(port: int) -> Any:
    from amqtt.broker import Broker
    from amqtt.mqtt.connect import ConnectPacket, ConnectPayload

    class OldConnect(ConnectPayload):  # type: ignore[misc]  # the library has no types
        """Leaves unread what newer clients lay out otherwise: they are refused, and speak 3.1.1.

        That of amqtt 0.12 takes it for a very long name, and waits for its end.
        """

        @classmethod
        async def from_stream(cls, reader: Any, fixed: Any, variable: Any) -> Self:
            if variable.proto_level != PROTOCOL:
                return cls("newer", "", b"")
            return cast(Self, await super().from_stream(reader, fixed, variable))

    ConnectPacket.PAYLOAD = OldConnect

    class OwnMessagesOnly(Broker):  # type: ignore[misc]  # the library has no types
        """Gives a client the retained messages that it subscribes to.

        That of amqtt 0.12 gives each one that connects those that others subscribe
        to as well.
        """

        async def _publish_retained_messages_for_subscription(
            self, subscription: tuple[str, int], session: Any
        ) -> None:
            subscribers = self._subscriptions.get(subscription[0], ())
            if any(subscriber is session for subscriber, _ in subscribers):
                await super()._publish_retained_messages_for_subscription(subscription, session)

    plugins = {"amqtt.plugins.authentication.AnonymousAuthPlugin": {"allow_anonymous": True}}
    listener = {"type": "tcp", "bind": f"{HOST}:{port}"}
    broker = OwnMessagesOnly({"listeners": {"default": listener}, "plugins": plugins})
    await broker.start()
    return broker


async def _parent_gone(parent: int) -> None:
    """Wait for the end of the parent.

    Its end of our input closes with it, unless a child that it forked holds that
    open: so we also look who our parent is.
    """
    gone = asyncio.Event()
    asyncio.get_running_loop().add_reader(sys.stdin, gone.set)
    while os.getppid() == parent and not gone.is_set():
        try:
            await asyncio.wait_for(gone.wait(), LOOK_S)
        except TimeoutError:
            continue


async def _serve(wanted: int | None) -> int:
    parent = os.getppid()
    port = _free(USUAL_PORT if wanted is None else wanted)
    if port is None and wanted is None:
        port = _free(0)
    if port is None:
        print("taken", flush=True)  # noqa: T201
        return 1
    await _listen(port)
    print(port, flush=True)  # noqa: T201
    await _parent_gone(parent)
    return 0


def main(arguments: list[str]) -> int:
    """Serve until the parent is gone."""
    # What it says of each client is of no use to anybody who only tries things out.
    logging.disable(logging.CRITICAL)
    signal.signal(signal.SIGTERM, lambda *_: os._exit(0))
    wanted = int(arguments[0]) if arguments and arguments[0] else None
    code = asyncio.run(_serve(wanted))
    # Nothing is kept, so nothing needs tidying up: clients see the end at once.
    os._exit(code)


if __name__ == "__main__":
    main(sys.argv[1:])
