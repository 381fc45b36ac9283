"""What may run a model besides the CPU: by name, by what is plugged in, by a real library."""

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
    """Load a network, by itself one for the Edge TPU, with a delegate."""
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
    """Without one libedgetpu drops all other options in silence."""
    plugin = delegates.named(text).plugin

    assert plugin is not None
    assert dict(plugin.options)["device"] == device
    assert "edgetpu" in plugin.library


def test_each_text_is_one_delegates() -> None:
    """The CPU needs nothing; a slash makes a library; a name says what it is again."""
    assert delegates.named("cpu").plugin is None
    assert delegates.named("/opt/other.so") == Library(Path("/opt/other.so"))
    for text in ("cpu", "edgetpu", "edgetpu:usb:1", "/opt/other.so"):
        assert delegates.named(text).name == text
    with pytest.raises(ConfigError, match="expected auto, cpu, edgetpu"):
        delegates.named("edgetpu:fire:0")


@pytest.fixture
def buses(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Put empty buses in the place of the machine's."""
    usb, nodes = tmp_path / "usb", tmp_path / "dev"
    usb.mkdir()
    nodes.mkdir()
    monkeypatch.setattr(edgetpu, "USB_DEVICES", usb)
    monkeypatch.setattr(edgetpu, "NODES", nodes)
    return tmp_path


def plug_in(buses: Path, port: str, vendor: str, product: str) -> None:
    """Make a USB device as the system lists it."""
    device = buses / "usb" / port
    device.mkdir()
    (device / "idVendor").write_text(f"{vendor}\n")
    (device / "idProduct").write_text(f"{product}\n")


@pytest.mark.parametrize("ids", edgetpu.USB_IDS)
def test_an_accelerator_on_usb_is_seen_by_either_id(buses: Path, ids: tuple[str, str]) -> None:
    """It has another one before its firmware is loaded."""
    plug_in(buses, "1-1", "1d6b", "0002")
    (buses / "usb" / "1-1:1.0").mkdir()
    before = EdgeTpu().absent(), EdgeTpu("usb").absent()

    plug_in(buses, "1-1.2", *ids)

    assert before == ("no Edge TPU was found on USB or PCIe", "no Edge TPU was found on USB")
    assert (EdgeTpu().absent(), EdgeTpu("usb").absent()) == ("", "")
    assert EdgeTpu("pci").absent() == "no Edge TPU was found on PCIe"
    assert "1 found" in EdgeTpu("usb", 1).absent()


def test_an_accelerator_on_pcie_is_seen_by_its_node(buses: Path) -> None:
    """The driver makes /dev/apex_0 and so on."""
    (buses / "dev" / "apex_0").touch()

    assert EdgeTpu("pci").absent() == ""
    assert EdgeTpu().absent() == ""
    assert EdgeTpu("usb").absent() != ""


def test_a_library_that_is_not_there_is_absent(tmp_path: Path) -> None:
    """Found before any child is started for it."""
    assert "no such file" in Library(tmp_path / "none.so").absent()


def test_a_delegate_runs_what_only_it_can(tmp_path: Path) -> None:
    """What was compiled for the Edge TPU is handed over, and the answer is the delegate's."""
    said = engine(tpu.compile_delegate(tmp_path)).infer(BLACK).arrays

    assert np.unique(said[0]) == pytest.approx(tpu.SAID)


def test_the_twin_answers_on_the_cpu_with_a_delegate_loaded(tmp_path: Path) -> None:
    """A delegate takes only what is its own."""
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
    """One that finds no device, and one that works and takes nothing over."""
    with pytest.raises(DelegateError, match=words):
        engine(tpu.compile_delegate(tmp_path, **told))


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")  # the runtime's own
def test_a_library_that_cannot_be_loaded_is_named() -> None:
    """Libedgetpu is not installed, or is no library."""
    with pytest.raises(DelegateError, match=r"libnothing\.so\.1: the library cannot be loaded"):
        engine("libnothing.so.1")


def test_a_device_that_goes_away_is_an_error_of_its_own(tmp_path: Path) -> None:
    """Not a bug: whoever runs the network can go on without; the sentence does not grow."""
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
    """In words that say what is missing."""
    content, info, _ = decoders.load(tpu.for_the_edgetpu(), "person")

    with pytest.raises(ModelError, match="compiled for the Edge TPU"):
        TfliteInterpreter(content, info, threads=1)


@pytest.mark.usefixtures("buses")
def test_programs_of_ones_own_name_a_delegate_too(tmp_path: Path) -> None:
    """By its path; `auto` is the CPU where no Edge TPU is plugged in, and so by itself."""
    model, twin = tpu.pair(tmp_path)
    library = tpu.compile_delegate(tmp_path)
    picture = np.zeros((48, 64, 3), dtype=np.uint8)

    by_path = PoseEstimator(model, delegate=str(library), threads=1).estimate(picture)
    by_auto = PoseEstimator(twin, delegate="auto", threads=1).estimate(picture)

    assert by_path[0].keypoints[0, 2] == pytest.approx(tpu.SAID)
    assert by_auto[0].keypoints[0, 2] == pytest.approx(0.9)
    with pytest.raises(ModelError, match="compiled for the Edge TPU"):
        PoseEstimator(model, delegate="auto")
