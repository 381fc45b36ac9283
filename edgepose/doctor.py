"""Looks at everything the daemon needs, one thing after the other.

Each check is a function that yields findings: what was looked at, how it is, and what
to do if it is not well. None of them changes anything, and none raises.
"""

import ctypes
import importlib.util
import os
import stat
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import msgspec

from edgepose import addresses, building, catalogue, delegates, engine, sources, storage, vitals
from edgepose import config as configuration
from edgepose.choosing import AUTO, Chooser
from edgepose.config import Camera, Config
from edgepose.delegates import edgetpu
from edgepose.errors import EdgeposeError
from edgepose.estimator import PoseEstimator
from edgepose.messages import Finding, Throttling
from edgepose.sinks.mqtt import MqttSink
from edgepose.structures import Frame
from edgepose.timing import Clock

PICTURE_S: Final = 15.0  # network cameras take seconds to their first picture
BROKER_S: Final = 12.0  # five for the connection and five for the answer, of the sink
HOT_C: Final = 80.0  # where a Raspberry Pi begins to slow down
TIME_ERROR: Final = 5  # adjtimex(2): nobody keeps the clock
NODES: Final = Path("/dev/bus/usb")
RUNNING: Final = "if edgepose is running it holds the device: systemctl stop edgepose, then again"
NO_PASSWORD: Final = (
    "set a password; one that only the service has, as a credential, is tried so: systemd-run"
    " --pipe -p LoadCredential=mqtt-password:edgepose.mqtt-password edgepose doctor"
)


def examine(file: Path | None) -> Iterator[Finding]:
    """Look at everything; without a good configuration at what does not need one."""
    return without_secrets(_findings(file))


def without_secrets(findings: Iterator[Finding]) -> Iterator[Finding]:
    """Yield findings as strangers may read them."""
    for finding in findings:
        yield msgspec.structs.replace(finding, found=addresses.redact(finding.found))


def _findings(file: Path | None) -> Iterator[Finding]:
    path = file or configuration.DEFAULT_FILE
    config, finding = read(path)
    yield finding
    yield runtime()
    if config is not None:
        yield secrets(path)
        yield state(config)
        yield model(config)
        yield delegate(config)
        for camera in config.cameras:
            yield source(camera)
        yield broker(config)
    yield clock()
    throttling = vitals.throttling()
    yield power(throttling)
    yield heat(throttling)


def read(path: Path) -> tuple[Config | None, Finding]:
    """Read the configuration."""
    try:
        config = configuration.load(path)
        configuration.require_cameras(config, str(path))
    except EdgeposeError as error:
        mend = f"change it, then: edgepose config check {path}"
        if not path.exists():
            mend = f"edgepose config init {path}"
        return None, Finding("configuration", "fail", str(error), mend)
    return config, Finding("configuration", "ok", f"{path}: good")


def secrets(path: Path) -> Finding:
    """Say whether everybody may read passwords in the file."""
    check = "permissions"
    text = path.read_text("utf-8", "replace")
    open_to_all = path.stat().st_mode & stat.S_IROTH
    if open_to_all and addresses.redact(text) != text:
        mend = f"chmod o-r {path}; for the broker, mqtt.password_file keeps it out of the file"
        return Finding(check, "warn", f"{path}: everybody may read the password in it", mend)
    return Finding(check, "ok", f"{path}: no password is open to everybody")


def state(config: Config) -> Finding:
    """Say whether events can wait on disk."""
    folder = storage.state_directory(config.device.id)
    if folder is None:
        mend = f"set {storage.VARIABLE} to a folder that this user may write to"
        return Finding("state", "warn", "nowhere to keep events while the broker is away", mend)
    return Finding("state", "ok", f"{folder} can be written")


def runtime() -> Finding:
    """Say which TFLite runtime there is."""
    try:
        return Finding("runtime", "ok", engine.runtime())
    except EdgeposeError as error:
        return Finding("runtime", "fail", str(error), "pip install ai-edge-litert")


def model(config: Config) -> Finding:
    """Load the model and run it once, on the CPU; its twin where it is for the Edge TPU."""
    name = _spoken(config).model.name
    try:
        on_cpu = Chooser(None, Clock()).plan(_with(config, name, "cpu"))
        estimator = PoseEstimator(on_cpu.model, threads=config.model.threads)
        estimator.warm_up()
        started = time.perf_counter()
        estimator.warm_up()
        ms = (time.perf_counter() - started) * 1000
    except EdgeposeError as error:
        mend = "edgepose models lists what there is; edgepose models fetch NAME downloads"
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
        mend = 'plug it in and wait a few seconds, or set model.delegate = "auto"' if asked else ""
        found = absent if asked else f"{absent}; the CPU does the work"
        return Finding("delegate", "fail" if asked else "ok", found, mend)
    return _tried(config, wanted.plugin.library, asked=asked)


def _tried(config: Config, library: str, *, asked: bool) -> Finding:
    if closed := _closed_usb():
        mend = "install the udev rule for the Edge TPU, or: usermod -aG plugdev USER; plug it anew"
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
        mend = f"check the address, cable and permissions (group video); {RUNNING}"
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
        return Finding("broker", "fail", str(error), "mend what it says, in [mqtt]")
    sink.start()
    sink.wait_tried(BROKER_S)
    failure, protocol, trouble = sink.failure, sink.protocol, sink.trouble
    sink.close()
    if failure is not None:
        mend = "correct user name or password" if options.password else NO_PASSWORD
        return Finding("broker", "fail", str(failure), mend)
    if protocol is None:
        mend = "is the broker running, and is mqtt.url right? The daemon tries again for ever"
        found = f"{options.address}: {trouble or 'no answer'}"
        return Finding("broker", "fail", found, mend)
    version = "5" if protocol == configuration.Mqtt().protocol else "3.1.1"
    return Finding("broker", "ok", f"{options.address} lets us in, with MQTT {version}")


def clock() -> Finding:
    """Ask the kernel whether somebody keeps its clock."""
    # struct timex, zeroed: to look and not to set; 208 bytes on 64-bit machines
    kept = ctypes.CDLL(None).adjtimex(ctypes.create_string_buffer(512))
    if kept == TIME_ERROR:
        mend = "timedatectl set-ntp true; times in messages are wrong until it is"
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
