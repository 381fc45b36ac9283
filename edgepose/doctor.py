"""Looks at everything the daemon needs, one thing after the other.

Each check is a function that yields findings: what was looked at, how it is, and what
to do if it is not well. None of them changes anything, and none raises.
"""

import ctypes
import importlib.util
import os
import re
import shutil
import stat
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import msgspec

from edgepose import (
    addresses,
    answering,
    building,
    catalogue,
    delegates,
    engine,
    listening,
    page,
    sources,
    storage,
    vitals,
)
from edgepose import config as configuration
from edgepose.choosing import AUTO, Chooser
from edgepose.config import Camera, Config, Origin, blamed
from edgepose.delegates import edgetpu
from edgepose.errors import EdgeposeError
from edgepose.estimator import PoseEstimator
from edgepose.messages import Finding, Throttling
from edgepose.sinks.mqtt import MqttSink
from edgepose.structures import Frame
from edgepose.timing import Clock

PICTURE_S: Final = 15.0  # network cameras take seconds to their first picture
BROKER_S: Final = 12.0  # five for the connection and five for the answer, of the sink
ASK_S: Final = 5.0  # the service manager answers at once
HOT_C: Final = 80.0  # where a Raspberry Pi begins to slow down
LEAST_MB: Final = 100  # of disk: the journal alone takes some
TIME_ERROR: Final = 5  # adjtimex(2): nobody keeps the clock
NODES: Final = Path("/dev/bus/usb")
JOURNAL: Final = "sudo journalctl -u edgepose -n 20"
RESTART: Final = "sudo systemctl restart edgepose"
RUNNING: Final = "if edgepose runs, it holds it: sudo systemctl stop edgepose, then look again"
NO_PASSWORD: Final = (
    "write it with sudo nano /etc/credstore/edgepose.mqtt-password, and the user name into"
    f" mqtt.username; then: {RESTART}. Is it there already? sudo edgepose doctor may read it"
)
CAMERA_MENDS: Final = {
    "demo": "install edgepose again: its own clip is missing",
    "file": "correct the path in the configuration, or let this user read what is there",
    "picamera2": f"check that its ribbon cable is seated, with the power off; {RUNNING}",
    "v4l2": "check its cable; let this user see cameras: sudo usermod -aG video $USER, and log in"
    f" again; {RUNNING}",
}
STREAM_MEND: Final = (
    "is the camera on, and are address, user name and password right? Try the address in a"
    " player such as VLC"
)


def examine(file: Path | None) -> Iterator[Finding]:
    """Look at everything; without a good configuration at what does not need one."""
    return readable(_findings(file))


def readable(findings: Iterator[Finding]) -> Iterator[Finding]:
    """Yield findings as strangers may read them, and with commands as they are to be typed."""
    sudo = "" if os.access(sys.prefix, os.W_OK) else "sudo "
    for finding in findings:
        found, mend = (
            re.sub(r"\bpip install", f"{sudo}{sys.prefix}/bin/pip install", addresses.redact(text))
            for text in (finding.found, finding.mend)
        )
        yield msgspec.structs.replace(finding, found=found, mend=mend)


def _findings(file: Path | None) -> Iterator[Finding]:
    path = file or configuration.DEFAULT_FILE
    config, finding = read(path)
    yield finding
    yield runtime()
    if config is not None:
        yield from _of_configuration(config, path)
    yield clock()
    throttling = vitals.throttling()
    yield power(throttling)
    yield heat(throttling)


def _of_configuration(config: Config, path: Path) -> Iterator[Finding]:
    yield secrets(path)
    yield state(config)
    yield model(config, Origin(file=str(path)))
    yield delegate(config)
    for camera in config.cameras:
        yield source(camera)
    yield broker(config)
    yield live_page(config, runs=False)
    yield numbers(config, runs=False)


def read(path: Path) -> tuple[Config | None, Finding]:
    """Read the configuration."""
    try:
        config = configuration.load(path)
        configuration.require_cameras(config, path)
    except EdgeposeError as error:
        return None, Finding("configuration", "fail", str(error), _mend_file(path))
    return config, Finding("configuration", "ok", f"{path}: good")


def _mend_file(path: Path) -> str:
    if not os.access(path, os.F_OK):
        return f"sudo edgepose config init {path}"
    if not os.access(path, os.R_OK):
        named = "" if path == configuration.DEFAULT_FILE else f" -c {path}"
        return f"sudo edgepose doctor{named}"
    return f"change it (sudo nano {path}), then: sudo edgepose config check {path}"


