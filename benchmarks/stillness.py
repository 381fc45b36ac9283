"""What an empty room costs the processor, against a busy one, in one run of the daemon.

Run from the repository: ``python -m benchmarks.stillness``. A camera over HTTP (a process of
its own, JPEG, 640 x 360, 30 pictures a second) shows the room of the demo, with a
sensor's noise, and then the demo. The daemon's own time on the processor is read from
outside. Then people come in, again and again: how long until their poses are published is
taken at a subscriber. Results go to `benchmarks/results`.

With ``--reading`` somebody stands still before the camera, with `pose.still_fps` as it is by
default and off.
"""

import argparse
import json
import multiprocessing
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import count
from multiprocessing.connection import Connection
from multiprocessing.synchronize import Event
from pathlib import Path
from typing import Any, Final

import numpy as np

from edgepose.camera import sources
from edgepose.camera.motion_gate import ATTENTIVE_S
from edgepose.config.schema import Camera, Config, Device, Metrics, Model, Mqtt, PoseSettings, Web
from edgepose.measure.benchmark import broker, machine, running
from edgepose.mqtt.messages import PosesMessage
from edgepose.mqtt.subscriber import Subscription, subscribe
from edgepose.pose import interpreter
from edgepose.system import process as vitals
from tests.support import rooms, streams

MODELS: Final = ("posenet", "movenet-multipose", "movenet-lightning")
HZ: Final = 30
NOISE: Final = 2.0  # grey levels: an evening with the lamps on
SETTLE_S: Final = 5.0
EMPTY_S: Final = ATTENTIVE_S["somebody"] + SETTLE_S  # until nobody is expected any more
RESULTS: Final = Path(__file__).parent / "results" / "stillness.json"
READING: Final = RESULTS.with_name("reading.json")
RATES: Final = (("default", 0.0), ("off", 240.0))
"""Values of `pose.still_fps`."""


class Room(streams.Camera):
    """A camera that shows the empty room until somebody is sent in."""

    period_s = 1 / HZ

    def __init__(self, busy: Event, *, still: bool) -> None:
        rng = np.random.default_rng(0)
        room = rooms.empty()
        self._empty = [streams.jpeg(rooms.noisy(room, NOISE, rng)) for _ in range(HZ)]
        film = sources.open_source("demo://", realtime=False, once=True)
        shown = [frame.image for frame in film.frames()]
        shown = [rooms.occupied(300)] * HZ if still else shown
        self._busy = [
            streams.jpeg(rooms.noisy(image, NOISE, rng)) for image in shown for _ in range(2)
        ]
        self._is_busy = busy
        super().__init__()

    def jpegs(self) -> Iterator[bytes]:
        """Yield what the camera sees, picture by picture."""
        for index in count():
            shown = self._busy if self._is_busy.is_set() else self._empty
            yield shown[index % len(shown)]


def serve(told: Connection, busy: Event, still: bool) -> None:
    """Be the camera until the end of the process."""
    with Room(busy, still=still) as room:
        told.send(room.url("live"))
        threading.Event().wait()


@contextmanager
def camera(*, still: bool = False) -> Iterator[tuple[str, Event]]:
    """Lend a camera: its address, and what sends people in."""
    busy, (heard, told) = multiprocessing.Event(), multiprocessing.Pipe(duplex=False)
    process = multiprocessing.Process(target=serve, args=(told, busy, still), daemon=True)
    process.start()
    try:
        yield heard.recv(), busy
    finally:
        process.kill()
        process.join()


def measure(model: str, *, motion_gate: bool, seconds: float, entries: int) -> dict[str, Any]:
    """Return what `look` sees of the daemon in the empty room and in the busy one, and entries."""
    with broker("") as url, camera() as (source, busy):
        config = Config(
            device=Device(id="stillness"),
            mqtt=Mqtt(url=url),
            model=Model(name=model, delegate="cpu"),
            cameras=(Camera(id="room", source=source, motion_gate=motion_gate),),
            metrics=Metrics(listen=""),
            web=Web(listen=""),
        )
        with running(config) as pid, subscribe(url, device="stillness") as messages:
            next(message for message in messages if isinstance(message, PosesMessage))
            look(pid, messages, EMPTY_S)
            empty = look(pid, messages, seconds)
            busy.set()
            look(pid, messages, SETTLE_S)
            found: dict[str, Any] = {"empty": empty, "busy": look(pid, messages, seconds)}
            if entries:
                seen_s = [enter(pid, messages, busy) for _ in range(entries)]
                found["seen_s"] = [round(value, 3) for value in sorted(seen_s)]
            return found


