"""The connection of the page's process to the daemon."""

import asyncio
import socket
from collections.abc import Callable
from contextlib import suppress
from itertools import count
from typing import Final

import msgspec

from edgepose.web import feed
from edgepose.web.feed import IpcMessage

ANSWER_S: Final = 120.0  # a reload may load and measure a new model


class DaemonClient:
    """Receives messages from the daemon and sends commands to it.

    Parameters
    ----------
    line : socket
        Datagram socket for messages of `feed`.
    """

    def __init__(self, line: socket.socket) -> None:
        line.setblocking(False)
        self._line = line
        self._numbers = count(1)
        self._waiting: dict[int, asyncio.Future[str]] = {}

    async def receive(self) -> IpcMessage | None:
        """Wait for the next message; None when the daemon has ended."""
        try:
            datagram = await asyncio.get_running_loop().sock_recv(self._line, feed.LIMIT)
        except ConnectionError:
            return None
        return feed.unpack(datagram) if datagram else None

    async def send(self, command: feed.Command) -> None:
        """Send a command without waiting for an answer."""
        with suppress(ConnectionError):  # the daemon has ended: `receive` returns None
            await asyncio.get_running_loop().sock_sendall(self._line, msgspec.json.encode(command))

    async def request(self, make: Callable[[int], feed.Command]) -> str:
        """Send a command; return why it was refused, or an empty string.

        Raises
        ------
        TimeoutError
        """
        number = next(self._numbers)
        answer: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        self._waiting[number] = answer
        try:
            await self.send(make(number))
            return await asyncio.wait_for(answer, ANSWER_S)
        finally:
            del self._waiting[number]

    def add_answer(self, number: int, error: str) -> None:
        """Pass an answer to its pending request."""
        answer = self._waiting.get(number)
        if answer is not None and not answer.done():
            answer.set_result(error)
