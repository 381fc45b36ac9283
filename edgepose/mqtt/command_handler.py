"""Validates, rate-limits, executes and answers commands on `C/set` and `B/request/<name>`."""

import logging
import threading
from collections.abc import Callable, Collection, Mapping
from functools import partial
from typing import Any, Final

import msgspec
from msgspec import UNSET, Struct, UnsetType

from edgepose.errors import in_words
from edgepose.mqtt.rate_limit import TokenBucket
from edgepose.mqtt.requests import (
    REQUESTS,
    CommandError,
    Id,
    Request,
    RequestHandler,
    RequestType,
    Response,
    Settings,
)
from edgepose.mqtt.topics import Topics
from edgepose.timing import NS_PER_S, Clock
from edgepose.types import Message, Received

log: Final = logging.getLogger(__name__)

MAX_BYTES: Final = 16 * 1024
FORGET_S: Final = 600.0  # pause before the same reason is logged again


class CommandHandler:
    """Handles commands from the broker; a refused command changes nothing.

    Parameters
    ----------
    topics : callable
        Returns the topics of the device, which may change with a reload.
    cameras : callable
        Returns the ids of the configured cameras.
    apply : callable
        Applies validated settings to a camera, by its id.
    handlers : mapping
        Function that handles a request, by the request's name.
    requests : mapping
        Type of each request, by name.
    answer : callable
        Sends a message at once or drops it: a late answer is useless.
    """

    def __init__(
        self,
        topics: Callable[[], Topics],
        *,
        cameras: Callable[[], Collection[str]],
        apply: Callable[[str, Settings], None],
        handlers: Mapping[str, RequestHandler],
        requests: Mapping[str, RequestType] = REQUESTS,
        answer: Callable[[Message], object],
        clock: Clock | None = None,
    ) -> None:
        self._topics_now = topics
        self._cameras, self._apply, self._answer = cameras, apply, answer
        self._handlers, self._requests = dict(handlers), requests
        self._clock = clock or Clock()
        self._bucket = TokenBucket(self._clock)
        self._decoders: dict[type, msgspec.json.Decoder[Any]] = {}
        self._said: dict[str, int] = {}
        self._running: set[str] = set()
        self.refused = 0
        """Number of refused commands."""

    @property
    def _command_topics(self) -> Topics:
        return self._topics_now()

    @property
    def filters(self) -> tuple[str, str]:
        """The filters to subscribe to."""
        return (f"{self._command_topics.prefix}/+/set", self._command_topics.request("+"))

    def take(self, received: Received) -> None:
        """Execute or refuse a command; does not raise for its content."""
        prefix = f"{self._command_topics.prefix}/"
        if not received.topic.startswith(prefix):
            return
        levels = received.topic.removeprefix(prefix).split("/")
        if len(levels) != 2:
            return
        if levels[0] == "request":
            self._run_request(levels[1], received)
        elif levels[1] == "set":
            self._apply_set(levels[0], received)

    def _apply_set(self, camera: str, received: Received) -> None:
        try:
            self._check_admission(received)
            self.change(camera, received.payload)
        except CommandError as refusal:
            self._refuse_command(refusal, None, received, UNSET)
        else:
            self._send_response(None, received, Response(ok=True))

    def change(self, camera: str, payload: bytes) -> None:
        """Apply settings in the format of `C/set`. Thread-safe.

        Raises
        ------
        CommandError
            When the camera is unknown or the settings are invalid.
        """
        if camera not in self._cameras():
            raise CommandError(f'camera "{_printable(camera)}" is not known', "unknown")
        self._apply(camera, self._decode_payload(Settings, payload))

    def _run_request(self, name: str, received: Received) -> None:
        id_: Id | UnsetType = UNSET
        try:
            self._check_admission(received)
            id_ = _request_id(received.payload)
            if name not in self._handlers:
                known = ", ".join(sorted(self._handlers))
                raise CommandError(
                    f'request "{_printable(name)}" is not known; known: {known}', "unknown"
                )
            request = self._decode_payload(self._requests[name].takes, received.payload or b"{}")
            if self._requests[name].slow:
                self._run_slow_request(
                    name, partial(self._run_handler, name, request, received, id_)
                )
            else:
                self._run_handler(name, request, received, id_)
        except CommandError as refusal:
            self._refuse_command(refusal, self._command_topics.response(name), received, id_)

    def _run_handler(
        self, name: str, request: Request, received: Received, id_: Id | UnsetType
    ) -> None:
        where = self._command_topics.response(name)
        try:
            data = self._handlers[name](request)
        except CommandError as refusal:
            self._refuse_command(refusal, where, received, id_)
        else:
            self._send_response(where, received, Response(id_, ok=True, data=data))

    def _run_slow_request(self, name: str, do: Callable[[], None]) -> None:
        """Run a slow request in its own thread, one request of a kind at a time."""
        if name in self._running:
            raise CommandError(f"{name} is running; wait for its answer", "running")
        self._running.add(name)

        def run() -> None:
            try:
                do()
            finally:
                self._running.discard(name)

        threading.Thread(target=run, name=name, daemon=True).start()

    def _check_admission(self, received: Received) -> None:
        """Refuse a command that is too large, too frequent or retained."""
        if not self._bucket.take():
            raise CommandError("too many commands; wait a moment", "rate")
        if received.retained:
            msg = "a retained command is ignored: it would repeat at each start"
            raise CommandError(msg, "retained")
        if len(received.payload) > MAX_BYTES:
            raise CommandError(
                f"{len(received.payload)} bytes; at most {MAX_BYTES} are read", "size"
            )

    def _decode_payload(self, type_: type, payload: bytes) -> Any:
        decoder = self._decoders.setdefault(type_, msgspec.json.Decoder(type_))
        try:
            return decoder.decode(payload)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            raise CommandError(_printable(in_words(error)), "invalid") from None

    def _refuse_command(
        self, refusal: CommandError, usual: str | None, received: Received, id_: Id | UnsetType
    ) -> None:
        self.refused += 1
        news = self._is_news(f"{usual is None} {refusal.kind}")
        if news:
            log.warning("%s: refused: %s", _printable(received.topic), refusal)
        # Answer a rate-limited sender once, not for every message.
        if refusal.kind != "rate" or news:
            self._send_response(usual, received, Response(id_, ok=False, error=str(refusal)))

    def _is_news(self, kind: str) -> bool:
        now_ns = self._clock.now_ns()
        before_ns = self._said.get(kind)
        if before_ns is not None and now_ns - before_ns < FORGET_S * NS_PER_S:
            return False
        self._said[kind] = now_ns
        return True

    def _send_response(
        self, usual: str | None, received: Received, response: Response[Any]
    ) -> None:
        """Answer on the sender's response topic, else on the request's; `set` has none."""
        where = received.response_topic or usual
        if where is None:
            return
        if not self._may_answer_on(where):
            log.debug("no answer on %s: not a valid response topic", where)
            return
        content = msgspec.json.encode(response)
        self._answer(Message(where, content, "answer", qos=1, correlation=received.correlation))

    def _may_answer_on(self, where: str) -> bool:
        """Return whether an answer may be sent to a topic: no wildcard, no subscribed topic."""
        if not where or where.startswith("$") or set(where) & {"+", "#", "\0"}:
            return False
        mine = where.startswith(f"{self._command_topics.prefix}/")
        return not mine or where.startswith(self._command_topics.response(""))


def _request_id(payload: bytes) -> Id | UnsetType:
    """Return the id of a request, even of an invalid one."""
    try:
        return msgspec.json.decode(payload, type=_OnlyId).id
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return UNSET


class _OnlyId(Struct):
    id: Id | UnsetType = UNSET


def _printable(text: str) -> str:
    """Return foreign text for a message: printable, at most 200 characters."""
    plain = "".join(character if character.isprintable() else "?" for character in text)
    return plain if len(plain) <= 200 else f"{plain[:200]}…"
