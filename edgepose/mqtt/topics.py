"""Topics of a device and of its cameras."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class CameraTopics:
    """The topics of one camera."""

    device: str
    camera: str
    prefix: str
    """``<base_topic>/<device id>/<camera id>``."""

    @property
    def availability(self) -> str:
        """Retained ``online`` or ``offline``."""
        return f"{self.prefix}/availability"

    @property
    def poses(self) -> str:
        """One message for each processed frame."""
        return f"{self.prefix}/poses"

    @property
    def poses_msgpack(self) -> str:
        """The same as `poses`, in MessagePack; used with `mqtt.encoding = "msgpack"`."""
        return f"{self.prefix}/poses/msgpack"

    @property
    def state(self) -> str:
        """Retained state; published on change."""
        return f"{self.prefix}/state"

    @property
    def event(self) -> str:
        """One message for each event."""
        return f"{self.prefix}/event"

    @property
    def snapshot(self) -> str:
        """JPEG, on events and on request."""
        return f"{self.prefix}/snapshot"

    @property
    def live(self) -> str:
        """Retained JPEG of the newest skeletons, replaced every few seconds while they change."""
        return f"{self.prefix}/live"

    @property
    def clip(self) -> str:
        """Animated WebP, on events and on request."""
        return f"{self.prefix}/clip"

    @property
    def clip_poses(self) -> str:
        """The poses of a clip as JSON Lines."""
        return f"{self.prefix}/clip/poses"

    @property
    def set(self) -> str:
        """Settings that the device receives."""
        return f"{self.prefix}/set"

    def listed(self, *, packed: bool = False) -> dict[str, str]:
        """Return the topics by name, as `B/status` lists them."""
        names = ["availability", "poses", "state", "event", "snapshot", "live", "clip"]
        names += ["clip_poses", "set"]
        names += ["poses_msgpack"] if packed else []
        return {name: getattr(self, name) for name in names}


@dataclass(frozen=True, slots=True)
class Topics:
    """The topics of one device."""

    base: str
    device: str

    @property
    def prefix(self) -> str:
        """``<base_topic>/<device id>``."""
        return f"{self.base}/{self.device}"

    @property
    def availability(self) -> str:
        """Retained ``online`` or ``offline``; the last will's topic."""
        return f"{self.prefix}/availability"

    @property
    def status(self) -> str:
        """Retained: version, model and cameras."""
        return f"{self.prefix}/status"

    @property
    def stats(self) -> str:
        """Statistics, every ten seconds."""
        return f"{self.prefix}/stats"

    def request(self, verb: str) -> str:
        """Return the topic of a request."""
        return f"{self.prefix}/request/{verb}"

    def response(self, verb: str) -> str:
        """Return the topic of its answer."""
        return f"{self.prefix}/response/{verb}"

    def camera(self, camera: str) -> CameraTopics:
        """Return the topics of one camera."""
        return CameraTopics(self.device, camera, f"{self.prefix}/{camera}")

    def listed(self) -> dict[str, str]:
        """Return the topics by name, as `B/status` lists them."""
        return {name: getattr(self, name) for name in ("availability", "status", "stats")}
