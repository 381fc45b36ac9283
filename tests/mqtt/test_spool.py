"""Events on disk: nothing is lost or reordered, and the size is bounded."""

import json
import logging
import os
import random
import resource
import signal
import subprocess
import sys
from itertools import pairwise
from pathlib import Path

import pytest

from edgepose.mqtt import spool_segments
from edgepose.mqtt.spool import RETRY_REFUSED_S, SYNC_S, WINDOW, Spool, SpoolLimits
from edgepose.mqtt.spool_segments import SUFFIX
from edgepose.system import storage
from edgepose.timing import NS_PER_S, Clock
from edgepose.types import Message
from tests.support.clocks import ClockByHand


def event(n: int, topic: str = "edgepose/pi/hall/event") -> Message:
    payload = json.dumps({"id": f"é{n}", "type": "wave", "line": "a\nb"}, ensure_ascii=False)
    return Message(topic, payload.encode(), "event", qos=1)


def filled(folder: Path | None, count: int, clock: Clock | None = None) -> Spool:
    spool = Spool(folder, clock)
    for n in range(count):
        spool.put(event(n))
    return spool


def reopened(folder: Path, *clock: Clock) -> list[Message]:
    """Return what a spool on disk still contains after a restart."""
    spool = Spool(folder, *clock)
    try:
        return drain(spool)
    finally:
        spool.close()


def drain(spool: Spool) -> list[Message]:
    """Send everything to a broker that acknowledges at once."""
    sent = []
    while (entry := spool.next()) is not None:
        sent.append(entry.message)
        spool.acknowledge(entry.number, accepted=True)
    return sent


def events(count: int, first: int = 0) -> list[Message]:
    return [event(n) for n in range(first, count)]


def segments(folder: Path) -> list[Path]:
    return sorted(folder.glob(f"*{SUFFIX}"))


class TestOrder:
    def test_it_gives_out_in_the_order_of_happening(self) -> None:
        """Messages come out in the order of `put`, unchanged."""
        spool = filled(None, 50)

        assert drain(spool) == events(50)
        assert len(spool) == 0

    def test_few_are_under_way_at_once(self) -> None:
        """At most `WINDOW` messages are unacknowledged."""
        spool = filled(None, WINDOW + 5)
        under_way = [spool.next() for _ in range(WINDOW)]

        full = spool.next()
        assert under_way[0] is not None
        spool.acknowledge(under_way[0].number, accepted=True)
        after = spool.next()

        assert full is None
        assert after is not None
        assert after.message == event(WINDOW)

    def test_a_new_session_begins_with_the_oldest_unanswered(self) -> None:
        """Unacknowledged messages are sent again first."""
        spool = filled(None, 4)
        first, *_ = spool.next(), spool.next(), spool.next()
        assert first is not None
        spool.acknowledge(first.number, accepted=True)

        spool.restart()

        assert drain(spool) == events(4, first=1)

    def test_what_was_not_taken_comes_next_again(self) -> None:
        """A requeued message is the next one: a session may end before it is handed over."""
        spool = filled(None, 3)
        entry = spool.next()
        assert entry is not None

        spool.requeue(entry.number)

        assert drain(spool) == events(3)

    def test_a_late_answer_of_another_session_harms_nothing(self) -> None:
        """A late, repeated or unknown acknowledgement is harmless."""
        spool = filled(None, 2)
        entry = spool.next()
        assert entry is not None
        spool.restart()

        for _ in range(2):
            spool.acknowledge(entry.number, accepted=True)
        spool.acknowledge(999, accepted=True)

        assert drain(spool) == events(2, first=1)


class TestRefused:
    def test_a_refused_topic_waits_and_does_not_hold_up_others(self) -> None:
        """Refused messages wait; those of other topics are sent."""
        spool = Spool(None)
        spool.put(event(0, "b/closed"))
        spool.put(event(1, "b/open"))
        spool.put(event(2, "b/closed"))
        refused = spool.next()
        assert refused is not None

        spool.acknowledge(refused.number, accepted=False)

        assert drain(spool) == [event(1, "b/open")]
        assert len(spool) == 2

    def test_it_is_asked_again_in_a_new_session_and_after_a_while(self) -> None:
        """Refused messages are retried in their order, in a new session and after a while."""
        clock = ClockByHand()

        def later(spool: Spool) -> None:
            spool.retry_refused()
            assert not spool.is_ready
            assert spool.due_s() == RETRY_REFUSED_S
            clock.forward(RETRY_REFUSED_S)
            spool.retry_refused()

        for again in (Spool.restart, later):
            spool = filled(None, 3, clock)
            for entry in (spool.next(), spool.next()):
                assert entry is not None
                spool.acknowledge(entry.number, accepted=False)
            assert drain(spool) == []

            again(spool)

            assert drain(spool) == events(3)


