"""The bridge on real ROS 2 over DDS, read by another process. `make test-ros` installs it."""

import json
import os
import subprocess
import time
from pathlib import Path
from typing import Any, Final

import pytest

from edgepose.mqtt import encoding
from edgepose.mqtt.topics import Topics
from edgepose.types import Event
from tests.deploy.test_ros2_conversion import AT_NS, MATRIX, PACKAGE, WIDTH, frame, person, poses
from tests.support.brokers import Mosquitto, needs_mosquitto, wait_until, witness

PYTHON: Final = os.environ.get("EDGEPOSE_ROS", "")

pytestmark = [
    pytest.mark.slow,
    needs_mosquitto,
    pytest.mark.skipif(not PYTHON, reason="needs ROS 2: make test-ros"),
]

READER: Final = """
import sys, json, rclpy
from rclpy.node import Node
from sensor_msgs.msg import CameraInfo
from std_msgs.msg import String
from visualization_msgs.msg import MarkerArray

rclpy.init()
node = Node("reader")
place = "/edgepose/hall_pi/hall"

def tell(kind, **what):
    print(json.dumps({"kind": kind, **what}), flush=True)

def markers(message):
    tell("markers", ids=[[m.id, m.action] for m in message.markers],
         points=[[p.x, p.y, p.z] for m in message.markers for p in m.points],
         frames=[m.header.frame_id for m in message.markers],
         stamps=[[m.header.stamp.sec, m.header.stamp.nanosec] for m in message.markers])

kept = [
    node.create_subscription(MarkerArray, place + "/markers", markers, 10),
    node.create_subscription(String, place + "/events", lambda m: tell("event", data=m.data), 10),
    node.create_subscription(
        CameraInfo, place + "/camera_info", lambda m: tell("info", k=list(m.k), width=m.width), 10
    ),
]
tell("ready")
rclpy.spin(node)
"""


def test_another_process_reads_what_edgepose_publishes(tmp_path: Path) -> None:
    """Another process receives markers, calibration and events with stamps and frames."""
    calibration = tmp_path / "hall.yaml"
    calibration.write_text(json.dumps(MATRIX))  # JSON is YAML
    environment = {**os.environ, "PYTHONPATH": str(PACKAGE), "ROS_LOCALHOST_ONLY": "1"}
    environment |= {"ROS_DOMAIN_ID": str(os.getpid() % 100), "ROS_LOG_DIR": str(tmp_path)}
    with (
        Mosquitto(tmp_path) as broker,
        witness(broker.port) as client,
        (tmp_path / "read").open("wb") as read,
        (tmp_path / "log").open("wb") as log,
    ):
        settings = {"host": "127.0.0.1", "port": broker.port}
        settings |= {"camera_info_file": str(tmp_path / "{camera}.yaml")}
        words = [word for key, value in settings.items() for word in ("-p", f"{key}:={value}")]
        bridge = subprocess.Popen(
            [PYTHON, "-m", "edgepose_bridge.node", "--ros-args", *words],
            env=environment,
            stdout=log,
            stderr=log,
        )
        reader = subprocess.Popen([PYTHON, "-c", READER], env=environment, stdout=read, stderr=log)

        def told(kind: str) -> list[dict[str, Any]]:
            lines = (tmp_path / "read").read_text().splitlines()
            return [one for one in map(json.loads, lines) if one["kind"] == kind]

        hall = Topics("edgepose", "hall-pi").camera("hall")
        event = encoding.event(hall, Event("person_appeared", AT_NS, 7, 0.8, {}), frame())
        deadline_s = time.monotonic() + 60
        try:
            assert wait_until(lambda: told("ready"), 60), (tmp_path / "log").read_text()
            while not (told("markers") and told("info") and told("event")):
                assert time.monotonic() < deadline_s, (tmp_path / "log").read_text()
                message = poses(person(7))
                client.publish(message.topic, message.payload)
                client.publish(event.topic, event.payload)
                time.sleep(0.2)
            client.publish("edgepose/hall-pi/availability", b"offline")
            assert wait_until(lambda: told("markers")[-1]["ids"] == [[7, 2]], 20)
        finally:
            bridge.terminate()
            reader.kill()
            assert bridge.wait(10) in {0, -15}
            reader.wait()
    first = told("markers")[0]
    assert first["ids"] == [[7, 0]]
    assert first["frames"] == ["hall_optical_frame"]
    assert first["stamps"] == [[AT_NS // 10**9, AT_NS % 10**9]]
    assert {point[2] for point in first["points"]} == {1.0}
    assert told("info")[0] == {
        "kind": "info",
        "k": MATRIX["camera_matrix"]["data"],
        "width": WIDTH,
    }
    assert json.loads(told("event")[0]["data"])["type"] == "person_appeared"
    assert "Traceback" not in (tmp_path / "log").read_text()
