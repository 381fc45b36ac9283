"""Checks all that the daemon needs, one check after the other.

Each check returns findings with the subject, the verdict and the remedy. Checks change nothing
and do not raise.
"""

import os
import re
import shutil
import stat
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import msgspec

from edgepose import urls
from edgepose.camera import sources
from edgepose.config import loading
from edgepose.config.loading import Origin
from edgepose.config.schema import Camera, Config
from edgepose.doctor import broker, http_probe
from edgepose.doctor.machine import clock, heat, power
from edgepose.doctor.model import delegate, model, runtime
from edgepose.doctor.remedies import JOURNAL, RESTART, RUNNING
from edgepose.errors import EdgeposeError
from edgepose.mqtt.messages import Finding
from edgepose.system import hardware, sockets, storage
from edgepose.types import Frame
from edgepose.web import requirements

PICTURE_S: Final = 15.0  # network cameras need seconds for the first picture
LEAST_MB: Final = 100  # of free disk space; the journal also needs some
CAMERA_REMEDIES: Final = {
    "demo": "install edgepose again: its bundled clip is missing",
    "file": "correct the path in the configuration, or let this user read the file",
    "picamera2": f"check that its ribbon cable is seated, with the power off; {RUNNING}",
    "v4l2": "check its cable; give this user access to cameras: sudo usermod -aG video $USER,"
    " and log in"
    f" again; {RUNNING}",
}
STREAM_REMEDY: Final = (
    "check that the camera is switched on and that address, user name and password are right;"
    " try the address in a"
    " player such as VLC"
)


def run_checks(file: Path | None) -> Iterator[Finding]:
    """Run all checks; without a valid configuration only those that need none."""
    return readable(_all_findings(file))


def readable(findings: Iterator[Finding]) -> Iterator[Finding]:
    """Yield findings with secrets removed and shell commands completed."""
    sudo = "" if os.access(sys.prefix, os.W_OK) else "sudo "
    for finding in findings:
        found, remedy = (
            re.sub(r"\bpip install", f"{sudo}{sys.prefix}/bin/pip install", urls.redact(text))
            for text in (finding.found, finding.mend)
        )
        yield msgspec.structs.replace(finding, found=found, mend=remedy)


def _all_findings(file: Path | None) -> Iterator[Finding]:
    path = file or loading.DEFAULT_FILE
    config, finding = read(path)
    yield finding
    yield runtime()
    if config is not None:
        yield from _of_configuration(config, path)
    yield clock()
    throttling = hardware.read_throttling()
    yield power(throttling)
    yield heat(throttling)


def _of_configuration(config: Config, path: Path) -> Iterator[Finding]:
    yield secrets(path)
    yield state(config)
    yield model(config, Origin(file=str(path)))
    yield delegate(config)
    for camera in config.cameras:
        yield source(camera)
    yield from broker.findings(config)
    yield live_page(config, runs=False)
    yield numbers(config, runs=False)


def read(path: Path) -> tuple[Config | None, Finding]:
    """Return the configuration, None if it is invalid, and the finding."""
    try:
        config = loading.load(path)
        loading.require_cameras(config, path)
    except EdgeposeError as error:
        return None, Finding("configuration", "fail", str(error), _file_remedy(path))
    return config, Finding("configuration", "ok", f"{path}: good")


def _file_remedy(path: Path) -> str:
    if not os.access(path, os.F_OK):
        return f"sudo edgepose config init {path}"
    if not os.access(path, os.R_OK):
        named = "" if path == loading.DEFAULT_FILE else f" -c {path}"
        return f"sudo edgepose doctor{named}"
    return f"change it (sudo nano {path}), then: sudo edgepose config check {path}"


def secrets(path: Path) -> Finding:
    """Check whether all users can read passwords in the file."""
    check = "permissions"
    text = path.read_text("utf-8", "replace")
    open_to_all = path.stat().st_mode & stat.S_IROTH
    if open_to_all and urls.redact(text) != text:
        remedy = (
            f"sudo chmod o-r {path}; for the broker, mqtt.password_file keeps it out of the file"
        )
        return Finding(check, "warn", f"{path}: all users can read the password in it", remedy)
    return Finding(check, "ok", f"{path}: other users cannot read its passwords")