def measure_reading(model: str, still_fps: float, seconds: float) -> dict[str, float]:
    """Return what `look` sees of the daemon while a person does not move."""
    with broker("") as url, camera(still=True) as (source, busy):
        busy.set()
        config = Config(
            device=Device(id="stillness"),
            mqtt=Mqtt(url=url),
            model=Model(name=model, delegate="cpu", threads=1, interpreters=1),
            pose=PoseSettings(still_fps=still_fps),
            cameras=(Camera(id="room", source=source),),
            metrics=Metrics(listen=""),
            web=Web(listen=""),
        )
        with running(config) as pid, subscribe(url, device="stillness") as messages:
            next(m for m in messages if isinstance(m, PosesMessage) and m.poses)
            look(pid, messages, EMPTY_S)
            return look(pid, messages, seconds)


def enter(pid: int, messages: Subscription, busy: Event) -> float:
    """Empty the room, let somebody in; return how many seconds until a pose is published."""
    busy.clear()
    look(pid, messages, EMPTY_S)
    started = time.monotonic()
    busy.set()
    next(message for message in messages if isinstance(message, PosesMessage) and message.poses)
    return time.monotonic() - started


def look(pid: int, messages: Subscription, seconds: float) -> dict[str, float]:
    """Return the share of one core that a process takes, in percent, and its frames a second."""
    before, started, frames, passed = vitals.processor_s(pid), time.monotonic(), 0, 0.0
    for message in messages:  # the room's pictures at the idle rate, if nothing else
        frames += isinstance(message, PosesMessage)
        if (passed := time.monotonic() - started) >= seconds:
            break
    percent = 100 * (vitals.processor_s(pid) - before) / passed
    return {"percent": round(percent, 2), "fps": round(frames / passed, 2)}


def _said(found: dict[str, float]) -> str:
    return f"{found['percent']:6.2f} % at {found['fps']:4.1f} fps"


def main() -> None:
    """Measure each model and write the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--models", nargs="+", default=MODELS)
    parser.add_argument("--seconds", type=float, default=30.0, help="of each measurement")
    parser.add_argument("--entries", type=int, default=7, help="how often somebody comes in")
    parser.add_argument("--reading", action="store_true", help="only a person who stands still")
    args = parser.parse_args()
    if args.reading:
        rates = {name: measure_reading(args.models[0], fps, args.seconds) for name, fps in RATES}
        ratio = round(rates["default"]["percent"] / rates["off"]["percent"], 3)
        report = {"machine": machine(), "model": args.models[0], **rates, "ratio": ratio}
        READING.write_text(json.dumps(report, indent=1) + "\n", "utf-8")
        return
    rows = []
    for model in args.models:
        for motion_gate in (True, False):
            entries = args.entries if motion_gate else 0
            found = measure(model, motion_gate=motion_gate, seconds=args.seconds, entries=entries)
            ratio = round(found["empty"]["percent"] / found["busy"]["percent"], 4)
            rows.append({"model": model, "motion_gate": motion_gate, **found, "ratio": ratio})
            sys.stdout.write(
                f"{model:20} gate {'on ' if motion_gate else 'off'}"
                f"  empty {_said(found['empty'])}  busy {_said(found['busy'])}  ratio {ratio:.3f}"
                f"  seen after {found.get('seen_s', '-')} s\n"
            )
            sys.stdout.flush()
    report = {"machine": machine(), "runtime": interpreter.runtime(), "rows": rows}
    RESULTS.write_text(json.dumps(report, indent=1) + "\n", "utf-8")


if __name__ == "__main__":
    main()
