"""The embedded broker: a small MQTT server on the loopback interface, in a child process.

It is meant for trying edgepose and for a device without a network. It requires no password,
stores nothing on disk and ends with its parent, also after a crash. It is mosquitto if that is
installed, else amqtt, which supports only MQTT 3.1.1. The child process is this module:
``python -m edgepose.mqtt.embedded_broker PORT [MOSQUITTO]``.
"""

import logging
import os
import select
import shutil
import signal
import socket
import subprocess
import sys
import time
from importlib.util import find_spec
from typing import Any, Final, NoReturn, Self, cast

from edgepose import extras, urls
from edgepose.errors import ConfigError, EdgeposeError

log = logging.getLogger(__name__)

HOST: Final = "127.0.0.1"
USUAL_PORT: Final = urls.PORTS["mqtt"]
START_S: Final = 15.0  # usually takes 0.3 s; longer while a Pi boots
CHECK_S: Final = 1.0  # interval at which the child checks the id of its parent
POLL_S: Final = 0.02
PATH: Final = f"{os.environ.get('PATH', '')}:/usr/sbin"  # Debian's mosquitto; not in users' PATH
AMQTT_PROTOCOL: Final = 4  # MQTT 3.1.1


def find_mosquitto() -> str | None:
    """Return the path of mosquitto; None if it is not installed."""
    return shutil.which("mosquitto", path=PATH)


def missing_requirement() -> tuple[str, str] | None:
    """Return what the broker lacks and the remedy; None if it can start."""
    if find_mosquitto() is not None or find_spec("amqtt") is not None:
        return None
    remedy = f"sudo apt install mosquitto, or {extras.install('broker')}"
    return "the built-in broker needs mosquitto or amqtt", remedy


class EmbeddedBroker:
    """Starts and stops the broker; a context manager.

    Parameters
    ----------
    port : int, optional
        None: the default port, or a free one if that is in use.
    """

    def __init__(self, port: int | None = None) -> None:
        self._wanted = port
        self._mosquitto = find_mosquitto()
        self.protocol = AMQTT_PROTOCOL if self._mosquitto is None else 5
        self._process: subprocess.Popen[str] | None = None
        self.port = 0

    @classmethod
    def from_url(cls, url: str) -> Self:
        """Read ``embedded`` or ``embedded:PORT``."""
        return cls(urls.broker(url).port)

    @property
    def url(self) -> str:
        """URL for clients."""
        return f"mqtt://{HOST}:{self.port}"

    def start(self) -> Self:
        """Start the broker and wait until it listens.

        Raises
        ------
        ConfigError
            When neither program is installed, or the requested port is in use.
        """
        missing = missing_requirement()
        if missing is not None:
            msg = f"mqtt.url: {missing[0]}; {missing[1]}, or give the url of another broker"
            raise ConfigError(msg)
        wanted = "" if self._wanted is None else str(self._wanted)
        child = [sys.executable, "-m", "edgepose.mqtt.embedded_broker", wanted]
        command = [*child, *([self._mosquitto] if self._mosquitto else [])]
        # In its own session: Ctrl-C must not end it before the daemon has disconnected.
        self._process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
        self.port = self._await_port(self._process)
        if self._wanted is None and self.port != USUAL_PORT:
            log.warning("broker: port %d is in use; using %d", USUAL_PORT, self.port)
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
            msg = f"mqtt.url: port {self._wanted} is in use; choose another, or none for any"
            raise ConfigError(msg)
        msg = "broker: the embedded broker did not start; --debug shows details"
        raise EdgeposeError(msg)

    def close(self) -> None:
        """Stop the broker. May be called twice."""
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


def _free_port(port: int) -> int | None:
    """Return the port if it is free (0: any free port); else None."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except OSError:
            return None
        found: int = probe.getsockname()[1]
        return found


async def _listen_on(port: int) -> Any:
    from amqtt.broker import Broker
    from amqtt.mqtt.connect import ConnectPacket, ConnectPayload

    class OldConnect(ConnectPayload):  # type: ignore[misc]  # the library has no types
        """Does not read connect payloads of other MQTT versions: such clients are refused.

        amqtt 0.12 misreads the MQTT 5 payload as a very long string and waits for its end. A
        refused client falls back to 3.1.1.
        """

        @classmethod
        async def from_stream(cls, reader: Any, fixed: Any, variable: Any) -> Self:
            if variable.proto_level != AMQTT_PROTOCOL:
                return cls("newer", "", b"")
            return cast(Self, await super().from_stream(reader, fixed, variable))

    ConnectPacket.PAYLOAD = OldConnect

    class OwnMessagesOnly(Broker):  # type: ignore[misc]  # the library has no types
        """Sends a client only the retained messages that it subscribes to.

        amqtt 0.12 also sends each new client those that other clients subscribe to.
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
    """Wait for the end of the parent process.

    The pipe to standard input closes with the parent, unless another child of it keeps the pipe
    open. So the parent's process id is checked as well.
    """
    import asyncio

    gone = asyncio.Event()
    asyncio.get_running_loop().add_reader(sys.stdin, gone.set)
    while os.getppid() == parent and not gone.is_set():
        try:
            await asyncio.wait_for(gone.wait(), CHECK_S)
        except TimeoutError:
            continue


def _choose_port(wanted: int | None) -> int | None:
    """Return the port to use; None if the requested one is in use."""
    if wanted is not None:
        return _free_port(wanted)
    return _free_port(USUAL_PORT) or _free_port(0)


async def _serve_amqtt(port: int) -> None:
    parent = os.getppid()
    await _listen_on(port)
    print(port, flush=True)  # noqa: T201
    await _parent_gone(parent)


def _serve_mosquitto(program: str, port: int) -> None:
    """Run mosquitto until the parent ends. Without a file it listens on the loopback only."""
    parent = os.getppid()
    broker = subprocess.Popen(
        [program, "-p", str(port)],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    signal.signal(signal.SIGTERM, lambda *_: _stop_broker(broker))
    while not _is_answering(port) and broker.poll() is None:
        time.sleep(POLL_S)
    if broker.poll() is None:
        print(port, flush=True)  # noqa: T201
    while os.getppid() == parent and broker.poll() is None:
        if select.select([sys.stdin], [], [], CHECK_S)[0]:
            break
    _stop_broker(broker)


def _stop_broker(broker: subprocess.Popen[bytes]) -> NoReturn:
    broker.kill()  # it stores nothing, and clients notice the end at once
    broker.wait()
    os._exit(0)


def _is_answering(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex((HOST, port)) == 0


def main(arguments: list[str]) -> int:
    """Serve until the parent ends."""
    wanted, *mosquitto = arguments
    port = _choose_port(int(wanted) if wanted else None)
    if port is None:
        print("taken", flush=True)  # noqa: T201
        return 1
    if mosquitto:
        _serve_mosquitto(mosquitto[0], port)
    import asyncio  # needs megabytes; not imported for mosquitto

    # amqtt logs each client, which is of no use here.
    logging.disable(logging.CRITICAL)
    signal.signal(signal.SIGTERM, lambda *_: os._exit(0))
    asyncio.run(_serve_amqtt(port))
    os._exit(0)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
