"""Real brokers on free ports, and a TCP proxy to them that can be disturbed."""

import os
import random
import shutil
import signal
import socket
import struct
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from queue import Empty, SimpleQueue
from typing import Any, NamedTuple, Self

import pytest
from paho.mqtt.client import Client, MQTTMessage
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties, VariableByteIntegers

MOSQUITTO = shutil.which("mosquitto", path=f"{os.environ.get('PATH', '')}:/usr/sbin")

needs_mosquitto = pytest.mark.skipif(
    MOSQUITTO is None, reason="no mosquitto here: sh tests/support/install-mosquitto.sh"
)


def free_port() -> int:
    """Return an unused port outside the range of ephemeral ports."""
    while True:
        # below the range that Linux uses for outgoing connections
        port = random.SystemRandom().randrange(15000, 32000)
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            with suppress(OSError):
                probe.bind(("127.0.0.1", port))
                return port


def wait_until(condition: Callable[[], Any], timeout_s: float = 10.0) -> bool:
    """Poll a condition until it is true; return False after the timeout."""
    deadline_s = time.monotonic() + timeout_s
    while not condition():
        if time.monotonic() > deadline_s:
            return False
        time.sleep(0.01)
    return True


def _answers(port: int) -> bool:
    with suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
        return True
    return False


class Mosquitto:
    """A mosquitto process that can be started, stopped, killed and paused, on a fixed port."""

    def __init__(self, folder: Path, *settings: str, persistent: bool = False) -> None:
        self._folder, self._persistent = folder, persistent
        self.port = free_port()
        self.url = f"mqtt://127.0.0.1:{self.port}"
        self._config = folder / f"mosquitto-{self.port}.conf"
        self.settings = settings or ("allow_anonymous true",)
        self.configure(*self.settings)
        self._process: subprocess.Popen[bytes] | None = None

    def configure(self, *settings: str) -> None:
        """Use other settings from the next start on."""
        listener = f"listener {self.port} 127.0.0.1"
        keeps = ["persistence false"]
        if self._persistent:
            where = f"persistence_location {self._folder}/"
            keeps = ["persistence true", where, "autosave_on_changes true", "autosave_interval 1"]
        # As root, mosquitto would switch to a user without access to the test's files.
        lines = ["user root", *keeps, listener, *settings]
        self._config.write_text("\n".join(lines) + "\n")

    def start(self) -> Self:
        """Start mosquitto and wait until it listens."""
        assert MOSQUITTO is not None
        self._process = subprocess.Popen(
            [MOSQUITTO, "-c", self._config],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        assert wait_until(lambda: _answers(self.port)), "mosquitto does not listen"
        return self

    @property
    def pids(self) -> list[int]:
        """Return the id of its process while it runs."""
        assert self._process is not None
        return [self._process.pid]

    def _signal(self, number: int) -> None:
        assert self._process is not None
        self._process.send_signal(number)

    def stop(self) -> None:
        """End it with SIGTERM, as a service manager does."""
        self._signal(signal.SIGTERM)
        self._gone()

    def kill(self) -> None:
        """End it with SIGKILL."""
        self._signal(signal.SIGKILL)
        self._gone()

    def _gone(self) -> None:
        assert self._process is not None
        self._process.wait(10)
        self._process = None

    def pause(self) -> None:
        """Stop the process with SIGSTOP: the kernel still accepts its connections and bytes."""
        self._signal(signal.SIGSTOP)

    def resume(self) -> None:
        """Continue the paused process."""
        self._signal(signal.SIGCONT)

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, *_: object) -> None:
        if self._process is not None:
            self.resume()
            self.kill()


def with_passwords(folder: Path, users: dict[str, str], acl: str = "") -> Mosquitto:
    """Return a broker with these users and passwords, and this access control list."""
    passwords = folder / "passwords"
    passwords.write_text("".join(f"{user}:{password}\n" for user, password in users.items()))
    subprocess.run(["mosquitto_passwd", "-U", passwords], check=True)
    settings = ["allow_anonymous false", f"password_file {passwords}"]
    if acl:
        (folder / "acl").write_text(acl)
        settings.append(f"acl_file {folder / 'acl'}")
    return Mosquitto(folder, *settings)


