"""Memory and processor time of processes."""

import ctypes
import gc
import os
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Final

M_TRIM_THRESHOLD: Final = -1  # malloc.h of glibc
M_MMAP_THRESHOLD: Final = -3
M_ARENA_MAX: Final = -8
HEAP_BYTES: Final = 32 * 1024 * 1024  # glibc's own upper limit of the mmap threshold


def cores() -> frozenset[int]:
    """Return the processor cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return frozenset(os.sched_getaffinity(0))
    return frozenset(range(os.cpu_count() or 1))


def pin_to_spare_cores(engine_threads: int) -> None:
    """Pin this thread and those it starts to the cores that inference does not use.

    Otherwise the scheduler may wake it on a core that runs inference, which delays both. Does
    nothing without a spare core.
    """
    rest = sorted(cores())[engine_threads:]
    if rest and hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(threading.get_native_id(), rest)


def configure_malloc() -> None:
    """Configure the C library to use one heap for all threads and to reuse picture memory.

    By default each thread has its own heap, which grows to the size of its largest picture.
    Pictures must be allocated on the heap: a new mapping for each costs one page fault per 4 kB,
    0.5 to 1 ms of CPU time for a picture of 768x576.
    """
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (OSError, AttributeError):
        return  # not glibc
    mallopt(M_ARENA_MAX, 1)
    mallopt(M_MMAP_THRESHOLD, HEAP_BYTES)
    mallopt(M_TRIM_THRESHOLD, HEAP_BYTES)


def settle_memory() -> None:
    """Return free heap memory to the system, and exempt all objects from garbage collection.

    Called after the start and after a reload. Otherwise the collector would visit the modules
    and the models' descriptions, 50,000 objects, every half a minute: 24 ms without a frame.
    """
    gc.unfreeze()
    gc.collect()
    gc.freeze()
    with suppress(OSError, AttributeError):
        ctypes.CDLL(None).malloc_trim(0)


def memory_mb(pid: int | None = None) -> float | None:
    """Return the resident memory of a process in megabytes; by default of this one."""
    return _status_mb(pid or "self", "VmRSS:")


def peak_mb(pid: int) -> float | None:
    """Return the peak resident memory of a process in megabytes."""
    return _status_mb(pid, "VmHWM:")


def _status_mb(pid: int | str, name: str) -> float | None:
    try:
        for line in Path(f"/proc/{pid}/status").read_text("ascii").splitlines():
            if line.startswith(name):
                return int(line.split()[1]) / 1000
    except OSError:
        pass
    return None


def processor_s(pid: int) -> float:
    """Return the CPU time of a process since its start, in seconds."""
    fields = Path(f"/proc/{pid}/stat").read_text("ascii").rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def service_mb(pid: int) -> float:
    """Return the RAM of a process and its children in megabytes; counts shared file pages once."""
    own_kb, files_kb = 0, dict[str, int]()
    for member in _process_family(pid):
        mapped_kb = _mapped_kb(member)
        own_kb += mapped_kb.pop("", 0)
        for file, kb in mapped_kb.items():
            files_kb[file] = max(kb, files_kb.get(file, 0))
    return (own_kb + sum(files_kb.values())) / 1000


def _process_family(pid: int) -> Iterator[int]:
    yield pid
    with suppress(OSError):
        for task in Path(f"/proc/{pid}/task").iterdir():
            for child in (task / "children").read_text("ascii").split():
                yield from _process_family(int(child))


def _mapped_kb(pid: int) -> dict[str, int]:
    """Return the RAM of a process in kB by mapped file; an empty name for private memory."""
    kb: dict[str, int] = {}
    file = ""
    with suppress(OSError):
        for line in Path(f"/proc/{pid}/smaps").read_text("utf-8", "replace").splitlines():
            name, *rest = line.split(maxsplit=5)
            if not name.endswith(":"):
                file = rest[4] if len(rest) > 4 else ""
            elif name == "Rss:":
                kb[file] = kb.get(file, 0) + int(rest[0])
            elif name == "Anonymous:":
                kb[file] -= int(rest[0])
                kb[""] = kb.get("", 0) + int(rest[0])
    return kb


class Processor:
    """Measures the CPU load of this process."""

    def __init__(self) -> None:
        self._last = (time.monotonic(), time.process_time())

    def percent(self) -> float:
        """Return the CPU load since the last call, in percent of one core."""
        wall, busy = self._last
        self._last = (time.monotonic(), time.process_time())
        passed = self._last[0] - wall
        return 100 * (self._last[1] - busy) / passed if passed > 0 else 0.0
