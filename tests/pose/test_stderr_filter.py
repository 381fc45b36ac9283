"""Filtering what C code writes to `stderr`."""

import ctypes
import os
import struct
import threading
import zlib
from pathlib import Path

import cv2
import numpy as np
import pytest

from edgepose.camera.sources import open_source
from edgepose.pose import stderr_filter
from edgepose.pose import stderr_filter as chatter

LIBC = ctypes.CDLL(None)


def write(text: bytes) -> None:
    """Write through C's `stderr`."""
    LIBC.fputs(text, ctypes.c_void_p.in_dll(LIBC, "stderr"))


def test_remarks_are_dropped_and_all_else_is_heard(capfd: pytest.CaptureFixture[str]) -> None:
    """INFO lines are dropped inside of the context, other lines are kept."""
    with stderr_filter.filtered_stderr():
        write(b"INFO: all is well\nERROR: it burns\n")
    write(b"INFO: not ours to drop\n")

    assert capfd.readouterr().err == "ERROR: it burns\nINFO: not ours to drop\n"


def test_the_descriptor_is_left_alone(capfd: pytest.CaptureFixture[str]) -> None:
    """File descriptor 2 is not redirected, so logs and child processes are not delayed."""
    with stderr_filter.filtered_stderr():
        os.write(2, b"INFO: from us\n")
        heard = capfd.readouterr().err

    assert heard == "INFO: from us\n"


def test_what_was_said_before_an_error_is_heard(capfd: pytest.CaptureFixture[str]) -> None:
    """Buffered lines are written out when an exception leaves the context."""
    with pytest.raises(OSError, match="refused"), stderr_filter.filtered_stderr():
        write(b"the reason\n")
        raise OSError("refused")

    assert capfd.readouterr().err == "the reason\n"


def test_threads_may_ask_at_once(capfd: pytest.CaptureFixture[str]) -> None:
    """Concurrent contexts write each line once, and restore C's `stderr` at the end."""
    start = threading.Barrier(4)

    def work(name: int) -> None:
        start.wait()
        for turn in range(200):
            with chatter.filtered_stderr():
                write(b"Corrupt JPEG data: 2 extraneous bytes before marker 0xd9\n")
                write(b"line %d of %d\n" % (turn, name))

    threads = [threading.Thread(target=work, args=(name,)) for name in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    write(b"after\n")

    lines = capfd.readouterr().err.splitlines()
    assert sorted(lines[:-1]) == sorted(
        f"line {turn} of {n}" for turn in range(200) for n in range(4)
    )
    assert lines[-1] == "after"


def test_what_is_dropped_takes_no_memory() -> None:
    """Dropped lines do not accumulate in memory."""
    for _ in range(3000):
        with chatter.filtered_stderr():
            write(b"Corrupt JPEG data: 2 extraneous bytes before marker 0xd9\n")

    opened = chatter._open_stream()
    assert opened is not None
    assert opened[2].size.value < 200


def test_a_picture_that_libjpeg_repairs_is_no_news(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """Warnings of libjpeg and libpng about repaired pictures are dropped."""
    image = np.random.default_rng(0).integers(0, 255, (240, 320, 3), np.uint8)
    jpeg = cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_RST_INTERVAL, 40])[1].tobytes()
    at = jpeg.rindex(b"\xff\xd3")
    (tmp_path / "1.jpg").write_bytes(jpeg[:at] + b"\x12\x34" * 20 + jpeg[at:])
    png = cv2.imencode(".png", image)[1].tobytes()
    chunk = b"gAMA" + bytes(4)
    gamma = struct.pack(">I", 4) + chunk + struct.pack(">I", zlib.crc32(chunk))
    (tmp_path / "2.png").write_bytes(png[:33] + gamma + png[33:])

    frames = list(open_source(str(tmp_path), realtime=False).frames())

    assert len(frames) == 2
    assert capfd.readouterr().err == ""
