"""The configuration as the page sees and changes it."""

import hashlib
import os
from typing import Any

import msgspec

from edgepose import config as configuration
from edgepose.addresses import redact
from edgepose.config import Config, Origin
from edgepose.errors import ConfigError


class Editor:
    """Shows the configuration to pages, and writes what they change into its file.

    Parameters
    ----------
    origin : bytes
        An `Origin` as JSON, as the daemon tells it.
    """

    def __init__(self, origin: bytes) -> None:
        self._origin = msgspec.json.decode(origin, type=Origin)
        self._path = self._origin.path
        self._good = Config()

    def look(self) -> dict[str, Any]:
        """Return what the page shows; of a file that is not good, what it was before."""
        content, why_not = self._read(), self._why_not()
        try:
            self._good = self._origin.read()
        except ConfigError as error:
            why_not = why_not or redact(str(error))
        pose = self._good.pose
        return {
            "revision": revision(content),
            "editable": not why_not,
            "why_not": why_not or None,
            "pose": {
                "min_pose_score": pose.min_pose_score,
                "min_keypoint_score": pose.min_keypoint_score,
            },
            "cameras": [_camera(camera) for camera in self._good.cameras],
        }

    def _read(self) -> bytes:
        try:
            return self._path.read_bytes()
        except OSError:
            return b""

    def _why_not(self) -> str:
        """Say why nothing can be saved; empty where it can."""
        path = self._path.resolve()
        if not path.is_file():
            return "there is no configuration file; start with -c FILE"
        for needed in (path, path.parent):
            if not os.access(needed, os.W_OK):
                return f"{needed} cannot be written by the daemon's user"
        return ""


def revision(content: bytes) -> str:
    """Name the content of a file."""
    return hashlib.sha256(content).hexdigest()


def _camera(camera: configuration.Camera) -> dict[str, Any]:
    shown: dict[str, Any] = msgspec.to_builtins(camera)
    names = ("id", "rotate", "mirror", "roi", "masks")
    zones = [{key: zone[key] for key in ("id", "polygon", "kind")} for zone in shown["zone"]]
    kept = {name: shown[name] for name in names}
    return {**kept, "source": redact(camera.source), "zones": zones}
