"""Start the bridge: ros2 launch edgepose_bridge edgepose_bridge.launch.py host:=broker.lan."""

from launch import LaunchDescription
from launch.actions import DeclareLaunchArgument
from launch.substitutions import LaunchConfiguration
from launch_ros.actions import Node
from launch_ros.parameter_descriptions import ParameterValue

ARGUMENTS = {
    "host": ("localhost", str),
    "port": ("1883", int),
    "tls": ("false", bool),
    "ca_file": ("", str),
    "username": ("", str),
    "password_file": ("", str),
    "base_topic": ("edgepose", str),
    "device": ("", str),
    "camera": ("", str),
    "frame_id": ("{camera}_optical_frame", str),
    "stamp": ("captured", str),
    "timeout_s": ("2.0", float),
    "camera_info_file": ("", str),
}
"""Parameters of the node: value without a word, and type."""


def generate_launch_description() -> LaunchDescription:
    """Return the node with its parameters."""
    arguments = [
        DeclareLaunchArgument(name, default_value=value) for name, (value, _) in ARGUMENTS.items()
    ]
    parameters = {
        name: ParameterValue(LaunchConfiguration(name), value_type=type_)
        for name, (_, type_) in ARGUMENTS.items()
    }
    node = Node(package="edgepose_bridge", executable="bridge", parameters=[parameters])
    return LaunchDescription([*arguments, node])
