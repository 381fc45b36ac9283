"""The motion gate: what is processed in an empty room, and that no person is missed."""

import os
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass, field
from functools import partial
from itertools import chain, count, repeat
from pathlib import Path

import cv2
import numpy as np
import pytest

from edgepose.camera import sources
from edgepose.camera.motion_gate import MotionGate
from edgepose.camera.view import ImageTransform
from edgepose.config.schema import Camera, Config
from edgepose.people import build
from edgepose.people.follower import Presence
from edgepose.pose.estimator import PoseEstimator
from edgepose.recording import frames, reader
from edgepose.recording.frames import RecordedFrame
from edgepose.timing import NS_PER_S
from edgepose.types import Image
from tests.support import rooms

HZ = 15
SEEN_S = 0.5
"""How soon somebody who comes in must be looked at."""

EMPTY = rooms.empty()
SMALL = EMPTY[::2, ::2]
"""Noise is made for a quarter of the pixels only: the gate looks at no more."""

Scene = Callable[[float], Image]


@dataclass
class Watch:
    """A gate in front of a scene, and the times of the frames it accepted."""

    gate: MotionGate
    presence: Callable[[float], Presence] = lambda _: "nobody"
    thumbnails: int = 0
    seconds: Iterator[float] = field(default_factory=lambda: (1000 + n / HZ for n in count()))

    def see(self, scene: Scene, lasting_s: float) -> list[float]:
        """Show a scene for some seconds; return the accepted times since its beginning."""
        looks = []
        for number in range(round(lasting_s * HZ)):
            since_s, at_s = number / HZ, next(self.seconds)
            at_ns = round(at_s * NS_PER_S)
            if self.gate.allows(at_ns, partial(self._thumbnail, scene, since_s)):
                looks.append(since_s)
                self.gate.set_presence(self.presence(since_s), at_ns)
        return looks

    def _thumbnail(self, scene: Scene, since_s: float) -> Image:
        self.thumbnails += 1
        return scene(since_s)


def still(image: Image = EMPTY) -> Scene:
    return lambda _: image


def dark(scene: Scene, seed: int = 0) -> Scene:
    """Return a scene at night: 12 % of the light, with strong noise."""
    rng = np.random.default_rng(seed)
    noise = [rng.normal(0, 8.0, SMALL.shape).astype(np.float32) for _ in range(37)]
    turn = count()

    def shown(since_s: float) -> Image:
        taken = scene(since_s)[::2, ::2] * np.float32(0.12) + noise[next(turn) % len(noise)]
        return np.clip(taken, 0, 255).astype(np.uint8)

    return shown


def jpeg(scene: Scene) -> Scene:
    """Return a scene with strong JPEG compression."""

    def shown(since_s: float) -> Image:
        data = cv2.imencode(".jpg", scene(since_s)[::2, ::2], [cv2.IMWRITE_JPEG_QUALITY, 60])[1]
        return np.asarray(cv2.imdecode(data, cv2.IMREAD_COLOR), dtype=np.uint8)

    return shown


def coming(pixels_a_second: float) -> Scene:
    """Return a scene in which a person enters from the left."""
    return lambda since_s: rooms.occupied(round(since_s * pixels_a_second) - 94)


@pytest.fixture
def watch() -> Watch:
    """Return a gate that is closed in an empty room."""
    made = Watch(MotionGate(ImageTransform(), idle_fps=0.2))
    made.see(still(), 18)
    return made


def test_a_still_empty_room_is_looked_at_at_the_idle_rate(watch: Watch) -> None:
    """In one minute there is one frame each five seconds, and few thumbnails are decoded."""
    watch.thumbnails = 0

    looks = watch.see(still(), 60)

    assert len(looks) == 12
    assert watch.thumbnails <= 5.2 * 60


@pytest.mark.parametrize("around", [dark, jpeg])
def test_noise_is_no_movement(around: Callable[[Scene], Scene]) -> None:
    """Neither sensor noise nor compression keeps the gate open."""
    watch = Watch(MotionGate(ImageTransform(), idle_fps=0.2))
    noise = around(still())
    watch.see(noise, 18)

    looks = watch.see(noise, 30)

    assert len(looks) == 6


