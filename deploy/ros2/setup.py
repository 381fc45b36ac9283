"""The package as `colcon build` wants it."""

from setuptools import setup

PACKAGE = "edgepose_bridge"

setup(
    name=PACKAGE,
    version="0.2.0",
    packages=[PACKAGE],
    data_files=[
        ("share/ament_index/resource_index/packages", [f"resource/{PACKAGE}"]),
        (f"share/{PACKAGE}", ["package.xml"]),
        (f"share/{PACKAGE}/launch", ["launch/edgepose_bridge.launch.py"]),
    ],
    install_requires=["setuptools"],
    zip_safe=True,
    description="People that edgepose sees, as ROS 2 messages",
    license="Apache-2.0",
    entry_points={"console_scripts": [f"bridge = {PACKAGE}.node:main"]},
)