def service() -> Iterator[Finding]:
    """Say how the service does, where it is installed."""
    told = _unit()
    if told.get("LoadState") != "loaded":
        return
    state, code = told.get("ActiveState"), told.get("ExecMainStatus")
    if state == "active":
        yield Finding("service", "ok", "it runs")
    elif state == "inactive":
        yield Finding("service", "warn", "it does not run", "sudo systemctl start edgepose")
    elif state == "activating" and told.get("SubState") != "auto-restart":
        yield Finding("service", "warn", "it is starting", f"wait a minute; {JOURNAL}")
    else:
        mend = f"{JOURNAL} shows why; mend that, then: {RESTART}"
        yield Finding("service", "fail", f"it ended by itself, with exit code {code}", mend)


def _unit() -> dict[str, str]:
    """Return what the service manager knows of the service; nothing where there is none."""
    asked = "--property=LoadState,ActiveState,SubState,ExecMainStatus"
    lines = _said_by("systemctl", "show", "edgepose", asked).splitlines()
    return dict(line.split("=", 1) for line in lines if "=" in line)


def _said_by(*command: str) -> str:
    """Return what a program of the system prints; nothing where it is not here, or has failed."""
    try:
        return subprocess.run(
            command, capture_output=True, text=True, timeout=ASK_S, check=True
        ).stdout
    except (OSError, subprocess.SubprocessError):
        return ""


def secrets(path: Path) -> Finding:
    """Say whether everybody may read passwords in the file."""
    check = "permissions"
    text = path.read_text("utf-8", "replace")
    open_to_all = path.stat().st_mode & stat.S_IROTH
    if open_to_all and addresses.redact(text) != text:
        mend = f"sudo chmod o-r {path}; for the broker, mqtt.password_file keeps it out of the file"
        return Finding(check, "warn", f"{path}: everybody may read the password in it", mend)
    return Finding(check, "ok", f"{path}: no password is open to everybody")


def state(config: Config) -> Finding:
    """Say whether events can wait on disk."""
    folder = storage.state_directory(config.device.id)
    if folder is None:
        mend = (
            "let this user write to its home folder; is the whole disk read-only, as SD cards"
            " become when they wear out? Then replace it"
        )
        return Finding("state", "warn", "nowhere to keep events while the broker is away", mend)
    left_mb = shutil.disk_usage(folder).free / 1e6
    if left_mb < LEAST_MB:
        mend = "make room: sudo apt clean; sudo journalctl --vacuum-size=50M; df -h shows the rest"
        return Finding("state", "warn", f"{folder}: only {left_mb:.0f} MB left on its disk", mend)
    return Finding("state", "ok", f"{folder} can be written")


def runtime() -> Finding:
    """Say which TFLite runtime there is."""
    try:
        return Finding("runtime", "ok", engine.runtime())
    except EdgeposeError as error:
        return Finding("runtime", "fail", str(error), "pip install ai-edge-litert")


def model(config: Config, origin: Origin | None = None) -> Finding:
    """Load the model and run it once, on the CPU; its twin where it is for the Edge TPU."""
    name = _spoken(config).model.name
    try:
        with blamed(origin, "model", "name"):
            on_cpu = Chooser(None, Clock()).plan(_with(config, name, "cpu"))
            estimator = PoseEstimator(on_cpu.model, threads=config.model.threads)
        estimator.warm_up()
        started = time.perf_counter()
        estimator.warm_up()
        ms = (time.perf_counter() - started) * 1000
    except EdgeposeError as error:
        mend = (
            'model.name = "auto" in the configuration takes what is here, and edgepose models'
            f" lists it; then: {RESTART}"
        )
        return Finding("model", "fail", str(error), mend)
    chosen = f"{AUTO}, of which " if config.model.name == AUTO else ""
    return Finding("model", "ok", f"{chosen}{on_cpu.model} runs on the CPU in {ms:.1f} ms")


def delegate(config: Config) -> Finding:
    """Run the model once on the delegate, in a child process: a wrong library crashes."""
    wanted = delegates.named(config.model.delegate)
    if wanted.plugin is None:
        return Finding("delegate", "ok", 'model.delegate = "cpu": none is asked for')
    asked = config.model.delegate != AUTO
    if absent := wanted.absent():
        if not asked:
            return Finding("delegate", "ok", f"{absent}; the CPU does the work")
        way = "correct its path" if "/" in config.model.delegate else "plug it in, wait a minute"
        mend = f'{way}, or set model.delegate = "auto"; then: {RESTART}'
        return Finding("delegate", "fail", absent, mend)
    return _tried(config, wanted.plugin.library, asked=asked)


