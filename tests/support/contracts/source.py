"""Tests that every picture source must pass."""

import threading
from collections.abc import Callable
from itertools import pairwise
from typing import ClassVar

import numpy as np

from edgepose.camera.motion import CELLS, shrink
from edgepose.camera.sources import Source, Thumbnail
from edgepose.errors import SourceError
from edgepose.types import Frame, Image

JOIN_S = 20.0  # far more than any source needs; reached only by a hang


class SourceContract:
    """Inherit from it, provide a fixture `opened` that opens the source, and set `live`."""

    live: ClassVar[bool]

    def take(self, source: Source, count: int) -> list[Frame]:
        return [frame for _, frame in zip(range(count), source.frames(), strict=False)]

    def test_it_says_what_it_is(self, opened: Callable[[], Source]) -> None:
        """`live`, the rate and the length are known before the first frame."""
        source = opened()

        assert isinstance(source, Source)
        assert source.live is self.live
        assert source.fps is None or source.fps > 0
        assert source.length is None or source.length > 0
        source.close()

    def test_it_delivers_rgb_bytes_of_one_layout(self, opened: Callable[[], Source]) -> None:
        """Every picture is (height, width, 3), uint8 and C-contiguous."""
        source = opened()

        frames = self.take(source, 3)

        assert frames
        for frame in frames:
            assert frame.image.dtype == np.uint8
            assert frame.image.ndim == 3
            assert frame.image.shape[2] == 3
            assert frame.image.flags.c_contiguous
            assert frame.size == (frame.image.shape[1], frame.image.shape[0])
        source.close()

    def test_its_frames_are_in_order(self, opened: Callable[[], Source]) -> None:
        """Capture times increase strictly."""
        source = opened()

        moments = [frame.captured_ns for frame in self.take(source, 5)]

        assert moments == sorted(set(moments))
        source.close()

    def test_it_never_changes_a_picture_it_handed_out(self, opened: Callable[[], Source]) -> None:
        """A frame that is kept does not change while others are read."""
        source = opened()

        kept = [(frame, frame.image.tobytes()) for frame in self.take(source, 5)]

        assert all(frame.image.tobytes() == before for frame, before in kept)
        for (one, _), (other, _) in pairwise(kept):
            assert not np.shares_memory(one.image, other.image)
        source.close()

    def test_it_closes_twice(self, opened: Callable[[], Source]) -> None:
        """`close` can be called twice, before and after the first frame."""
        fresh, begun = opened(), opened()
        next(iter(begun.frames()))

        for source in (fresh, fresh, begun, begun):
            source.close()

        assert list(fresh.frames()) == []

    def test_it_ends_when_closed_between_frames(self, opened: Callable[[], Source]) -> None:
        """No frame and no error comes after `close`."""
        source = opened()
        frames = source.frames()
        next(frames)

        source.close()

        assert list(frames) == []

    def test_another_thread_may_close_it(self, opened: Callable[[], Source]) -> None:
        """A reader that waits for a frame ends without an error."""
        source = opened()
        begun = threading.Event()
        failures: list[SourceError] = []

        def read() -> None:
            try:
                for _ in source.frames():
                    begun.set()
            except SourceError as error:
                failures.append(error)

        reader = threading.Thread(target=read, daemon=True)
        reader.start()
        assert begun.wait(JOIN_S)
        source.close()
        reader.join(JOIN_S)

        assert not reader.is_alive()
        assert failures == []

    def test_what_nobody_wants_is_left_out(self, opened: Callable[[], Source]) -> None:
        """The filter is called for each picture in turn; only accepted pictures are yielded."""
        source = opened()
        asked: list[int] = []

        def every_second(at_ns: int, _: Thumbnail | None = None) -> bool:
            asked.append(at_ns)
            return len(asked) % 2 == 0

        frames = [frame for _, frame in zip(range(2), source.frames(every_second), strict=False)]

        assert [frame.captured_ns for frame in frames] == asked[1 : 2 * len(frames) : 2]
        assert len(asked) >= 2
        source.close()

    def test_a_live_one_offers_a_thumbnail_of_each_picture(
        self, opened: Callable[[], Source]
    ) -> None:
        """It shows the whole picture and is large enough for the motion gate."""
        source = opened()
        thumbnails: list[Image | None] = []

        def checked(_: int, thumbnail: Thumbnail | None = None) -> bool:
            if thumbnail is not None:
                thumbnails.append(thumbnail())
            return True

        frames = [frame for _, frame in zip(range(3), source.frames(checked), strict=False)]

        assert len(thumbnails) == (len(frames) if source.live else 0)
        for thumbnail, frame in zip(thumbnails, frames, strict=False):
            assert thumbnail is not None
            assert max(thumbnail.shape) >= min(CELLS, *frame.size)
            cells, expected = shrink(thumbnail).astype(int), shrink(frame.image).astype(int)
            assert cells.shape == expected.shape
            assert np.abs(cells - expected).mean() < 8, "coders give and take a little"
        source.close()