class TestDisk:
    def test_what_waits_is_there_after_a_restart(self, tmp_path: Path) -> None:
        """A restart keeps unacknowledged messages in order; new ones follow."""
        spool = filled(tmp_path, 6)
        for entry in (spool.next(), spool.next()):
            assert entry is not None
            spool.acknowledge(entry.number, accepted=True)
        spool.close()

        again = Spool(tmp_path)
        again.put(event(6))

        assert drain(again) == events(7, first=2)

    @pytest.mark.parametrize("close", [True, False])
    def test_nothing_remains_of_what_is_done(self, tmp_path: Path, close: bool) -> None:
        """After all messages are acknowledged the files on disk are empty."""
        spool = filled(tmp_path, 10)
        drain(spool)
        used = sum(path.stat().st_size for path in segments(tmp_path))
        if close:
            spool.close()
        else:
            os.close(spool._disk._lock or 0)

        assert used == 0
        assert reopened(tmp_path) == []

    def test_segments_go_when_all_in_them_are_done(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Segments are deleted once all their messages are acknowledged, also across a restart."""
        monkeypatch.setattr(spool_segments, "SEGMENT_BYTES", 1000)
        spool = filled(tmp_path, 60)
        many = len(segments(tmp_path))
        for _ in range(40):
            entry = spool.next()
            assert entry is not None
            spool.acknowledge(entry.number, accepted=True)
        few = len(segments(tmp_path))
        spool.close()

        again = Spool(tmp_path)

        assert many > 5
        assert few < many - 2
        assert drain(again) == events(60, first=40)
        assert sum(path.stat().st_size for path in segments(tmp_path)) == 0

    def test_a_file_torn_at_any_byte_costs_only_what_was_torn(
        self, tmp_path: Path, caplog: pytest.LogCaptureFixture
    ) -> None:
        """Every event before the truncation survives, and the spool works on."""
        filled(tmp_path / "whole", 3).close()
        content = segments(tmp_path / "whole")[0].read_bytes()
        ends = [place for place, byte in enumerate(content, start=1) if byte == ord("\n")]

        for size in range(len(content)):
            folder = tmp_path / str(size)
            folder.mkdir()
            (folder / f"1{SUFFIX}").write_bytes(content[:size])
            spool = Spool(folder)
            spool.put(event(9))
            spool.close()
            assert reopened(folder) == [*events(sum(end <= size for end in ends)), event(9)]

        assert "set aside" in caplog.text

    def test_any_damage_costs_no_other_event(self, tmp_path: Path) -> None:
        """After bit flips, zeros or noise, intact events are sent in order, and nothing else."""
        chance = random.Random(5)
        filled(tmp_path / "whole", 8).close()
        content = segments(tmp_path / "whole")[0].read_bytes()
        ends = [0, *(place for place, byte in enumerate(content, start=1) if byte == ord("\n"))]
        # including the line end before it: without that, two lines become one
        spans = [slice(max(0, start - 1), end) for start, end in pairwise(ends)]

        for attempt in range(200):
            folder = tmp_path / str(attempt)
            folder.mkdir()
            place = chance.randrange(len(content))
            spoiled = bytearray(content)
            length = chance.choice([1, 1, 20, 300])
            noise = bytes(length) if attempt % 2 else chance.randbytes(length)
            spoiled[place : place + length] = noise
            (folder / f"1{SUFFIX}").write_bytes(spoiled)

            sent = reopened(folder)

            whole = [n for n, span in enumerate(spans) if spoiled[span] == content[span]]
            assert sent == [event(n) for n in whole]

    def test_every_damaged_file_is_kept_for_a_look(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Damaged files are renamed and kept, up to a maximum number."""
        monkeypatch.setattr(spool_segments, "SEGMENT_BYTES", 300)
        kept: list[bytes] = []
        for start in range(6):
            filled(tmp_path, 6).close()
            found = segments(tmp_path)
            for path in found:
                spoiled = path.read_bytes()[:-9] + b"%d" % start
                path.write_bytes(spoiled)
                os.utime(path, ns=(len(kept), len(kept)))
                kept.append(spoiled)

            reopened(tmp_path)

        aside = [path.read_bytes() for path in tmp_path.glob("*.damaged")]
        assert len(kept) > storage.KEPT
        assert sorted(aside) == sorted(kept[-storage.KEPT :])

    def test_what_is_no_segment_is_left_alone(self, tmp_path: Path) -> None:
        """Folders, unknown names and empty files in the folder are ignored."""
        (tmp_path / f"strange{SUFFIX}").write_bytes(b"\x00\xff noise")
        (tmp_path / f"3{SUFFIX}").mkdir()
        (tmp_path / f"4{SUFFIX}").touch()

        spool = filled(tmp_path, 2)

        assert drain(spool) == events(2)

    def test_two_processes_do_not_share_a_folder(
        self, tmp_path: Path, caplog: pytest.LogCaptureFixture
    ) -> None:
        """The second process logs a warning and keeps its events in memory."""
        first = filled(tmp_path, 2)
        second = filled(tmp_path, 3)

        assert "memory only" in caplog.text
        assert len(second) == 3
        first.close()
        assert reopened(tmp_path) == events(2)

    def test_a_full_disk_is_said_once_and_loses_nothing(
        self, tmp_path: Path, caplog: pytest.LogCaptureFixture
    ) -> None:
        """On a full disk new events stay in memory; those on disk are intact; it is logged once."""
        spool = filled(tmp_path, 3)
        before = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (segments(tmp_path)[0].stat().st_size + 20, hard))
        try:
            for n in range(3, 6):
                spool.put(event(n))
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
            signal.signal(signal.SIGXFSZ, before)
        spool.put(event(6))
        spool.close()

        assert len([r for r in caplog.records if r.levelno >= logging.ERROR]) == 1
        assert reopened(tmp_path) == [*events(3), event(6)]
        assert drain(spool) == events(7)

    def test_it_survives_a_kill_at_once(self, tmp_path: Path) -> None:
        """An event survives SIGKILL once `put` has returned."""
        script = (
            "import os, signal, sys\n"
            "from pathlib import Path\n"
            "from edgepose.mqtt.spool import Spool\n"
            "from tests.mqtt.test_spool import event\n"
            "spool = Spool(Path(sys.argv[1]))\n"
            "for n in range(5): spool.put(event(n))\n"
            "os.kill(os.getpid(), signal.SIGKILL)\n"
        )
        root = Path(__file__).parents[2]
        ended = subprocess.run([sys.executable, "-c", script, tmp_path], check=False, cwd=root)

        assert ended.returncode == -signal.SIGKILL
        assert reopened(tmp_path) == events(5)

    def test_it_is_forced_onto_the_disk_only_when_the_broker_does_not_answer(
        self, tmp_path: Path
    ) -> None:
        """`fsync` is due only if the broker does not acknowledge, to spare the SD card."""
        clock = ClockByHand()
        spool = filled(tmp_path, 1, clock)
        drain(spool)
        clock.forward(2 * SYNC_S)
        answered = spool.to_sync()

        spool.put(event(1))
        early = spool.to_sync()
        clock.forward(SYNC_S)
        due_s, late = spool.due_s(), spool.to_sync()
        assert late is not None
        late()

        assert (answered, early, due_s) == (None, None, 0.0)
        assert spool.to_sync() is None
        assert spool.due_s() is None