def state(config: Config) -> Finding:
    """Check whether events can be stored on disk."""
    folder = storage.state_directory(config.device.id)
    if folder is None:
        remedy = (
            "let this user write to its home folder; is the whole disk read-only, as SD cards"
            " become when they wear out? Then replace it"
        )
        return Finding("state", "warn", "no folder for events while the broker is away", remedy)
    left_mb = shutil.disk_usage(folder).free / 1e6
    if left_mb < LEAST_MB:
        remedy = (
            "free space: sudo apt clean; sudo journalctl --vacuum-size=50M; df -h shows"
            " what is left"
        )
        return Finding("state", "warn", f"{folder}: only {left_mb:.0f} MB left on its disk", remedy)
    return Finding("state", "ok", f"{folder} can be written")


def source(camera: Camera) -> Finding:
    """Open a camera and wait for one picture."""
    check = f"camera {camera.id}"
    got: list[Frame | Exception] = []
    waiting = threading.Thread(target=_first_picture, args=(camera, got), daemon=True)
    started = time.perf_counter()
    waiting.start()
    waiting.join(PICTURE_S)
    took_s = time.perf_counter() - started
    if not got:
        remedy = "check its cable and power, and that nothing else uses it"
        return Finding(check, "fail", f"{camera.source}: no picture in {PICTURE_S:g} s", remedy)
    if isinstance(got[0], Exception):
        scheme = sources.SourceAddress.parse(camera.source).scheme
        remedy = CAMERA_REMEDIES.get(scheme, STREAM_REMEDY)
        return Finding(check, "fail", str(got[0]), remedy)
    height, width = got[0].image.shape[:2]
    return Finding(check, "ok", f"{camera.source}: {width}x{height}, after {took_s:.1f} s")


def _first_picture(camera: Camera, got: list[Frame | Exception]) -> None:
    try:
        opened = sources.open_source(camera.source, realtime=False, fps=camera.fps)
        try:
            got.append(next(iter(opened.frames())))
        finally:
            opened.close()
    except StopIteration:
        got.append(EdgeposeError(f"{camera.source}: contains no picture"))
    except Exception as error:  # reported as the finding
        got.append(error)


def live_page(config: Config, *, runs: bool) -> Finding:
    """Check whether the page is served, or what is missing for it."""
    listen, tls = config.web.listen, bool(config.web.cert_file)
    place = urls.address(listen)
    if place is None:
        return Finding("page", "ok", 'web.listen = "": none is asked for')
    url = f"{'https' if tls else 'http'}://{listen}"
    if http_probe.is_page(place, tls=tls):
        return Finding("page", "ok", f"{url} answers")
    if missing := requirements.missing_requirement(config):
        found, remedy = missing
        return Finding("page", "warn", f"it is not served: {found}", remedy)
    return _to_be_served("page", "web.listen", place, url, runs=runs)


def numbers(config: Config, *, runs: bool) -> Finding:
    """Check whether the metrics are served."""
    listen = config.metrics.listen
    place = urls.address(listen)
    if place is None:
        return Finding("metrics", "ok", 'metrics.listen = "": none are asked for')
    url = f"http://{listen}/metrics"
    if http_probe.has_numbers(place):
        return Finding("metrics", "ok", f"{url} answers")
    return _to_be_served("metrics", "metrics.listen", place, url, runs=runs)


def _to_be_served(check: str, key: str, place: urls.Address, url: str, *, runs: bool) -> Finding:
    if reason := sockets.why_not(place):
        return Finding(check, "warn", f"{place}: {reason}", sockets.way_out(key))
    if runs:
        remedy = f"{RESTART}; {JOURNAL} shows why it is not"
        return Finding(check, "warn", "the running daemon does not serve it", remedy)
    return Finding(check, "ok", f"{url} is free; the daemon will serve it there")