@pytest.mark.parametrize("around", [lambda scene: scene, dark, jpeg])
@pytest.mark.parametrize("speed", [450, 60, 15], ids=["walking", "slowly", "creeping"])
def test_somebody_who_comes_in_is_looked_at_within_half_a_second(
    around: Callable[[Scene], Scene], speed: float
) -> None:
    """A person is noticed within `SEEN_S` after 20 pixels are visible, also at night."""
    watch = Watch(MotionGate(ImageTransform(), idle_fps=0.01))
    watch.see(around(still()), 18)
    in_view_s = 20 / speed

    looks = watch.see(around(coming(speed)), in_view_s + 2)

    assert [at for at in looks if at <= in_view_s + SEEN_S]
    after = [at for at in looks if at >= in_view_s + SEEN_S]
    assert len(after) >= 0.9 * HZ * (2 - SEEN_S), "and goes on being looked at"


def test_a_light_switched_on_opens_it_for_a_while_only(watch: Watch) -> None:
    """The gate opens at once, then adapts to the new brightness."""
    watch.see(dark(still()), 20)

    looks = watch.see(still(SMALL), 60)

    assert looks[0] <= SEEN_S
    assert [at for at in looks if at < 2] == pytest.approx(np.arange(looks[0], 2, 1 / HZ))
    assert len([at for at in looks if at > 20]) == 8


def test_a_camera_that_adjusts_its_exposure_moves_nothing(watch: Watch) -> None:
    """A slight change of the whole picture's brightness does not open the gate."""
    looks = watch.see(lambda at_s: (EMPTY * (1 - 0.04 * min(at_s, 1))).astype(np.uint8), 10)

    assert len(looks) <= 3


def test_what_always_moves_is_learnt(watch: Watch) -> None:
    """A moving curtain is learnt after a while; a person still opens the gate."""

    def curtain(since_s: float) -> Image:
        image = EMPTY.copy()
        image[40:120, 120 + round(6 * np.sin(5 * since_s)) :][:, :70] = 90
        return image

    first = watch.see(curtain, 5)
    watch.see(curtain, 60)
    later = watch.see(curtain, 30)
    then = watch.see(coming(450), 1)

    assert len(first) > 4 * HZ
    assert len(later) <= 7
    assert then[0] <= SEEN_S


def test_somebody_who_stands_still_is_not_lost(watch: Watch) -> None:
    """While people are present every frame is accepted, moving or not."""
    watch.presence = lambda since_s: "somebody" if since_s < 60 else "nobody"

    looks = watch.see(still(rooms.occupied(300)), 120)

    assert len([at for at in looks if at < 74]) == 74 * HZ
    assert len([at for at in looks if at > 76]) <= 9


@pytest.fixture
def reading() -> Watch:
    """Return a gate in front of a person who has not moved for a while."""
    made = Watch(MotionGate(ImageTransform(), idle_fps=0.2, still_fps=HZ / 2), lambda _: "somebody")
    made.see(still(rooms.occupied(300)), 30)
    return made


@pytest.mark.parametrize("around", [lambda scene: scene, dark, jpeg])
def test_people_who_do_not_move_are_looked_at_at_their_own_rate(
    around: Callable[[Scene], Scene],
) -> None:
    """The frames are evenly spaced, also with noise; thumbnails are limited to twice the rate."""
    watch = Watch(MotionGate(ImageTransform(), idle_fps=0.2, still_fps=5.0), lambda _: "somebody")
    scene = around(still(rooms.occupied(300)))
    watch.see(scene, 30)
    watch.thumbnails = 0

    looks = watch.see(scene, 60)

    assert len(looks) == pytest.approx(300, abs=15)
    assert np.diff(looks).max() < 0.3
    assert watch.thumbnails <= 10.5 * 60


@pytest.mark.parametrize("hz", [15, 25, 30])
def test_still_people_are_looked_at_at_that_rate_whatever_that_of_the_camera(hz: int) -> None:
    """Where no frame comes when one is due, the earlier and the later one take turns."""
    watch = Watch(MotionGate(ImageTransform(), idle_fps=0.2, still_fps=5.0), lambda _: "somebody")
    watch.seconds = (1000 + n / hz for n in count())
    scene = still(rooms.occupied(300))
    watch.see(scene, 30 * hz / HZ)

    looks = watch.see(scene, 60 * hz / HZ)

    assert len(looks) == pytest.approx(300, abs=3)