class TestLimits:
    @pytest.mark.parametrize("on_disk", [True, False])
    def test_the_oldest_go_first_and_are_counted(
        self, tmp_path: Path, on_disk: bool, caplog: pytest.LogCaptureFixture
    ) -> None:
        """Above the limit the oldest events are dropped and counted, also on disk."""
        folder = tmp_path if on_disk else None
        spool = Spool(folder, limits=SpoolLimits(count=10))
        for n in range(25):
            spool.put(event(n))
        spool.close()
        left = Spool(folder) if folder else spool

        assert spool.dropped == 15
        assert drain(left) == events(25, first=15)
        assert caplog.text.count("dropped") == 1

    def test_what_is_too_old_goes_also_across_a_restart(self, tmp_path: Path) -> None:
        """Age is counted from the event, across a restart."""
        clock = ClockByHand()
        spool = Spool(tmp_path, clock, SpoolLimits(age_s=100))
        spool.put(event(0))
        clock.forward(60)
        spool.put(event(1))
        spool.close()
        clock.forward(41)

        again = Spool(tmp_path, clock, SpoolLimits(age_s=100))

        assert drain(again) == [event(1)]
        assert again.dropped == 1

    def test_a_clock_that_jumps_makes_nothing_old(self, tmp_path: Path) -> None:
        """Events from before the clock was set are not dropped as too old."""
        clock = ClockByHand()
        clock.began_unix_ns = 0
        spool = filled(tmp_path, 2, clock)
        spool.close()
        clock.began_unix_ns = 1_795_464_301 * NS_PER_S

        assert reopened(tmp_path, clock) == events(2)

    def test_the_disk_is_not_filled(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """The spool's size on disk is bounded, also while a refused event holds its segment."""
        monkeypatch.setattr(spool_segments, "SEGMENT_BYTES", 1000)
        spool = Spool(tmp_path, limits=SpoolLimits(size_bytes=5000))
        spool.put(event(0, "b/closed"))
        entry = spool.next()
        assert entry is not None
        spool.acknowledge(entry.number, accepted=False)

        for n in range(1000):
            spool.put(event(n))
            drain(spool)

        assert sum(path.stat().st_size for path in segments(tmp_path)) < 7000
        assert spool.dropped == 1
