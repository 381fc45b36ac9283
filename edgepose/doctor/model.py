"""Doctor's checks of the runtime, the model and the delegate."""

import os
import time
from pathlib import Path
from typing import Final

import msgspec

from edgepose.camera.build import total_fps
from edgepose.config.loading import Origin, with_config_location
from edgepose.config.schema import Config
from edgepose.doctor.remedies import RESTART, RUNNING
from edgepose.errors import EdgeposeError
from edgepose.models import catalog
from edgepose.mqtt.messages import Finding
from edgepose.pose import delegates, interpreter
from edgepose.pose.delegates import edgetpu
from edgepose.pose.estimator import PoseEstimator
from edgepose.pose.selection import AUTO, ModelSelector, is_fit_for_falls
from edgepose.timing import Clock

NODES: Final = Path("/dev/bus/usb")
SMALL_MODEL: Final = "movenet-lightning-int8"
FIT_MODELS: Final = 'model.name = "auto", "refined-light" or "movenet-multipose"'
"""Models recommended for fall detection."""


def runtime(*, tried: bool = False) -> Finding:
    """Check the TFLite runtime; unless `tried`, it has to load a small model."""
    try:
        name = interpreter.runtime()
        if not tried:
            PoseEstimator(SMALL_MODEL, threads=1)
    except EdgeposeError as error:
        remedy = "pip install 'numpy<2'" if "numpy" in str(error) else "pip install ai-edge-litert"
        return Finding("runtime", "fail", str(error), remedy)
    return Finding("runtime", "ok", name)


def model(config: Config, origin: Origin | None = None) -> Finding:
    """Run the model once on the CPU; for an Edge TPU model, its CPU counterpart."""
    name = _with_named_model(config).model.name
    try:
        with with_config_location(origin, "model", "name"):
            on_cpu = ModelSelector(None, Clock()).plan(
                _with_model(config, name, "cpu"), total_fps(config)
            )
            estimator = PoseEstimator(on_cpu.model, threads=on_cpu.arrangement.threads)
        estimator.warm_up()
        started = time.perf_counter()
        estimator.warm_up()
        ms = (time.perf_counter() - started) * 1000
    except EdgeposeError as error:
        remedy = (
            'model.name = "auto" in the configuration takes what is here, and edgepose models'
            f" lists it; then: {RESTART}"
        )
        return Finding("model", "fail", str(error), remedy)
    chosen = f"{AUTO}, of which " if config.model.name == AUTO else ""
    found = f"{chosen}{on_cpu.model} runs on the CPU in {ms:.1f} ms"
    found += f"; interpreters x threads: {on_cpu.arranged}"
    if config.events.fall and not is_fit_for_falls(on_cpu.model):
        found += "; it finds few lying people, and fall detection is on"
        return Finding("model", "warn", found, f"{FIT_MODELS}; then: {RESTART}")
    return Finding("model", "ok", found)


def delegate(config: Config) -> Finding:
    """Run the model once on the delegate, in a child process: a wrong library may crash it."""
    wanted = delegates.named(config.model.delegate)
    if wanted.plugin is None:
        return Finding("delegate", "ok", 'model.delegate = "cpu": none is asked for')
    asked = config.model.delegate != AUTO
    if absent := wanted.absent():
        if not asked:
            return Finding("delegate", "ok", f"{absent}; the CPU is used")
        way = "correct its path" if "/" in config.model.delegate else "plug it in, wait a minute"
        remedy = f'{way}, or set model.delegate = "auto"; then: {RESTART}'
        return Finding("delegate", "fail", absent, remedy)
    return _trial_finding(config, wanted.plugin.library, asked=asked)


def _trial_finding(config: Config, library: str, *, asked: bool) -> Finding:
    if closed := _closed_usb():
        remedy = (
            "sudo usermod -aG plugdev $USER, and log in again; then unplug it and plug it in again"
        )
        return Finding("delegate", "fail", f"{closed}: this user may not open it", remedy)
    try:
        plan = ModelSelector(None, Clock()).plan(_with_named_model(config), total_fps(config))
    except EdgeposeError as error:
        return Finding("delegate", "fail", str(error), "choose another model or delegate")
    if plan.delegate.plugin is not None:
        return Finding("delegate", "ok", f"{plan.delegate.name}: {plan.reason}")
    remedy = f"install {library} and what it needs, and a model for it; {RUNNING}"
    return Finding("delegate", "fail" if asked else "warn", plan.reason, remedy)


def _closed_usb() -> str:
    """Return the device node of a USB Edge TPU that this user cannot open; else empty."""
    for place in edgetpu.on_usb():
        device = edgetpu.USB_DEVICES / place
        numbers = [int((device / name).read_text()) for name in ("busnum", "devnum")]
        node = NODES / f"{numbers[0]:03d}" / f"{numbers[1]:03d}"
        if not os.access(node, os.R_OK | os.W_OK):
            return str(node)
    return ""


def _with_named_model(config: Config) -> Config:
    """Return the configuration with a named model: `auto` would first measure all models."""
    name = catalog.DEFAULT if config.model.name == AUTO else config.model.name
    return _with_model(config, name, config.model.delegate)


def _with_model(config: Config, name: str, delegate: str) -> Config:
    if delegate == "cpu":
        name = config.model.twin or catalog.cpu_model(name) or name
    model = msgspec.structs.replace(config.model, name=name, delegate=delegate)
    return msgspec.structs.replace(config, model=model)
