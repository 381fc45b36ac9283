"""Lost pictures of damaged videos are counted, and complete videos have none."""

import logging
import re
from fractions import Fraction
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from edgepose.camera.sources import open_source
from edgepose.camera.sources.losses import ends_within_packet
from edgepose.timing import NS_PER_MS

pytest.importorskip("av")

COUNT = 60
KINDS = [
    ("libx264", "ts"),
    ("libx264", "mkv"),
    ("libx264", "mp4"),
    ("libx264", "flv"),
    ("libx264", "avi"),
    ("mpeg4", "ts"),
    ("mpeg4", "mkv"),
    ("mpeg4", "mp4"),
    ("mpeg4", "avi"),
    ("mpeg2video", "ts"),
    ("mpeg2video", "mpg"),
    ("libvpx", "webm"),
]


def film(path: Path, codec: str, stamps: list[int] | None = None, **options: str) -> Path:
    """Write a moving pattern at 20 fps or with these times in ms, a key frame every 12 pictures."""
    import av

    noise = np.random.default_rng(5).integers(0, 255, (240, 640, 3), np.uint8)
    noise = cv2.GaussianBlur(noise, (9, 9), 3)
    unit = Fraction(1, 1000) if stamps else Fraction(1, 20)
    with av.open(str(path), "w") as container:
        given = {"deadline": "realtime", "cpu-used": "8"} if codec == "libvpx" else {}
        given |= {"g": "12", "bf": "2", "sc_threshold": "0", **options}
        stream: Any = container.add_stream(codec, rate=20, options=given)
        stream.width, stream.height, stream.pix_fmt = 320, 240, "yuv420p"
        if stamps:
            stream.time_base = stream.codec_context.time_base = unit
        for index in range(COUNT):
            rgb = np.ascontiguousarray(noise[:, 4 * index : 4 * index + 320])
            frame = av.VideoFrame.from_ndarray(rgb, format="rgb24")
            frame.pts, frame.time_base = stamps[index] if stamps else index, unit
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return path


def read(path: Path, caplog: pytest.LogCaptureFixture) -> tuple[list[int], int]:
    """Return the times of the pictures in ms, and the number of losses in the log."""
    caplog.clear()
    with caplog.at_level(logging.WARNING):
        frames = list(open_source(str(path), realtime=False).frames())
    said = re.search(r"left out: (\d+)", caplog.text)
    times = [round((f.captured_ns - frames[0].captured_ns) / NS_PER_MS) for f in frames]
    return times, int(said[1]) if said else 0


@pytest.mark.parametrize(("codec", "ending"), KINDS)
def test_every_lost_picture_is_counted(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, codec: str, ending: str
) -> None:
    """Damage in packets, between them, in key frames and others is counted."""
    whole = film(tmp_path / f"whole.{ending}", codec).read_bytes()
    all_times, _ = read(tmp_path / f"whole.{ending}", caplog)
    assert len(all_times) == COUNT
    assert caplog.text == ""
    path, lossy, told, missed = tmp_path / f"film.{ending}", 0, 0, 0
    for part in np.linspace(0.25, 0.8, 6):
        data, at = bytearray(whole), round(part * len(whole))
        data[at : at + len(data) // 50] = bytes(len(data) // 50)
        path.write_bytes(data)

        times, said = read(path, caplog)

        lost = COUNT - len(times)
        lossy += lost > 0
        # VP8's alternate reference pictures may be among the lost ones.
        exact = ending == "mp4" or (codec == "libx264" and ending != "ts")
        told, missed = told + said, missed + lost
        if ending != "ts" and "is the file complete?" not in caplog.text:  # the rest cannot be read
            assert (said == lost) if exact else (bool(said) == bool(lost) and said <= 4 * lost), (
                part,
                said,
                lost,
            )
        assert times == sorted(set(times))
    assert lossy
    assert told >= missed / 2  # FFmpeg does not mark all damage of MPEG-TS


HEALTHY: list[tuple[str, str, dict[str, str]]] = [
    ("libx264", "ts", {"x264opts": "open-gop=1:keyint=12:bframes=3"}),
    ("libx264", "ts", {"x264opts": "tff=1"}),
    ("libx264", "mp4", {"x264opts": "tff=1"}),
    ("libvpx", "webm", {"auto-alt-ref": "1", "lag-in-frames": "16", "b:v": "200k"}),
    ("mpeg4", "avi", {"flags": "+qpel+mv4"}),
    ("mpeg2video", "mpg", {"flags": "+ildct+ilme"}),
]


@pytest.mark.parametrize(("codec", "ending", "options"), HEALTHY)
def test_a_whole_film_has_no_losses(
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
    codec: str,
    ending: str,
    options: dict[str, str],
) -> None:
    """Interlacing, open groups and hidden pictures do not count as losses."""
    times, said = read(film(tmp_path / f"film.{ending}", codec, **options), caplog)

    assert (len(times), said, caplog.text) == (COUNT, 0, "")


@pytest.mark.parametrize("ending", ["mp4", "mkv", "ts", "flv"])
def test_a_pause_is_no_loss(tmp_path: Path, caplog: pytest.LogCaptureFixture, ending: str) -> None:
    """Pauses and varying times do not count as losses."""
    steps = np.random.default_rng(3).integers(20, 400, COUNT)
    steps[30] = 5000
    stamps = np.cumsum(steps).tolist()

    times, said = read(film(tmp_path / f"film.{ending}", "libx264", stamps), caplog)

    assert times == [stamp - stamps[0] for stamp in stamps]
    assert (said, caplog.text) == (0, "")


def test_a_recording_may_begin_between_key_frames(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Pictures before the first key frame cannot be decoded, but do not count as losses."""
    data = film(tmp_path / "whole.ts", "mpeg2video").read_bytes()
    third = len(data) // 3 // 188 * 188
    (tmp_path / "film.ts").write_bytes(data[: 3 * 188] + data[third:])

    times, said = read(tmp_path / "film.ts", caplog)

    assert 30 <= len(times) < 45
    assert said == 0


@pytest.mark.parametrize("size", [188, 192, 204])
def test_a_stream_that_was_cut_off_ends_within_a_packet(tmp_path: Path, size: int) -> None:
    """An incomplete last packet is detected for all packet sizes."""
    sync = 4 if size == 192 else 0
    packet = bytes(sync) + b"G" + bytes(size - sync - 1)
    path = tmp_path / "film.ts"

    for cut in range(1, 20 * size, 37):
        path.write_bytes((20 * packet)[:-cut])
        # M2TS: four bytes of a time code prove nothing
        if (-cut % size) > sync and 20 * size - cut > 6 * size:
            assert ends_within_packet(path)
    path.write_bytes(20 * packet)
    assert not ends_within_packet(path)


def test_a_cut_off_stream_is_told(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """MPEG-TS has no length: a file that ends within a packet gives a warning."""
    path = film(tmp_path / "film.ts", "libx264")
    path.write_bytes(path.read_bytes()[: path.stat().st_size * 6 // 10 + 5])

    times, _ = read(path, caplog)

    assert len(times) > 20
    assert f"ends after {len(times)} frames, within a packet; is the file complete?" in caplog.text