def _tried(config: Config, library: str, *, asked: bool) -> Finding:
    if closed := _closed_usb():
        mend = "sudo usermod -aG plugdev $USER, and log in again; then plug it out and in"
        return Finding("delegate", "fail", f"{closed}: this user may not open it", mend)
    try:
        plan = Chooser(None, Clock()).plan(_spoken(config))
    except EdgeposeError as error:
        return Finding("delegate", "fail", str(error), "choose another model or delegate")
    if plan.delegate.plugin is not None:
        return Finding("delegate", "ok", f"{plan.delegate.name}: {plan.reason}")
    mend = f"install {library} and what it needs, and a model for it; {RUNNING}"
    return Finding("delegate", "fail" if asked else "warn", plan.reason, mend)


def _closed_usb() -> str:
    """Return the node of an Edge TPU on USB that we may not open; empty when there is none."""
    for place in edgetpu.on_usb():
        device = edgetpu.USB_DEVICES / place
        numbers = [int((device / name).read_text()) for name in ("busnum", "devnum")]
        node = NODES / f"{numbers[0]:03d}" / f"{numbers[1]:03d}"
        if not os.access(node, os.R_OK | os.W_OK):
            return str(node)
    return ""


def _spoken(config: Config) -> Config:
    """Name a model where `auto` would measure all of them first."""
    name = catalogue.DEFAULT if config.model.name == AUTO else config.model.name
    return _with(config, name, config.model.delegate)


def _with(config: Config, name: str, delegate: str) -> Config:
    if delegate == "cpu":
        name = config.model.twin or catalogue.twin(name) or name
    model = msgspec.structs.replace(config.model, name=name, delegate=delegate)
    return msgspec.structs.replace(config, model=model)


def source(camera: Camera) -> Finding:
    """Wait for one picture."""
    check = f"camera {camera.id}"
    got: list[Frame | Exception] = []
    waiting = threading.Thread(target=_first_picture, args=(camera, got), daemon=True)
    started = time.perf_counter()
    waiting.start()
    waiting.join(PICTURE_S)
    took_s = time.perf_counter() - started
    if not got:
        mend = "check its cable and power, and that nothing else uses it"
        return Finding(check, "fail", f"{camera.source}: no picture in {PICTURE_S:g} s", mend)
    if isinstance(got[0], Exception):
        scheme = sources.Address.parse(camera.source).scheme
        mend = CAMERA_MENDS.get(scheme, STREAM_MEND)
        return Finding(check, "fail", str(got[0]), mend)
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
        got.append(EdgeposeError(f"{camera.source}: holds no picture"))
    except Exception as error:  # whatever it is, it is the finding
        got.append(error)


def broker(config: Config) -> Finding:
    """Log in, under another name than the daemon, so that it is not thrown out."""
    if addresses.broker(config.mqtt.url).embedded:
        if importlib.util.find_spec("amqtt") is None:
            mend = "pip install 'edgepose[broker]'"
            return Finding("broker", "fail", "the built-in broker needs amqtt", mend)
        return Finding("broker", "ok", "the built-in one starts with the daemon")
    try:
        options = building.login(config)
        sink = MqttSink(options)
    except (EdgeposeError, OSError) as error:
        mend = f"change it below [mqtt] of the configuration, then: {RESTART}"
        return Finding("broker", "fail", str(error), mend)
    sink.start()
    sink.wait_tried(BROKER_S)
    failure, protocol, trouble = sink.failure, sink.protocol, sink.trouble
    sink.close()
    if failure is not None:
        mend = _mend_login(config) if options.password else NO_PASSWORD
        return Finding("broker", "fail", str(failure), mend)
    if protocol is None:
        found = f"{options.address}: {trouble or 'no answer'}"
        return Finding("broker", "fail", found, _mend_way(config, trouble))
    version = "5" if protocol == configuration.Mqtt().protocol else "3.1.1"
    return Finding("broker", "ok", f"{options.address} lets us in, with MQTT {version}")


def _mend_login(config: Config) -> str:
    where = config.mqtt.password_file or "/etc/credstore/edgepose.mqtt-password"
    if addresses.broker(config.mqtt.url).password:
        where = "mqtt.url"
    return f"correct mqtt.username, or the password in {where}; then: {RESTART}"


