"""The states of the connection: one test per transition."""

from dataclasses import replace

import pytest

from edgepose.mqtt.connection import (
    FULL_RETRIES,
    KNOWN_RETRIES,
    MAX_SHORT_SESSIONS,
    QOS_UNSUPPORTED,
    REFUSAL_PATIENCE_S,
    REFUSALS,
    RETAIN_UNSUPPORTED,
    UNSUPPORTED_PROTOCOL,
    V5_RETRIES,
    Accepted,
    Attempt,
    Closing,
    Connection,
    Ended,
    Event,
    RetryPolicy,
    SessionEnd,
    Settled,
    Started,
    State,
    transition,
)

AWAY = SessionEnd("connection refused")
LOST = SessionEnd("the connection broke", 0x80, hung_up=True)
MUTE = SessionEnd("it hung up without an answer", protocol_suspect=True, hung_up=True)
DENIED = SessionEnd("not authorized", 0x87, needs_user=True)
STAYS = RetryPolicy(retry_refused=True)
GIVES_UP = RetryPolicy()


def after(
    *events: Event | SessionEnd,
    policy: RetryPolicy = GIVES_UP,
    start: Connection | None = None,
    at_s: float = 0.0,
) -> Connection:
    """Return the connection after events; a SessionEnd is wrapped into an Ended event."""
    now = Connection(attempt=Attempt(policy.protocol)) if start is None else start
    for event in events:
        happened = Ended(event, at_s) if isinstance(event, SessionEnd) else event
        now = transition(now, happened, policy)
    return now


def in_state(state: State) -> Connection:
    """Return a connection in a state, reached by its own transitions."""
    ways: dict[State, tuple[Event | SessionEnd, ...]] = {
        State.CONNECTING: (Started(),),
        State.CONNECTED: (Started(), Accepted()),
        State.STABLE: (Started(), Accepted(), Settled()),
        State.WAITING: (Started(), AWAY),
        State.REFUSED: (Started(), DENIED),
        State.FAILED: (Started(), DENIED),
        State.CLOSED: (Closing(),),
    }
    found = after(*ways[state], policy=STAYS if state is State.REFUSED else GIVES_UP)
    assert found.state is state
    return found


@pytest.mark.parametrize("state", [State.CONNECTING, State.WAITING, State.REFUSED])
def test_an_attempt_may_begin_where_there_is_no_session(state: State) -> None:
    """An attempt changes only the state."""
    before = in_state(state)

    found = after(Started(), start=before)

    assert found == replace(before, state=State.CONNECTING)


def test_an_accepted_attempt_is_a_session() -> None:
    """Acceptance clears the reason, but not the failures: a lasting session does that."""
    before = after(AWAY, Started())

    found = after(Accepted(), start=before)

    assert found.state is State.CONNECTED
    assert (found.reason, found.tried, found.accepted) == ("", True, Attempt())
    assert found.failures == before.failures
    assert found.reported == before.reported


def test_a_session_that_lasts_ends_the_outage() -> None:
    """Failures, short sessions and reported reasons are reset."""
    found = after(AWAY, Started(), LOST, Started(), Accepted(), Settled())

    assert found.state is State.STABLE
    assert (found.failures, found.short_sessions, found.reported) == (0, 0, frozenset())


def test_a_broker_that_is_not_reached_is_tried_again() -> None:
    """Each failed attempt increments the failures, which lengthens the pause."""
    found = after(AWAY, Started(), AWAY)

    assert (found.state, found.failures, found.reason) == (State.WAITING, 2, AWAY.reason)
    assert found.tried


def test_a_stable_session_that_ends_is_a_first_failure() -> None:
    """Failures before a stable session do not count."""
    found = after(LOST, start=replace(in_state(State.STABLE), failures=9))

    assert (found.state, found.failures, found.short_sessions) == (State.WAITING, 1, 0)


def test_short_sessions_are_one_outage() -> None:
    """Short sessions count as failures, and a reported reason is not reported again."""
    now = after(Started())
    for number in range(1, 10):
        now = after(Accepted(), LOST, start=now)

        assert (now.short_sessions, now.failures) == (number, number)
        assert now.reported == {LOST.reason}
        assert now.client_id_number == number // MAX_SHORT_SESSIONS
        now = after(Started(), start=now)


@pytest.mark.parametrize("code", sorted(REFUSALS))
def test_a_refusal_from_the_start_on_is_final_only_where_asked(code: int) -> None:
    """A refused first login ends a command; a daemon under a service manager retries."""
    denied = replace(DENIED, code=code)

    assert after(denied).state is State.FAILED
    assert after(denied, policy=STAYS).state is State.REFUSED
    assert after(denied).is_refused


@pytest.mark.parametrize("session_s", [1.0, 10.0 * REFUSAL_PATIENCE_S])
@pytest.mark.parametrize("away_s", [0.0, 10.0 * REFUSAL_PATIENCE_S])
def test_a_broker_that_accepted_us_is_never_given_up(session_s: float, away_s: float) -> None:
    """A refusal after a session is WAITING for `REFUSAL_PATIENCE_S`, then REFUSED, not FAILED."""
    now = after(Started(), Accepted(), Settled(), at_s=0)
    now = after(LOST, Started(), start=now, at_s=session_s)
    first_s = session_s + away_s

    early = after(DENIED, start=now, at_s=first_s)
    still = after(Started(), DENIED, start=early, at_s=first_s + REFUSAL_PATIENCE_S - 1)
    late = after(Started(), DENIED, start=still, at_s=first_s + REFUSAL_PATIENCE_S + 1)

    assert [each.state for each in (early, still, late)] == [
        State.WAITING,
        State.WAITING,
        State.REFUSED,
    ]


