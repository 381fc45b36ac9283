"""Delegates: by name, by connected device, by library path."""

from pathlib import Path

import numpy as np
import pytest

from edgepose.errors import ConfigError, DelegateError, ModelError
from edgepose.pose import decoders, delegates
from edgepose.pose.delegates import Plugin, edgetpu
from edgepose.pose.delegates.edgetpu import EdgeTpu
from edgepose.pose.delegates.library import Library
from edgepose.pose.estimator import PoseEstimator
from edgepose.pose.interpreter import TfliteInterpreter
from tests.support import tpu

BLACK = np.zeros((1, 64, 64, 3), dtype=np.uint8)


def engine(library: Path | str, content: bytes | None = None) -> TfliteInterpreter:
    """Load a network, by default the Edge TPU one, with a delegate."""
    made_ready, info, _ = decoders.load(content or tpu.for_the_edgetpu(), "person")
    return TfliteInterpreter(made_ready, info, threads=1, plugin=Plugin(str(library)))


@pytest.mark.parametrize(
    ("text", "device"),
    [
        ("auto", ":0"),
        ("edgetpu", ":0"),
        ("edgetpu:usb:0", "usb:0"),
        ("edgetpu:usb:3", "usb:3"),
        ("edgetpu:pci:1", "pci:1"),
    ],
)
def test_the_device_always_has_a_number(text: str, device: str) -> None:
    """The option `device` is always set: without it libedgetpu ignores the other options."""
    plugin = delegates.named(text).plugin

    assert plugin is not None
    assert dict(plugin.options)["device"] == device
    assert "edgetpu" in plugin.library


def test_each_text_is_one_delegates() -> None:
    """`cpu` has no plug-in, a slash means a library, and `name` returns the original text."""
    assert delegates.named("cpu").plugin is None
    assert delegates.named("/opt/other.so") == Library(Path("/opt/other.so"))
    for text in ("cpu", "edgetpu", "edgetpu:usb:1", "/opt/other.so"):
        assert delegates.named(text).name == text
    with pytest.raises(ConfigError, match="expected auto, cpu, edgetpu"):
        delegates.named("edgetpu:fire:0")


@pytest.fixture
def buses(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Replace the machine's buses by empty ones."""
    usb, nodes = tmp_path / "usb", tmp_path / "dev"
    usb.mkdir()
    nodes.mkdir()
    monkeypatch.setattr(edgetpu, "USB_DEVICES", usb)
    monkeypatch.setattr(edgetpu, "NODES", nodes)
    return tmp_path


def plug_in(buses: Path, port: str, vendor: str, product: str) -> None:
    """Create a USB device's entry in sysfs."""
    device = buses / "usb" / port
    device.mkdir()
    (device / "idVendor").write_text(f"{vendor}\n")
    (device / "idProduct").write_text(f"{product}\n")


@pytest.mark.parametrize("ids", edgetpu.USB_IDS)
def test_an_accelerator_on_usb_is_seen_by_either_id(buses: Path, ids: tuple[str, str]) -> None:
    """Both USB ids are recognised: the id changes when the firmware is loaded."""
    plug_in(buses, "1-1", "1d6b", "0002")
    (buses / "usb" / "1-1:1.0").mkdir()
    before = EdgeTpu().absent(), EdgeTpu("usb").absent()

    plug_in(buses, "1-1.2", *ids)

    assert before == ("no Edge TPU was found on USB or PCIe", "no Edge TPU was found on USB")
    assert (EdgeTpu().absent(), EdgeTpu("usb").absent()) == ("", "")
    assert EdgeTpu("pci").absent() == "no Edge TPU was found on PCIe"
    assert "1 found" in EdgeTpu("usb", 1).absent()


def test_an_accelerator_on_pcie_is_seen_by_its_node(buses: Path) -> None:
    """The node /dev/apex_0 of the driver is recognised."""
    (buses / "dev" / "apex_0").touch()

    assert EdgeTpu("pci").absent() == ""
    assert EdgeTpu().absent() == ""
    assert EdgeTpu("usb").absent() != ""


def test_a_library_that_is_not_there_is_absent(tmp_path: Path) -> None:
    """A missing library is reported before a child process is started."""
    assert "no such file" in Library(tmp_path / "none.so").absent()


def test_a_delegate_runs_what_only_it_can(tmp_path: Path) -> None:
    """The Edge TPU operator is run by the delegate, which provides the outputs."""
    said = engine(tpu.compile_delegate(tmp_path)).infer(BLACK).arrays

    assert np.unique(said[0]) == pytest.approx(tpu.SAID)


def test_the_twin_answers_on_the_cpu_with_a_delegate_loaded(tmp_path: Path) -> None:
    """The CPU model's operators are not taken over by the delegate."""
    said = engine(tpu.compile_delegate(tmp_path), tpu.for_the_cpu()).infer(BLACK).arrays

    np.testing.assert_array_equal(said[0], tpu.person())


@pytest.mark.parametrize(
    ("told", "words"),
    [
        ({"AT_LOAD": "REFUSE"}, "it refuses to start: no device for me"),
        ({"CLAIM": 0}, "does not take edgetpu-custom-op of model person over"),
    ],
)
def test_a_delegate_that_is_of_no_use_says_why(
    tmp_path: Path, told: dict[str, str | int], words: str
) -> None:
    """A delegate that finds no device or takes over no operator raises DelegateError."""
    with pytest.raises(DelegateError, match=words):
        engine(tpu.compile_delegate(tmp_path, **told))


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")  # of the runtime
def test_a_library_that_cannot_be_loaded_is_named() -> None:
    """A missing or invalid library raises DelegateError with its name."""
    with pytest.raises(DelegateError, match=r"libnothing\.so\.1: the library cannot be loaded"):
        engine("libnothing.so.1")


def test_a_device_that_goes_away_is_an_error_of_its_own(tmp_path: Path) -> None:
    """A failure during inference raises DelegateError; repeated failures do not lengthen it."""
    running = engine(tpu.compile_delegate(tmp_path, AT_INVOKE="FAIL", AFTER=2))
    running.infer(BLACK)
    running.infer(BLACK)
    sentences = []

    for _ in range(5):
        with pytest.raises(DelegateError, match="failed while running") as caught:
            running.infer(BLACK)
        sentences.append(str(caught.value))

    assert max(map(len, sentences)) < 400


def test_without_a_delegate_a_model_for_the_edge_tpu_is_refused() -> None:
    """The error says that the model is compiled for the Edge TPU."""
    content, info, _ = decoders.load(tpu.for_the_edgetpu(), "person")

    with pytest.raises(ModelError, match="compiled for the Edge TPU"):
        TfliteInterpreter(content, info, threads=1)


@pytest.mark.usefixtures("buses")
def test_programs_of_ones_own_name_a_delegate_too(tmp_path: Path) -> None:
    """PoseEstimator accepts a library's path; `auto` uses the CPU without an Edge TPU."""
    model, twin = tpu.pair(tmp_path)
    library = tpu.compile_delegate(tmp_path)
    picture = np.zeros((48, 64, 3), dtype=np.uint8)

    by_path = PoseEstimator(model, delegate=str(library), threads=1).estimate(picture)
    by_auto = PoseEstimator(twin, delegate="auto", threads=1).estimate(picture)

    assert by_path[0].keypoints[0, 2] == pytest.approx(tpu.SAID)
    assert by_auto[0].keypoints[0, 2] == pytest.approx(0.9)
    with pytest.raises(ModelError, match="compiled for the Edge TPU"):
        PoseEstimator(model, delegate="auto")
