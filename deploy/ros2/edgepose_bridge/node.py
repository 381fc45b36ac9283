"""The node: listens to edgepose over MQTT and says on ROS topics what `conversion` makes of it."""

import re
import ssl
from collections.abc import Callable, Iterable
from functools import cache
from importlib import import_module
from pathlib import Path
from queue import Empty, SimpleQueue
from typing import Any

import paho.mqtt.client as mqtt
import rclpy
from rclpy.executors import ExternalShutdownException
from rclpy.node import Node
from rclpy.publisher import Publisher
from rclpy.qos import DurabilityPolicy, HistoryPolicy, QoSProfile, ReliabilityPolicy

from edgepose_bridge.conversion import Intrinsics, Said, Translator

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
    "camera_info_file": "",
}


def message_type(name: str) -> Any:
    """Return the class of a message such as ``std_msgs/msg/String``.

    Raises
    ------
    ImportError
        When its package is not installed.
    """
    package, _, type_ = name.split("/")
    return getattr(import_module(f"{package}.msg"), type_)


def fill(message: Any, fields: dict[str, Any]) -> Any:
    """Set fields of a message, nested ones too; return it."""
    types = message.get_fields_and_field_types()
    for key, value in fields.items():
        inner = re.match(r"(?:sequence<)?(\w+)/(\w+)", types[key])
        if inner and isinstance(value, dict):
            fill(getattr(message, key), value)
        elif inner:
            made = message_type(f"{inner[1]}/msg/{inner[2]}")
            setattr(message, key, [fill(made(), each) for each in value])
        else:
            setattr(message, key, value)
    return message


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
            calibration=cache(self._calibration(asked["camera_info_file"])),
        )
        self._missing: set[str] = set()
        self._topics: dict[str, Publisher] = {}
        self._came: SimpleQueue[tuple[str, bytes]] = SimpleQueue()
        # paho has a thread of its own; all that is ROS's happens in the executor's.
        self._wake = self.create_guard_condition(self.drain)
        self.create_timer(LOOK_S, self.look)
        self._client = _client(asked, self.note)
        self._client.connect_async(asked["host"], asked["port"])
        self._client.loop_start()

    def _calibration(self, file: str) -> Callable[[str, str], Intrinsics | None]:
        """Return what reads the calibration of a camera, once."""

        def read(device: str, camera: str) -> Intrinsics | None:
            if not file:
                return None
            import yaml  # a package of ROS's own, needed for this parameter only

            path = Path(file.format(device=device, camera=camera))
            try:
                return Intrinsics.of(yaml.safe_load(path.read_text(encoding="utf-8")))
            except (OSError, KeyError, TypeError, ValueError, yaml.YAMLError) as error:
                self.get_logger().warning(f"{path}: no calibration of a camera: {error!r}")
                return None

        return read

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
            try:
                type_ = message_type(said.type)
            except ImportError:
                self._miss(said.type.partition("/")[0])
                continue
            if said.topic not in self._topics:
                made = self.create_publisher(type_, said.topic, profile(said.topic))
                self._topics[said.topic] = made
            self._topics[said.topic].publish(fill(type_(), said.fields))

    def _miss(self, package: str) -> None:
        """Log once that messages are left out."""
        if package not in self._missing:
            self._missing.add(package)
            self.get_logger().warning(f"{package} is not installed: its messages are left out")

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