def _mend_way(config: Config, trouble: str) -> str:
    """Say what to do where no broker answers; the daemon tries again for ever."""
    if ";" in trouble:  # it says itself what to do
        return f"change it below [mqtt] of the configuration, then: {RESTART}"
    asked = addresses.broker(config.mqtt.url)
    if addresses.is_local(asked.host):
        mend = "sudo systemctl restart mosquitto; is there none? sudo apt install mosquitto"
    else:
        mend = f"is {asked.host} on, and does a broker run there? Is mqtt.url right?"
    return f"{mend}; without TLS it is mqtt://, not mqtts://" if asked.tls else mend


def live_page(config: Config, *, runs: bool) -> Finding:
    """Say whether the page answers, or what it lacks."""
    listen, tls = config.web.listen, bool(config.web.cert_file)
    place = addresses.address(listen)
    if place is None:
        return Finding("page", "ok", 'web.listen = "": none is asked for')
    url = f"{'https' if tls else 'http'}://{listen}"
    if answering.is_page(place, tls=tls):
        return Finding("page", "ok", f"{url} answers")
    if missing := page.lack(config):
        found, mend = missing
        return Finding("page", "warn", f"it is not served: {found}", mend)
    return _to_be_served("page", "web.listen", place, url, runs=runs)


def numbers(config: Config, *, runs: bool) -> Finding:
    """Say whether the numbers for Prometheus can be had."""
    listen = config.metrics.listen
    place = addresses.address(listen)
    if place is None:
        return Finding("metrics", "ok", 'metrics.listen = "": none are asked for')
    url = f"http://{listen}/metrics"
    if answering.has_numbers(place):
        return Finding("metrics", "ok", f"{url} answers")
    return _to_be_served("metrics", "metrics.listen", place, url, runs=runs)


def _to_be_served(
    check: str, key: str, place: addresses.Address, url: str, *, runs: bool
) -> Finding:
    if reason := listening.why_not(place):
        return Finding(check, "warn", f"{place}: {reason}", listening.way_out(key))
    if runs:
        mend = f"{RESTART}; {JOURNAL} shows why it is not"
        return Finding(check, "warn", "the daemon that runs does not serve it", mend)
    return Finding(check, "ok", f"{url} is free; the daemon will serve it there")


def clock() -> Finding:
    """Ask the kernel whether somebody keeps its clock."""
    # struct timex, zeroed: to look and not to set; 208 bytes on 64-bit machines
    kept = ctypes.CDLL(None).adjtimex(ctypes.create_string_buffer(512))
    if kept < 0:  # the service may not ask the kernel, but somebody who may
        told = _said_by("timedatectl", "show", "--property=NTPSynchronized", "--value").strip()
        kept = {"yes": 0, "no": TIME_ERROR}.get(told, kept)
    if kept == TIME_ERROR:
        mend = "sudo timedatectl set-ntp true; times in messages are wrong until it is"
        return Finding("clock", "warn", "not synchronised", mend)
    if kept < 0:
        return Finding("clock", "ok", "this machine does not tell")
    return Finding("clock", "ok", "synchronised")


def power(throttling: Throttling | None) -> Finding:
    """Say whether the supply of a Raspberry Pi is strong enough."""
    if throttling is None or "under_voltage" not in throttling.now:
        return Finding("power", "ok", "this machine does not tell")
    mend = (
        "use the power supply made for this Pi and a short, thick cable, and give USB devices"
        " a supply of their own; then restart it: sudo reboot"
    )
    if throttling.now["under_voltage"]:
        return Finding("power", "warn", "too little right now: it slows down, or crashes", mend)
    if throttling.since_boot.get("under_voltage"):
        return Finding("power", "warn", "there was too little since it was started", mend)
    return Finding("power", "ok", "enough")


def heat(throttling: Throttling | None) -> Finding:
    """Say whether the processor is hot, or is slowed down for that."""
    temperature_c = vitals.temperature_c()
    mend = "a heat sink, a fan, or air around it; if it is cool, look at power first"
    shown = [] if temperature_c is None else [f"{temperature_c:.0f} °C"]
    if throttling is not None:
        now = _slowed(throttling.now)
        if slowed := now or _slowed(throttling.since_boot):
            when = "right now" if now else "at some time since it was started"
            shown.append(f"slowed down {when} ({', '.join(slowed)})")
            return Finding("heat", "warn", ", ".join(shown), mend)
        shown.append("not slowed down")
    if temperature_c is not None and temperature_c > HOT_C:
        return Finding("heat", "warn", ", ".join(shown), mend)
    return Finding("heat", "ok", ", ".join(shown) or "this machine does not tell")


def _slowed(flags: dict[str, bool]) -> list[str]:
    return [flag for flag, is_set in flags.items() if is_set and flag != "under_voltage"]
