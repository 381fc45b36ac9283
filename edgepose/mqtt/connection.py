"""States of the connection to the broker, and the one function that changes them.

Pure: no network, no clock, no log. `edgepose.mqtt.client` acts on the states.
"""

from dataclasses import dataclass, replace
from enum import Enum
from typing import Final

STABLE_SESSION_S: Final = 10.0  # a session of this length ends an outage
REFUSAL_PATIENCE_S: Final = 300.0  # a broker may refuse while its user database starts
MAX_SHORT_SESSIONS: Final = 3  # in a row; then another client may use this client id
V5_RETRIES: Final = 3  # failures before a broker that accepted MQTT 5 is tried with 3.1.1
FULL_RETRIES: Final = 2  # failures before a 3.1.1 broker is tried with fewer features
KNOWN_RETRIES: Final = 10  # the same, if the broker accepted the features before

UNSUPPORTED_PROTOCOL: Final = 0x84
CLIENT_ID_REFUSED: Final = 0x85
RETAIN_UNSUPPORTED: Final = 0x9A
QOS_UNSUPPORTED: Final = 0x9B
REFUSALS: Final = frozenset({CLIENT_ID_REFUSED, 0x86, 0x87, 0x8A, 0x8C})
"""Reason codes of MQTT 5 (those of 3.1.1 are translated): the client id, user name or
password is wrong, or the client is not authorised, banned, or uses the wrong method."""


class State(Enum):
    """State of the connection."""

    CONNECTING = "connecting"
    """An attempt is under way, or about to begin."""

    CONNECTED = "connected"
    """The broker has accepted the connection."""

    STABLE = "stable"
    """The session has lasted `STABLE_SESSION_S`: the outage before it is over."""

    WAITING = "waiting"
    """No session. The next attempt follows after a short pause."""

    REFUSED = "refused"
    """The broker refuses the login. The next attempt follows after minutes."""

    FAILED = "failed"
    """The broker refuses the login, and no attempt follows."""

    CLOSED = "closed"
    """`close` was called. No attempt follows."""


@dataclass(frozen=True, slots=True)
class Attempt:
    """Features that an attempt requests from the broker."""

    protocol: int = 5
    """5, or 4 for MQTT 3.1.1."""

    qos: int = 1
    """Maximum quality of service. 0 if the broker supports no other."""

    retain: bool = True
    """Whether messages are retained. False if the broker does not support it."""

    def reduced(self, code: int | None) -> "Attempt":
        """Return the features to request after a refusal with this reason code."""
        if code == QOS_UNSUPPORTED:
            return replace(self, qos=0)
        if code == RETAIN_UNSUPPORTED:
            return replace(self, retain=False)
        return self


LESS: Final = {
    Attempt(4): Attempt(4, qos=0),
    Attempt(4, qos=0): Attempt(4, retain=False),
    Attempt(4, retain=False): Attempt(4, qos=0, retain=False),
}
"""Next attempt with a 3.1.1 broker, which disconnects after an unsupported request."""


@dataclass(frozen=True, slots=True)
class SessionEnd:
    """How an attempt or a session ended."""

    reason: str
    code: int | None = None
    """The broker's reason code, if it sent one."""

    needs_user: bool = False
    """Whether the user has to change something; retrying alone does not help."""

    protocol_suspect: bool = False
    """The broker refused the version, disconnected or did not answer: it may support only 3.1.1.
    (amqtt does not answer when a connect packet of a newer version holds a last will.)"""

    hung_up: bool = False
    """The broker ended the connection, possibly because of a message."""


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """Constant settings for `transition`."""

    protocol: int = 5
    """Newest protocol version to request."""

    retry_refused: bool = False
    """Whether to keep trying if the broker refuses the login and has never accepted it."""


@dataclass(frozen=True, slots=True)
class Connection:
    """Immutable snapshot of the connection."""

    state: State = State.CONNECTING
    attempt: Attempt = Attempt()
    failures: int = 0
    """Attempts in a row without a stable session. The pauses grow with it."""

    short_sessions: int = 0
    """Sessions in a row that ended before they were stable."""

    accepted: Attempt | None = None
    """Features of the last session; None before the first."""

    refused_since_s: float | None = None
    """Time of the first refusal since the last session; None if there was none."""

    reason: str = ""
    """Why the last attempt or session ended; empty while there is a session."""

    code: int | None = None
    """The broker's code for `reason`, if it sent one."""

    reported: frozenset[str] = frozenset()
    """Reasons that were logged in this outage."""

    client_id_number: int = 0
    """Increased when another client seems to use the same client id."""

    tried: bool = False
    """Whether an attempt has succeeded or failed."""

    @property
    def is_open(self) -> bool:
        """Whether there is a session."""
        return self.state in {State.CONNECTED, State.STABLE}

    @property
    def is_refused(self) -> bool:
        """Whether the broker refused the last login."""
        return self.refused_since_s is not None and self.code in REFUSALS

    @property
    def is_over(self) -> bool:
        """Whether no attempt will follow."""
        return self.state in {State.FAILED, State.CLOSED}


@dataclass(frozen=True, slots=True)
class Started:
    """An attempt begins."""


@dataclass(frozen=True, slots=True)
class Accepted:
    """The broker has accepted the connection."""


