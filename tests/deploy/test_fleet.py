"""Many devices on real brokers, and a cluster that loses a node."""

from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

import pytest

from benchmarks import fleet
from benchmarks.devices import Plan
from benchmarks.readers import Reader
from edgepose.mqtt import encoding
from edgepose.mqtt.client import MqttClient
from edgepose.mqtt.options import BrokerOptions
from edgepose.mqtt.topics import Topics
from edgepose.types import Message
from tests.deploy.test_ros2_conversion import frame, person
from tests.support.brokers import Mosquitto, needs_mosquitto, wait_until, witness
from tests.support.nats import Cluster, needs_nats

pytestmark = pytest.mark.slow

TUNED = Path(__file__).parents[2] / "deploy" / "mosquitto" / "fleet.conf"


@pytest.fixture
def plan(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Plan:
    """Return a plan of four devices with a person in view, and short pauses."""
    for variable in ("XDG_STATE_HOME", "EDGEPOSE_MQTT_PASSWORD"):
        monkeypatch.setenv(variable, "")  # set by the tool; restored after the test
    monkeypatch.setattr(fleet, "SETTLE_S", 1.0)
    camera = Topics("edgepose", "hall-pi").camera("hall")
    seen = encoding.poses(camera, frame(), [person(7)], seq=1, latency_ms=1, model="recorded")
    (tmp_path / "walk.jsonl").write_bytes(seen.payload + b"\n")
    return Plan("", 0, 4, tmp_path / "walk.jsonl", tmp_path, fps=5, event_s=1)


@needs_mosquitto
def test_mosquitto_carries_a_few_devices(plan: Plan) -> None:
    """All devices publish, a reader receives, and the broker's memory per device is measured."""
    found = fleet.load("mosquitto", plan, seconds=3)

    # The rates depend on the machine's load.
    assert found.messages_per_s > 0
    assert 0.3 < found.kilobytes_per_s / found.messages_per_s < 3
    assert found.read > 0.5
    assert found.broker_cpu_ms_per_message >= 0
    assert found.broker_mb > found.broker_mb_per_device > 0
    assert 0 < found.pose_ms[0] <= found.pose_ms[2]
    assert found.event_ms[0] > 0


@needs_mosquitto
def test_mosquitto_takes_the_settings_for_fleets(tmp_path: Path) -> None:
    """Mosquitto accepts the settings: it refuses to start with unknown keys."""
    settings = TUNED.read_text().splitlines()

    with Mosquitto(tmp_path, "allow_anonymous true", *settings) as broker:
        assert broker.pids


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """Three nodes with the users of the plan's devices."""
    plans = [Plan("", first, 4, Path(), Path()) for first in (0, 900, 905)]
    with Cluster(tmp_path_factory.mktemp("nats"), fleet.passwords(plans)) as running:
        yield running


def sink(cluster: Cluster, user: str, *topics: str) -> tuple[MqttClient, list[bytes]]:
    """Return a connected client of the cluster and its list of payloads."""
    heard: list[bytes] = []
    made = MqttClient(BrokerOptions.from_url(cluster.url, username=user, password=fleet.PASSWORD))
    for topic in topics:
        made.subscribe(topic, lambda received: heard.append(received.payload))
    made.start()
    assert made.wait_connected(60)
    return made, heard


def order(topic: str, payload: bytes) -> Message:
    return Message(topic, payload, "event", qos=1)


@needs_nats
@pytest.mark.timeout(200)
def test_the_access_list_for_nats_keeps_devices_apart(cluster: Cluster) -> None:
    """A device may use its own topics only; a dashboard cannot publish; others are refused."""
    mine, other = "edgepose/fleet-000", "edgepose/fleet-001"
    with ExitStack() as stack:
        device, heard = sink(cluster, "fleet-000", f"{mine}/+/set", f"{other}/hall/state")
        owner, seen = sink(cluster, fleet.OWNER, "edgepose/#")
        guest, _ = sink(cluster, fleet.READER, "edgepose/#")
        for one in (device, owner, guest):
            stack.callback(one.close)
        assert wait_until(lambda: list(device.refused) == [f"{other}/hall/state"])

        guest.publish(order(f"{mine}/hall/set", b"guest"))
        assert guest.flush(10)
        device.publish(order(f"{other}/hall/event", b"foreign"))
        device.publish(order(f"{mine}/hall/event", b"own"))
        assert wait_until(lambda: b"own" in seen)
        owner.publish(order(f"{mine}/hall/set", b"owner"))
        assert wait_until(lambda: bool(heard))

        assert heard == [b"owner"]
        assert b"foreign" not in seen
        stranger = MqttClient(
            BrokerOptions.from_url(cluster.url, username="fleet-000", password="no")
        )
        stranger.start()
        assert wait_until(lambda: stranger.failure is not None)


@needs_nats
@pytest.mark.timeout(400)
def test_a_cluster_of_nats_outlives_a_node(cluster: Cluster, plan: Plan) -> None:
    """The devices reconnect, obey commands and lose no event when a node is killed.

    Whether the nodes keep every retained message and last will, and recover, depends on
    nats-server; `python -m benchmarks.fleet death` measures it.
    """
    plan = replace(plan, url=cluster.url, password=fleet.PASSWORD)
    with ExitStack() as stack:
        experiment = fleet.Experiment(cluster, plan, stack)

        outage = experiment.lose(0)
        events = experiment.events()

        assert outage.deaf == 0
        assert len(experiment.fleet.said().states) >= 5 * plan.count
        assert events.said > plan.count
        assert (events.read_by_nobody, events.missed_by_keeper, events.dropped) == (0, 0, 0)


@needs_mosquitto
def test_a_reader_notes_what_it_reads(tmp_path: Path) -> None:
    """Events are recorded by device in order, states by topic; frames are counted."""
    with Mosquitto(tmp_path) as broker, witness(broker.port) as others:
        others.publish("edgepose/a/hall/state", b"old", retain=True)
        reader = Reader(broker.url, "", "", "edgepose/#")
        assert wait_until(lambda: reader.retained == {"edgepose/a/hall/state": b"old"})

        for n in (1, 2, 1):
            others.publish("edgepose/a/hall/event", b'{"device":"a","id":"%d"}' % n)
        others.publish("edgepose/a/hall/state", b"new", retain=True)

        assert wait_until(lambda: reader.latest == {"edgepose/a/hall/state": b"new"})
        assert reader.events == {"a": ["1", "2", "1"]}
        assert reader.count == 5
        reader.close()