class Authority:
    """A certificate authority for tests, as `deploy/mosquitto/README.md` makes it.

    With `bare`, certificates lack extensions that strict clients require, as many recipes do.
    """

    def __init__(
        self,
        folder: Path,
        name: str = "authority",
        *,
        bare: bool = False,
        name_in_it: bool = False,
    ) -> None:
        self._folder, self._bare = folder, bare
        self.certificate, self._key = folder / f"{name}.crt", folder / f"{name}.key"
        usage = [] if bare else ["-addext", "keyUsage=critical,keyCertSign,cRLSign"]
        usage += ["-addext", f"subjectAltName=IP:{name}"] if name_in_it else []
        _openssl(
            "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes",
            "-days", "2", "-subj", f"/CN=edgepose test {name}", *usage,
            "-keyout", self._key, "-out", self.certificate,
        )  # fmt: skip

    def sign(self, name: str) -> tuple[Path, Path]:
        """Return the certificate and key of a host or client."""
        certificate, key = self._folder / f"{name}.crt", self._folder / f"{name}.key"
        kind = "IP" if name[0].isdigit() else "DNS"
        ids = ("subjectKeyIdentifier=hash", "authorityKeyIdentifier=keyid")
        more = () if self._bare else (word for each in ids for word in ("-addext", each))
        _openssl(
            "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes",
            "-days", "2", "-subj", f"/CN={name}", "-addext", f"subjectAltName={kind}:{name}",
            "-addext", "basicConstraints=critical,CA:FALSE", *more,
            "-CA", self.certificate, "-CAkey", self._key, "-keyout", key, "-out", certificate,
        )  # fmt: skip
        return certificate, key

    def sign_dated(self, name: str, start: str, end: str) -> tuple[Path, Path]:
        """Return certificate and key of an address, valid between two times."""
        request, key, certificate = (self._folder / f"{name}.{e}" for e in ("csr", "key", "crt"))
        _openssl(
            "req", "-new", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes",
            "-subj", f"/CN={name}", "-keyout", key, "-out", request,
        )  # fmt: skip
        (self._folder / "index.txt").touch()
        settings = self._folder / "ca.cnf"
        settings.write_text(
            f"[ca]\ndefault_ca=d\n[d]\nnew_certs_dir={self._folder}\n"
            f"database={self._folder}/index.txt\nrand_serial=yes\ndefault_md=sha256\npolicy=p\n"
            f"[p]\ncommonName=supplied\n[e]\nsubjectAltName=IP:{name}\n"
        )
        _openssl(
            "ca", "-batch", "-config", settings, "-extensions", "e", "-cert", self.certificate,
            "-keyfile", self._key, "-startdate", start, "-enddate", end, "-in", request,
            "-out", certificate, "-notext",
        )  # fmt: skip
        return certificate, key


def _openssl(*arguments: str | Path) -> None:
    subprocess.run(["openssl", *arguments], check=True, capture_output=True)


def with_tls(folder: Path, authority: Authority, *, name: str = "127.0.0.1") -> Mosquitto:
    """Return a broker with a certificate for this host name."""
    certificate, key = authority.sign(name)
    broker = Mosquitto(folder, "allow_anonymous true", f"certfile {certificate}", f"keyfile {key}")
    broker.url = broker.url.replace("mqtt://", "mqtts://")
    return broker


class Line:
    """A TCP proxy to a broker that can stall, discard all bytes or reset connections."""

    def __init__(self, port: int) -> None:
        self._target = port
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self.url = f"mqtt://127.0.0.1:{self.port}"
        self._open = threading.Event()
        self._open.set()
        self._swallow = False
        self._ends: list[socket.socket] = []
        self.carried: list[bytearray] = []
        """The bytes sent by the client, per connection."""

        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                near, _ = self._listener.accept()
                try:
                    far = socket.create_connection(("127.0.0.1", self._target))
                except OSError:  # the broker is down; the proxy stays
                    near.close()
                    continue
                self._ends += [near, far]
                self.carried.append(bytearray())
                for source, target, note in ((near, far, self.carried[-1]), (far, near, None)):
                    threading.Thread(
                        target=self._carry, args=(source, target, note), daemon=True
                    ).start()

    def _carry(self, source: socket.socket, target: socket.socket, note: bytearray | None) -> None:
        with suppress(OSError):
            while data := source.recv(65536):
                if note is not None:
                    note.extend(data)
                self._open.wait()
                if note is not None and not self.may_pass(bytes(note), data):
                    break
                if not self._swallow:
                    target.sendall(data)
        # While bytes are discarded, the end of the other side's stream is discarded, too.
        if not self._swallow:
            for end in (target, source):
                with suppress(OSError):
                    end.shutdown(socket.SHUT_RDWR)

    def may_pass(self, carried: bytes, data: bytes) -> bool:
        """Return whether to forward the client's latest bytes; `carried` ends with them."""
        return True

    def stall(self) -> None:
        """Forward nothing, and accept only what fits into the buffers, until `go_on`."""
        self._open.clear()

    def swallow(self) -> None:
        """Accept and discard all bytes in both directions, for the rest of these connections."""
        self._swallow = True

    def go_on(self) -> None:
        """Forward again."""
        self._swallow = False
        self._open.set()

    def reset(self) -> None:
        """Reset all connections."""
        ends, self._ends = self._ends, []
        for end in ends:
            with suppress(OSError):
                end.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                end.shutdown(socket.SHUT_RD)
            end.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.go_on()
        self._listener.close()
        self.reset()


