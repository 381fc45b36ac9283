"""The page's connection to the daemon."""

import asyncio
import socket
from collections.abc import Callable
from contextlib import suppress
from itertools import count
from typing import Final

import msgspec

from edgepose.web import feed
from edgepose.web.feed import Told

ANSWER_S: Final = 120.0  # a new model may be tried, timed and loaded


class Daemon:
    """The daemon as this process sees it: says things, and is asked to do some.

    Parameters
    ----------
    line : socket
        Of datagrams, as `feed` writes them.
    """

    def __init__(self, line: socket.socket) -> None:
        line.setblocking(False)
        self._line = line
        self._numbers = count(1)
        self._waiting: dict[int, asyncio.Future[str]] = {}

    async def hear(self) -> Told | None:
        """Wait for what the daemon says next; None when it has gone."""
        try:
            datagram = await asyncio.get_running_loop().sock_recv(self._line, feed.LIMIT)
        except ConnectionError:
            return None
        return feed.unpack(datagram) if datagram else None

    async def tell(self, command: feed.Command) -> None:
        """Say something that needs no answer."""
        with suppress(ConnectionError):  # it has gone: `hear` notices
            await asyncio.get_running_loop().sock_sendall(self._line, msgspec.json.encode(command))

    async def ask(self, make: Callable[[int], feed.Command]) -> str:
        """Ask for something; return why it was refused, or an empty text."""
        number = next(self._numbers)
        answer: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        self._waiting[number] = answer
        try:
            await self.tell(make(number))
            return await asyncio.wait_for(answer, ANSWER_S)
        finally:
            del self._waiting[number]

    def answered(self, number: int, error: str) -> None:
        """Take an answer."""
        answer = self._waiting.get(number)
        if answer is not None and not answer.done():
            answer.set_result(error)
