"""A booted Debian in a disposable container, for tests that need a service manager.

It needs root, systemd-nspawn, mmdebstrap and some minutes: run `make test-box`.
"""

import os
import shutil
import signal
import subprocess
from contextlib import suppress
from pathlib import Path
from typing import Final, Self

import pytest

from tests.support.brokers import wait_until

VARIABLE: Final = "EDGEPOSE_BOX"
"""Names the folder for the images of Debian, each of which is made once."""

TREE: Final = Path(__file__).parents[2]
SUITES: Final = ("bookworm", "trixie")
BARE: Final = "systemd,systemd-sysv,dbus,udev,passwd,ca-certificates"
CERTIFICATES: Final = "/etc/ssl/certs/ca-certificates.crt"
PATH: Final = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
FILE: Final = "/etc/edgepose/edgepose.toml"
SOON_S: Final = 60.0  # an emulated or busy machine needs long to start Python
TOOLS: Final = ("systemd-nspawn", "mmdebstrap", "nsenter", "git")


def _lack() -> str:
    """Return which requirement of a box is missing; empty if all are present."""
    if not os.environ.get(VARIABLE):
        return "boots Debian in a container, as root, for minutes: make test-box"
    missing = [tool for tool in TOOLS if shutil.which(tool) is None]
    if missing:
        return f"no {', '.join(missing)} here: apt install systemd-container mmdebstrap"
    return "" if os.geteuid() == 0 else "boots a container, which needs root"


LACK: Final = _lack()
needs_box: Final = [
    pytest.mark.slow,
    pytest.mark.timeout(1800),
    pytest.mark.skipif(bool(LACK), reason=LACK),
]


class Box:
    """A Debian container with its own files, users and services, on the host's network."""

    def __init__(self, suite: str) -> None:
        self.suite = suite
        home = Path(os.environ[VARIABLE])
        self._image = home / f"image-{suite}"
        self._folder = home / f"box-{suite}-{os.getpid()}"
        self.root = self._folder / "root"
        self._nspawn: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        if not self._image.exists():
            _make_image(self.suite, self._image)
        upper, work = self._folder / "upper", self._folder / "work"
        for folder in (upper, work, self.root):
            folder.mkdir(parents=True)
        layers = f"lowerdir={self._image},upperdir={upper},workdir={work}"
        _do("mount", "-t", "overlay", "overlay", "-o", layers, str(self.root))
        try:
            self._boot()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self._shut_down()
        _do("umount", str(self.root))
        shutil.rmtree(self._folder)

    def reboot(self) -> None:
        """Shut the container down and boot it again, with the same disk."""
        self._shut_down()
        self._boot()

    def _boot(self) -> None:
        words = ["--quiet", "--register=no", "--keep-unit", f"--directory={self.root}", "--boot"]
        words += ["--console=pipe", "--link-journal=no", "--system-call-filter=bpf"]
        words += ["--resolv-conf=copy-host", "--timezone=off", f"--bind-ro={CERTIFICATES}"]
        with (self._folder / "console").open("wb") as console:
            self._nspawn = subprocess.Popen(
                ["systemd-nspawn", *words],
                env={**os.environ, "SYSTEMD_NSPAWN_UNIFIED_HIERARCHY": "1"},
                stdin=subprocess.DEVNULL,
                stdout=console,
                stderr=subprocess.STDOUT,
            )
        assert wait_until(self._is_up, timeout_s=60), (self._folder / "console").read_text(
            errors="replace"
        )

    def _shut_down(self) -> None:
        if self._nspawn is None:
            return
        with suppress(subprocess.TimeoutExpired):
            self._nspawn.send_signal(signal.SIGTERM)  # orderly: nspawn tells its systemd
            self._nspawn.wait(30)
        self._nspawn.kill()
        self._nspawn.wait()

    def _is_up(self) -> bool:
        # degraded: a unit of Debian's own that cannot run in a container
        up = {"running", "degraded"}
        return bool(self._leader()) and self.systemctl("is-system-running") in up

    def _leader(self) -> str:
        assert self._nspawn is not None
        assert self._nspawn.poll() is None, (self._folder / "console").read_text(errors="replace")
        pid = self._nspawn.pid
        return Path(f"/proc/{pid}/task/{pid}/children").read_text().partition(" ")[0]

    def sh(self, script: str) -> subprocess.CompletedProcess[str]:
        """Run a shell script as root in the container."""
        inside = ["nsenter", f"--target={self._leader()}", "--all", "--root", "--wd"]
        passed = [f"{name}={value}" for name, value in os.environ.items() if name[:4] == "PIP_"]
        settings = [f"PATH={PATH}", "HOME=/root", "LANG=C.UTF-8", "SYSTEMD_PAGER=cat", *passed]
        return subprocess.run(
            [*inside, "env", "-i", *settings, f"PIP_CERT={CERTIFICATES}", "sh", "-c", script],
            capture_output=True,
            text=True,
            check=False,
        )

    def ok(self, script: str) -> str:
        """Run a script that must succeed; return its output."""
        done = self.sh(script)
        assert done.returncode == 0, f"{script}: {done.returncode}\n{done.stdout}{done.stderr}"
        return done.stdout.strip()

    def systemctl(self, words: str) -> str:
        """Return the output of `systemctl`, whatever its exit code."""
        return self.sh(f"systemctl {words}").stdout.strip()

    def put_tree(self, folder: str) -> None:
        """Copy the project into the container as a clone has it, with uncommitted changes."""
        target = self.root / folder.lstrip("/")
        for name in _do("git", "-C", str(TREE), "ls-files", "-co", "--exclude-standard").split():
            if (TREE / name).is_file():
                (target / name).parent.mkdir(parents=True, exist_ok=True)
                shutil.copy2(TREE / name, target / name)


def _make_image(suite: str, image: Path) -> None:
    new = image.with_suffix(".new")
    shutil.rmtree(new, ignore_errors=True)
    new.parent.mkdir(parents=True, exist_ok=True)
    _do("mmdebstrap", "--quiet", "--variant=apt", f"--include={BARE}", suite, str(new))
    (new / "etc/machine-id").write_text("")
    new.rename(image)


def _do(*words: str) -> str:
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{' '.join(words)}: {done.stderr}"
    return done.stdout