def test_the_patience_begins_anew_with_each_session() -> None:
    """An earlier refusal does not shorten the patience after a new session."""
    now = after(Started(), Accepted(), LOST, Started(), DENIED, at_s=0)
    now = after(Started(), Accepted(), LOST, Started(), start=now, at_s=9 * REFUSAL_PATIENCE_S)

    found = after(DENIED, start=now, at_s=9 * REFUSAL_PATIENCE_S)

    assert found.state is State.WAITING


@pytest.mark.parametrize(
    ("code", "less"),
    [(QOS_UNSUPPORTED, Attempt(5, qos=0)), (RETAIN_UNSUPPORTED, Attempt(5, retain=False))],
)
def test_a_broker_that_offers_less_is_asked_for_less_at_once(code: int, less: Attempt) -> None:
    """The attempt is repeated at once with less; the next session asks for everything again."""
    now = after(Started(), SessionEnd("not supported", code))
    lost = after(Accepted(), LOST, start=now)

    assert (now.state, now.attempt, now.failures) == (State.CONNECTING, less, 0)
    assert not now.tried
    assert lost.attempt == Attempt(5)


def test_a_broker_that_offers_neither_is_asked_for_nothing_it_lacks() -> None:
    """Both limitations may be found one after the other."""
    ends = [SessionEnd("not supported", code) for code in (RETAIN_UNSUPPORTED, QOS_UNSUPPORTED)]

    found = after(Started(), *ends)

    assert found.attempt == Attempt(5, qos=0, retain=False)
    assert after(*ends[1:], start=found).state is State.WAITING


def test_an_older_broker_is_asked_for_the_older_protocol_at_once() -> None:
    """MQTT 3.1.1 is tried at once if the broker refuses MQTT 5, hangs up or does not answer."""
    for end in (MUTE, replace(MUTE, hung_up=False), replace(MUTE, code=UNSUPPORTED_PROTOCOL)):
        found = after(Started(), end)

        assert (found.state, found.attempt) == (State.CONNECTING, Attempt(4))
        assert after(end, start=found).state is State.WAITING


def test_a_broker_that_spoke_mqtt_5_is_ill_before_it_is_old() -> None:
    """After an MQTT 5 session, MQTT 3.1.1 is tried only after some failures or on request."""
    lost = after(Started(), Accepted(), LOST, Started())
    attempts = [lost]
    while attempts[-1].attempt.protocol == 5:
        attempts.append(after(MUTE, Started(), start=attempts[-1]))
        assert len(attempts) < 10

    assert len(attempts) == V5_RETRIES + 1
    assert after(replace(MUTE, code=UNSUPPORTED_PROTOCOL), start=lost).attempt == Attempt(4)


def test_a_broker_of_the_older_protocol_that_hangs_up_is_asked_for_less() -> None:
    """MQTT 3.1.1 cannot name a limit: lower QoS and no retain are tried after some failures."""
    older = RetryPolicy(protocol=4)
    now = after(Started(), policy=older)
    for _ in range(FULL_RETRIES):
        now = after(MUTE, policy=older, start=now)
        assert (now.state, now.attempt) == (State.WAITING, Attempt(4))
        now = after(Started(), policy=older, start=now)

    asked = []
    while now.state is State.CONNECTING:
        asked.append(now.attempt)
        now = after(MUTE, policy=older, start=now)

    assert asked == [Attempt(4, q, r) for r in (True, False) for q in (1, 0)]
    assert now.attempt == Attempt(4)


def test_a_broker_that_accepted_qos_1_is_asked_for_it_for_longer() -> None:
    """Fewer features are requested after ten failures, if the broker accepted all before."""
    older = RetryPolicy(protocol=4)
    now = after(Started(), Accepted(), LOST, Started(), policy=older)
    full = 0
    while now.attempt == Attempt(4):
        now = after(MUTE, policy=older, start=now)
        full += 1
        if now.state is State.WAITING:
            now = after(Started(), policy=older, start=now)

    assert full == KNOWN_RETRIES
    assert now.attempt == Attempt(4, qos=0)


@pytest.mark.parametrize("state", list(State))
def test_closing_ends_every_state(state: State) -> None:
    """A closed connection ignores all further events."""
    closed = after(Closing(), start=in_state(state))

    assert closed.state is State.CLOSED
    assert closed.is_over
    for event in (Started(), Accepted(), Settled(), AWAY, Closing()):
        assert after(event, start=closed) == closed


@pytest.mark.parametrize(
    ("state", "event"),
    [
        (State.WAITING, Accepted()),
        (State.WAITING, AWAY),
        (State.CONNECTED, Started()),
        (State.CONNECTED, Accepted()),
        (State.STABLE, Settled()),
        (State.CONNECTING, Settled()),
        (State.REFUSED, AWAY),
        (State.FAILED, Started()),
    ],
)
def test_what_cannot_happen_is_an_error(state: State, event: Event | SessionEnd) -> None:
    """An impossible transition raises ValueError."""
    with pytest.raises(ValueError, match=state.value):
        after(event, start=in_state(state))