@dataclass(frozen=True, slots=True)
class Settled:
    """The session has lasted `STABLE_SESSION_S`."""


@dataclass(frozen=True, slots=True)
class Ended:
    """An attempt failed or a session ended, at a time of the monotonic clock."""

    end: SessionEnd
    at_s: float


@dataclass(frozen=True, slots=True)
class Closing:
    """The owner closes the connection."""


Event = Started | Accepted | Settled | Ended | Closing


def transition(now: Connection, event: Event, policy: RetryPolicy) -> Connection:
    """Return the connection after an event.

    Raises
    ------
    ValueError
        When the event cannot happen in this state.
    """
    match now.state, event:
        case State.CLOSED, _:
            after = now
        case _, Closing():
            after = replace(now, state=State.CLOSED)
        case ((State.CONNECTING | State.WAITING | State.REFUSED), Started()):
            after = replace(now, state=State.CONNECTING)
        case State.CONNECTING, Accepted():
            after = _when_accepted(now)
        case State.CONNECTING, Ended():
            after = _attempt_failed(now, event, policy)
        case State.CONNECTED, Settled():
            after = _when_settled(now)
        case ((State.CONNECTED | State.STABLE), Ended()):
            after = _session_lost(now, event.end, policy)
        case _:
            msg = f"{type(event).__name__} in the state {now.state.value}"
            raise ValueError(msg)
    return after


def _when_accepted(now: Connection) -> Connection:
    return replace(
        now,
        state=State.CONNECTED,
        accepted=now.attempt,
        refused_since_s=None,
        reason="",
        code=None,
        tried=True,
    )


def _when_settled(now: Connection) -> Connection:
    return replace(now, state=State.STABLE, failures=0, short_sessions=0, reported=frozenset())


def _session_lost(now: Connection, end: SessionEnd, policy: RetryPolicy) -> Connection:
    was_stable = now.state is State.STABLE
    short = 0 if was_stable else now.short_sessions + 1
    rename = short > 0 and short % MAX_SHORT_SESSIONS == 0
    waiting = _wait_to_retry(now, end, policy)
    reduced = now.attempt.reduced(end.code)
    return replace(
        waiting,
        attempt=waiting.attempt if reduced == now.attempt else reduced,
        failures=1 if was_stable else now.failures + 1,
        short_sessions=short,
        client_id_number=now.client_id_number + rename,
    )


def _wait_to_retry(now: Connection, end: SessionEnd, policy: RetryPolicy) -> Connection:
    return replace(
        now,
        state=State.WAITING,
        # Request all features again: the broker may support them now.
        attempt=Attempt(policy.protocol),
        failures=now.failures + 1,
        reason=end.reason,
        code=end.code,
        reported=now.reported | {end.reason},
        tried=True,
    )


def _attempt_failed(now: Connection, event: Ended, policy: RetryPolicy) -> Connection:
    end = event.end
    other = _try_at_once(now, end)
    if other is not None:
        return replace(now, attempt=other)
    waiting = _wait_to_retry(now, end, policy)
    if end.code in REFUSALS:
        return _when_refused(waiting, event.at_s, policy)
    return replace(waiting, refused_since_s=None)


def _when_refused(waiting: Connection, at_s: float, policy: RetryPolicy) -> Connection:
    """Return the next state after a refused login: retry soon, in minutes, or never.

    A broker that accepted the login before is retried soon for `REFUSAL_PATIENCE_S` after its
    first refusal.
    """
    since_s = at_s if waiting.refused_since_s is None else waiting.refused_since_s
    was_accepted = waiting.accepted is not None
    if was_accepted and at_s - since_s < REFUSAL_PATIENCE_S:
        state = State.WAITING
    elif was_accepted or policy.retry_refused:
        state = State.REFUSED
    else:
        state = State.FAILED
    return replace(waiting, state=state, refused_since_s=since_s)


def _try_at_once(now: Connection, end: SessionEnd) -> Attempt | None:
    """Return another request for the same broker to try at once; None if that cannot help."""
    reduced = now.attempt.reduced(end.code)
    if reduced != now.attempt:
        return reduced
    if now.attempt.protocol == 5:
        return replace(now.attempt, protocol=4) if _may_be_older(now, end) else None
    if end.protocol_suspect and end.hung_up and now.failures >= _full_retries(now):
        return LESS.get(now.attempt)
    return None


def _full_retries(now: Connection) -> int:
    """Return after how many failures to request fewer features.

    A node of a cluster disconnects clients while the nodes elect a leader. After a session with
    QoS 0 instead of 1 the events of the next outage would be lost.
    """
    had_all = now.accepted == Attempt(protocol=4)
    return KNOWN_RETRIES if had_all else FULL_RETRIES


def _may_be_older(now: Connection, end: SessionEnd) -> bool:
    """Return whether to try MQTT 3.1.1.

    A broker that has accepted MQTT 5 before and does not answer now is more likely faulty than
    outdated.
    """
    if not end.protocol_suspect:
        return False
    spoke_5 = now.accepted is not None and now.accepted.protocol == 5
    return not spoke_5 or end.code == UNSUPPORTED_PROTOCOL or now.failures >= V5_RETRIES
