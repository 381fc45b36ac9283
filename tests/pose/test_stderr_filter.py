"""What C code writes to `stderr`."""

import ctypes
import os

import pytest

from edgepose.pose import stderr_filter

LIBC = ctypes.CDLL(None)


def write(text: bytes) -> None:
    """Write as a C library does."""
    LIBC.fputs(text, ctypes.c_void_p.in_dll(LIBC, "stderr"))


def test_remarks_are_dropped_and_all_else_is_heard(capfd: pytest.CaptureFixture[str]) -> None:
    """An error of the runtime must reach the terminal; that it is well need not."""
    with stderr_filter.unheard():
        write(b"INFO: all is well\nERROR: it burns\n")
    write(b"INFO: not ours to drop\n")

    assert capfd.readouterr().err == "ERROR: it burns\nINFO: not ours to drop\n"


def test_the_descriptor_is_left_alone(capfd: pytest.CaptureFixture[str]) -> None:
    """The log and children write to it all the while, and are heard at once."""
    with stderr_filter.unheard():
        os.write(2, b"INFO: from us\n")
        heard = capfd.readouterr().err

    assert heard == "INFO: from us\n"


def test_what_was_said_before_an_error_is_heard(capfd: pytest.CaptureFixture[str]) -> None:
    """It may be the reason."""
    with pytest.raises(OSError, match="refused"), stderr_filter.unheard():
        write(b"the reason\n")
        raise OSError("refused")

    assert capfd.readouterr().err == "the reason\n"