def packet_sizes(carried: bytes) -> list[int]:
    """Return the sizes of all packets that a client has started to send."""
    found, place = [], 0
    while place + 1 < len(carried):
        length, used = VariableByteIntegers.decode(carried[place + 1 :])
        found.append(1 + used + length)
        place += found[-1]
    return found


class Packet(NamedTuple):
    """The parts of an MQTT 5 packet on the wire that tests check."""

    kind: int
    topic: str
    properties: Properties
    content: bytes
    """The payload of PUBLISH, or all after the properties of CONNECT."""


def packets(carried: bytes, kind: int) -> list[Packet]:
    """Return the packets of one kind, CONNECT or PUBLISH, that a client has sent."""
    found, place = [], 0
    while place < len(carried):
        length, used = VariableByteIntegers.decode(carried[place + 1 :])
        begin = place + 1 + used
        if carried[place] >> 4 == kind:
            found.append(_packet(kind, carried[place] & 0x06, carried[begin : begin + length]))
        place = begin + length
    return found


def _packet(kind: int, quality: int, body: bytes) -> Packet:
    end = 2 + int.from_bytes(body[:2], "big")
    properties = Properties(kind)
    after = end + (4 if kind == PacketTypes.CONNECT else 2 if quality else 0)
    _, used = properties.unpack(body[after:])
    return Packet(kind, body[2:end].decode(), properties, body[after + used :])


class Witness:
    """An independent client that records all messages of a topic filter."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self._queue: SimpleQueue[MQTTMessage] = SimpleQueue()
        self.seen: list[MQTTMessage] = []
        client.on_message = lambda _c, _u, message: self._queue.put(message)

    def until(self, wanted: Callable[[MQTTMessage], bool], timeout_s: float = 10.0) -> MQTTMessage:
        """Wait for a matching message, skipping others."""
        deadline_s = time.monotonic() + timeout_s
        with suppress(Empty):
            while True:
                message = self._queue.get(timeout=max(0.0, deadline_s - time.monotonic()))
                self.seen.append(message)
                if wanted(message):
                    return message
        seen = [(message.topic, message.payload[:60]) for message in self.seen]
        raise AssertionError(f"not seen within {timeout_s} s; seen: {seen}")

    def noted(self) -> list[MQTTMessage]:
        """Return all messages received so far."""
        with suppress(Empty):
            while True:
                self.seen.append(self._queue.get_nowait())
        return self.seen

    def on(self, topic: str, payload: bytes | None = None, timeout_s: float = 10.0) -> MQTTMessage:
        """Wait for a message on a topic, with this payload if given."""
        return self.until(lambda m: m.topic == topic and payload in {None, m.payload}, timeout_s)

    def publish(self, topic: str, payload: bytes, *, retain: bool = False) -> None:
        """Publish and wait for the acknowledgement."""
        self._client.publish(topic, payload, qos=1, retain=retain).wait_for_publish(10)


@contextmanager
def witness(
    port: int,
    topics: str = "#",
    *,
    username: str | None = None,
    password: str | None = None,
    protocol: MQTTProtocolVersion = MQTTProtocolVersion.MQTTv5,
) -> Iterator[Witness]:
    """Connect a second client to a broker; subscribed when the context is entered."""
    client = Client(CallbackAPIVersion.VERSION2, protocol=protocol)
    client.username_pw_set(username, password)
    subscribed = threading.Event()
    client.on_connect = lambda c, *_: c.subscribe(topics, qos=1)
    client.on_subscribe = lambda *_: subscribed.set()
    noted = Witness(client)
    client.connect("127.0.0.1", port)
    client.loop_start()
    try:
        assert subscribed.wait(10), "the witness cannot listen"
        yield noted
    finally:
        client.disconnect()
        client.loop_stop()