@pytest.mark.parametrize("speed", [450, 150, 60])
def test_every_frame_counts_from_the_first_that_shows_motion(reading: Watch, speed: float) -> None:
    """At the first motion the gate opens fully, also after stillness."""
    scene: Scene = lambda since_s: rooms.occupied(300 + round(since_s * speed))  # noqa: E731

    looks = reading.see(scene, 1.0)

    first_s = 0.5 / HZ + 8 / speed  # until the motion exceeds the blur
    assert [at for at in looks if at >= first_s] == pytest.approx(
        [at for at in np.arange(HZ) / HZ if at >= first_s]
    )


@pytest.mark.parametrize(("still_fps", "hz"), [(0.5, 10), (1.0, 10), (1.0, 30), (5.0, 30)])
def test_no_frame_is_skipped_after_the_motion_was_found(still_fps: float, hz: int) -> None:
    """A low rate for still people does not delay the frames with motion."""
    gate = MotionGate(ImageTransform(), idle_fps=0.2, still_fps=still_fps)
    watch = Watch(gate, lambda _: "somebody")
    watch.seconds = (1000 + n / hz for n in count())
    watch.see(still(rooms.occupied(300)), 40 * hz / HZ)
    scene: Scene = lambda since_s: rooms.occupied(300 + round(since_s * 450))  # noqa: E731

    looks = watch.see(scene, 4 * hz / HZ)

    assert np.diff(looks).max() < 1.5 / HZ


def test_someone_else_who_comes_in_is_looked_at_in_full(reading: Watch) -> None:
    """A second person opens the gate fully."""
    both = rooms.occupied(300).copy()

    def second(since_s: float) -> Image:
        image = both.copy()
        image[:, :200] = rooms.occupied(round(since_s * 60) - 94)[:, :200]
        return image

    looks = reading.see(second, 2.5)

    after_s = 20 / 60 + 1 / HZ
    assert len([at for at in looks if at >= after_s]) >= (2.5 - after_s) * HZ - 1


def test_nothing_is_saved_while_people_come_or_have_just_left(reading: Watch) -> None:
    """The rate is not reduced for uncertain or departed people, nor while the page is watched."""
    reading.presence = lambda _: "nobody"
    left = reading.see(still(rooms.occupied(300)), 10)
    shown = Watch(
        MotionGate(ImageTransform(), 0.2, still_fps=5.0, watched=lambda: True), lambda _: "somebody"
    )
    shown.see(still(rooms.occupied(300)), 20)
    maybe = Watch(MotionGate(ImageTransform(), 0.2, still_fps=5.0), lambda _: "maybe")
    maybe.see(still(rooms.occupied(300)), 20)

    assert len(left) >= 10 * HZ - 3
    assert len(shown.see(still(rooms.occupied(300)), 4)) == 4 * HZ
    assert len(maybe.see(still(rooms.occupied(300)), 4)) == 4 * HZ


def test_a_pose_of_nobody_yet_opens_it_until_it_is_decided(watch: Watch) -> None:
    """An unconfirmed pose opens the gate for a while only."""
    said: Iterator[Presence] = chain(["maybe"], repeat("nobody"))
    watch.presence = lambda _: next(said)

    looks = watch.see(still(), 20)

    between = np.diff([at for at in looks if looks[0] <= at < looks[0] + 2])
    assert between == pytest.approx(1 / HZ)
    assert len([at for at in looks if at > looks[0] + 2.2]) <= 4


def test_what_is_masked_or_not_looked_at_does_not_count() -> None:
    """Motion behind masks or outside of the region does not open the gate."""
    window = ((0.0, 0.0), (0.25, 0.0), (0.25, 1.0), (0.0, 1.0))
    masked = Watch(MotionGate(ImageTransform(masks=[window]), idle_fps=0.2))
    part = Watch(MotionGate(ImageTransform(roi=(0.25, 0.0, 0.75, 1.0)), idle_fps=0.2))
    turned = Watch(MotionGate(ImageTransform(rotate=180, roi=(0.0, 0.0, 0.75, 1.0)), idle_fps=0.2))

    for watch in (masked, part, turned):
        watch.see(still(), 18)
        by = watch.see(lambda at_s: rooms.occupied(round(10 * np.sin(at_s)) + 20), 20)
        inside = watch.see(lambda at_s: rooms.occupied(300 + round(60 * at_s)), 1)

        assert len(by) <= 5
        assert inside[0] <= SEEN_S


