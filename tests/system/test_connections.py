"""Limits of connections, with real sockets."""

import asyncio
import contextlib
import logging
import os
import resource
import socket
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path

import pytest

from edgepose.system import connections
from edgepose.system.connections import ConnectionLimits, LimitedListener, network_of
from edgepose.system.log_limit import RepeatFilter


class Kept(asyncio.Protocol):
    """Echoes each byte until the connection ends."""

    def __init__(self, kept: list["Kept"]) -> None:
        kept.append(self)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        self.transport.write(data)


@pytest.fixture(autouse=True)
def _log_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connections.log, "filters", [RepeatFilter()])


@contextlib.asynccontextmanager
async def listening(
    limits: ConnectionLimits,
) -> AsyncIterator[tuple[LimitedListener, int, list[Kept]]]:
    """Listen with limits; yield the listener, its port and the created protocols."""
    kept: list[Kept] = []
    with socket.create_server(("127.0.0.1", 0)) as socket_:
        listener = LimitedListener(socket_, lambda: Kept(kept), limits)
        running = asyncio.ensure_future(listener.run())
        yield listener, socket_.getsockname()[1], kept
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)


async def echoes(line: socket.socket) -> bool:
    """Return whether a connection is served."""
    loop = asyncio.get_running_loop()
    try:
        await loop.sock_sendall(line, b"x")
        return await asyncio.wait_for(loop.sock_recv(line, 1), 5) == b"x"
    except OSError:
        return False


def connect(port: int, address: str) -> socket.socket:
    line = socket.create_connection(("127.0.0.1", port), source_address=(address, 0))
    line.setblocking(False)
    return line


def test_the_oldest_of_an_address_make_room() -> None:
    """The newest connections of an address are served, as are those of another one."""

    async def attack() -> tuple[list[bool], bool]:
        limits = ConnectionLimits(total=100, per_network=5, request_s=60)
        async with listening(limits) as (_, port, _), contextlib.AsyncExitStack() as opened:
            other = opened.enter_context(connect(port, "127.0.0.3"))
            assert await echoes(other)
            lines = [opened.enter_context(connect(port, "127.0.0.2")) for _ in range(20)]
            await asyncio.sleep(0.2)
            return [await echoes(line) for line in lines], await echoes(other)

    served, other = asyncio.run(attack())

    assert served == [False] * 15 + [True] * 5
    assert other


def test_the_address_with_the_most_makes_room() -> None:
    """At the total limit the address with the most connections loses one."""

    async def attack() -> tuple[bool, bool, int]:
        limits = ConnectionLimits(total=10, per_network=9, request_s=60)
        async with listening(limits) as (_, port, kept), contextlib.AsyncExitStack() as opened:
            first = opened.enter_context(connect(port, "127.0.0.3"))
            assert await echoes(first)
            for _ in range(9):
                await echoes(opened.enter_context(connect(port, "127.0.0.2")))
            late = opened.enter_context(connect(port, "127.0.0.4"))
            served = await echoes(late)
            open_ = sum(not it.transport.is_closing() for it in kept)
            return await echoes(first), served, open_

    assert asyncio.run(attack()) == (True, True, 10)


def test_what_is_handled_is_never_closed_for_a_new_one() -> None:
    """A connection that is being handled is not closed for a new one; its time restarts after."""

    async def attack() -> tuple[bool, bool, bool]:
        limits = ConnectionLimits(total=1, per_network=1, request_s=0.5)
        async with (
            listening(limits) as (listener, port, kept),
            contextlib.AsyncExitStack() as opened,
        ):
            first = opened.enter_context(connect(port, "127.0.0.2"))
            assert await echoes(first)
            with listener.handling(kept[0]):
                second = opened.enter_context(connect(port, "127.0.0.2"))
                refused = not await echoes(second)
                await asyncio.sleep(1.5)
                stays = await echoes(first)
            await asyncio.sleep(1.5)
            return refused, stays, not await echoes(first)

    assert asyncio.run(attack()) == (True, True, True)


def test_a_request_has_so_long() -> None:
    """The time limit applies to a whole request, however many bytes arrive."""

    async def drip() -> float:
        loop = asyncio.get_running_loop()
        limits = ConnectionLimits(total=10, per_network=10, request_s=0.5)
        async with listening(limits) as (_, port, _):
            with connect(port, "127.0.0.2") as line:
                begun_s = loop.time()
                while await echoes(line) and loop.time() < begun_s + 20:
                    await asyncio.sleep(0.05)
                return loop.time() - begun_s

    assert 0.4 < asyncio.run(drip()) < 10


@pytest.fixture
def descriptors() -> Iterator[Callable[[], None]]:
    """Return a function that exhausts the file descriptors; they are restored after the test."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)

    def take() -> None:
        used = [int(it.name) for it in Path("/proc/self/fd").iterdir()]
        free = os.dup(0)
        os.close(free)
        resource.setrlimit(resource.RLIMIT_NOFILE, (min(free, max(used) + 1), hard))

    yield take
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def test_without_descriptors_it_waits_and_says_so_once(
    descriptors: Callable[[], None],
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """It logs once, waits, and accepts again when descriptors are available."""
    monkeypatch.setattr(connections, "ACCEPT_RETRY_S", 0.05)
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)

    async def attack() -> bool:
        limits = ConnectionLimits(total=10, per_network=10, request_s=60)
        async with listening(limits) as (_, port, _):
            await asyncio.sleep(0)
            with connect(port, "127.0.0.2") as line:
                descriptors()
                await asyncio.sleep(1)
                resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
                return await echoes(line)

    assert asyncio.run(attack())
    warnings = [it for it in caplog.records if it.levelno >= logging.WARNING]
    assert len(warnings) == 1
    assert "cannot be accepted" in warnings[0].getMessage()


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("192.0.2.1", "192.0.2.1", True),
        ("192.0.2.1", "192.0.2.2", False),
        ("2001:db8::1", "2001:db8::ffff", True),
        ("2001:db8::1", "2001:db8:0:1::1", False),
        ("fe80::1%eth0", "fe80::2%eth0", True),
        ("::ffff:192.0.2.1", "192.0.2.1", True),
        ("::ffff:192.0.2.1", "::ffff:192.0.2.2", False),
        ("", "", True),
    ],
)
def test_a_network_is_what_one_user_has(one: str, other: str, *, same: bool) -> None:
    """A network is one IPv4 address or a /64 of IPv6."""
    assert (network_of(one) == network_of(other)) is same
