"""The node: listens to edgepose over MQTT and says on ROS topics what `conversion` makes of it."""

import ssl
from collections.abc import Callable, Iterable
from pathlib import Path
from queue import Empty, SimpleQueue
from typing import Any

import paho.mqtt.client as mqtt
import rclpy
from rclpy.executors import ExternalShutdownException
from rclpy.node import Node
from rclpy.publisher import Publisher
from rclpy.qos import DurabilityPolicy, HistoryPolicy, QoSProfile, ReliabilityPolicy
from rosidl_runtime_py.set_message import set_message_fields
from rosidl_runtime_py.utilities import get_message

from edgepose_bridge.conversion import Said, Translator

LOOK_S = 0.5
LEAVES = ("availability", "poses", "event")
PARAMETERS = {
    "host": "localhost",
    "port": 1883,
    "tls": False,
    "ca_file": "",
    "username": "",
    "password_file": "",
    "base_topic": "edgepose",
    "device": "",
    "camera": "",
    "frame_id": "{camera}_optical_frame",
    "stamp": "captured",
    "timeout_s": 2.0,
}


def profile(topic: str) -> QoSProfile:
    """Return how a topic is said: the newest only, but of events none may be passed over.

    Reliable, because a reader who asks for that hears nothing of one who is not.
    """
    return QoSProfile(
        history=HistoryPolicy.KEEP_LAST,
        depth=50 if topic.endswith("/events") else 1,
        reliability=ReliabilityPolicy.RELIABLE,
        durability=DurabilityPolicy.VOLATILE,
    )


class Bridge(Node):
    """One node for all cameras that are to be heard."""

    def __init__(self) -> None:
        super().__init__("edgepose_bridge")
        asked: dict[str, Any] = {
            key: self.declare_parameter(key, value).value for key, value in PARAMETERS.items()
        }
        self._translator = Translator(
            asked["base_topic"],
            frame_id=asked["frame_id"],
            arrival=asked["stamp"] == "received",
            timeout_s=asked["timeout_s"],
        )
        self._topics: dict[str, Publisher] = {}
        self._came: SimpleQueue[tuple[str, bytes]] = SimpleQueue()
        # paho has a thread of its own; all that is ROS's happens in the executor's.
        self._wake = self.create_guard_condition(self.drain)
        self.create_timer(LOOK_S, self.look)
        self._client = _client(asked, self.note)
        self._client.connect_async(asked["host"], asked["port"])
        self._client.loop_start()

    def note(self, topic: str, payload: bytes) -> None:
        """Take a message from the broker, in any thread."""
        self._came.put((topic, payload))
        self._wake.trigger()

    def drain(self) -> None:
        """Say what has come."""
        while True:
            try:
                topic, payload = self._came.get_nowait()
            except Empty:
                return
            try:
                self._say(self._translator.take(topic, payload, self._now_ns()))
            except (KeyError, TypeError, ValueError) as error:
                self.get_logger().warning(f"{topic}: no message of edgepose: {error!r}")

    def look(self) -> None:
        """Let those go whom a silent camera saw."""
        self._say(self._translator.look(self._now_ns()))

    def _now_ns(self) -> int:
        return int(self.get_clock().now().nanoseconds)

    def _say(self, messages: Iterable[Said]) -> None:
        for said in messages:
            if said.fields is None:
                publisher: Publisher | None = self._topics.pop(said.topic, None)
                if publisher is not None:
                    self.destroy_publisher(publisher)
                continue
            type_ = get_message(said.type)
            if said.topic not in self._topics:
                made = self.create_publisher(type_, said.topic, profile(said.topic))
                self._topics[said.topic] = made
            message = type_()
            set_message_fields(message, said.fields)
            self._topics[said.topic].publish(message)

    def close(self) -> None:
        """Let the broker go."""
        self._client.disconnect()
        self._client.loop_stop()


def _client(asked: dict[str, Any], note: Callable[[str, bytes], None]) -> mqtt.Client:
    """Return a client for paho 1.6, which ROS 2 has had for long, or 2."""
    version = getattr(mqtt, "CallbackAPIVersion", None)
    client = mqtt.Client(version.VERSION2) if version else mqtt.Client()
    if asked["username"]:
        file = asked["password_file"]
        password = Path(file).read_text(encoding="utf-8").strip() if file else None
        client.username_pw_set(asked["username"], password)
    if asked["tls"]:
        client.tls_set_context(ssl.create_default_context(cafile=asked["ca_file"] or None))
    device = f"{asked['base_topic']}/{asked['device'] or '+'}"
    camera = f"{device}/{asked['camera'] or '+'}"
    filters = [f"{device}/availability", *(f"{camera}/{leaf}" for leaf in LEAVES)]
    client.on_connect = lambda client, *_: client.subscribe([(one, 0) for one in filters])
    client.on_message = lambda _client, _data, message: note(message.topic, message.payload)
    return client


def main() -> None:
    """Run until stopped."""
    rclpy.init()
    bridge = Bridge()
    try:
        rclpy.spin(bridge)
    except (KeyboardInterrupt, ExternalShutdownException):
        pass
    finally:
        bridge.close()
        bridge.destroy_node()
        rclpy.try_shutdown()


if __name__ == "__main__":
    main()