def test_while_somebody_watches_everything_is_looked_at() -> None:
    """While the page is watched every frame is accepted; afterwards the gate is idle again."""
    watched = False
    watch = Watch(MotionGate(ImageTransform(), idle_fps=0.5, watched=lambda: watched))
    watch.see(still(), 20)

    before = watch.see(still(), 4)
    watched = True
    during = watch.see(still(), 4)
    watched = False
    after = watch.see(still(), 4)

    assert len(before) <= 2
    assert len(during) == 4 * HZ
    assert len(after) <= 2


def test_after_an_absence_of_the_camera_it_is_open(watch: Watch) -> None:
    """After `reset` the gate is open; the picture's size may change."""
    watch.gate.reset()

    looks = watch.see(still(EMPTY[::2, ::3]), 5)

    assert len(looks) == 5 * HZ


@pytest.mark.parametrize("model", ["posenet", "movenet-lightning"])
def test_nobody_is_seen_in_the_empty_room(model: str) -> None:
    """The network finds no person in the empty room, and one in the occupied room."""
    estimator = PoseEstimator(model)

    found = [len(estimator.estimate(image)) for image in (EMPTY, rooms.occupied(280))]

    assert found == [0, 1]


FILMS = Path(os.environ.get("EDGEPOSE_SHARED", Path(__file__).parents[3] / "shared")) / "films"
FILM_HZ = 10
STILL_S = 20
FALLS = ("le2i_000.mp4", "le2i_012.mp4", "le2i_036.mp4")

Moment = tuple[Image, RecordedFrame]


def film(name: str) -> list[Moment]:
    """Return pictures and recorded poses of a video at 10 fps.

    The first picture is repeated for 20 s before, so that the gate adapts. The recording
    continues the last one for 12 s.
    """
    recording = FILMS / "recordings" / "movenet-multipose" / f"{name}.jsonl.gz"
    poses = list(frames.frames(reader.open_recording(recording)))
    times_ns = [frame.at_ns - poses[0].at_ns for frame in poses]
    pictures = []
    with closing(sources.open_source(str(FILMS / "clips" / name), realtime=False)) as source:
        first_ns = None
        for frame in source.frames():
            first_ns = frame.captured_ns if first_ns is None else first_ns
            if frame.captured_ns - first_ns in times_ns:
                pictures.append(cv2.resize(frame.image, (160, 120)))
    pictures += [pictures[-1]] * (len(poses) - len(pictures))
    return [(pictures[0], poses[0])] * (STILL_S * FILM_HZ) + list(zip(pictures, poses, strict=True))


def happened(moments: list[Moment], still_fps: float) -> tuple[list[str], int]:
    """Return the events of a video behind a gate, and the number of accepted frames."""
    rng = np.random.default_rng(0)
    people = build.follower(Config(), Camera(id="film", source="-"))
    gate = MotionGate(ImageTransform(), 0.2, still_fps=still_fps)
    events, passed = [], 0
    for number, (image, frame) in enumerate(moments):
        at_ns = (100 * FILM_HZ + number) * NS_PER_S // FILM_HZ
        if gate.allows(at_ns, partial(rooms.noisy, image, 1.0, rng)):
            passed += 1
            events += [event.type for event in people.follow(frame.poses, at_ns, frame.size)[1]]
            gate.set_presence(people.presence, at_ns)
    return events, passed


@pytest.mark.skipif(not FILMS.exists(), reason="the shared films are not here")
@pytest.mark.parametrize("name", FALLS)
def test_fewer_frames_of_still_people_lose_no_event(name: str) -> None:
    """A person who stands still, falls and lies still gives the same events with fewer frames."""
    moments = film(name)

    every, most = happened(moments, still_fps=240)
    fewer, least = happened(moments, still_fps=5)

    assert "fall_suspected" in every
    assert fewer == every
    assert least < 0.9 * most
