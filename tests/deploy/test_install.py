"""The installer and the package: dry runs, and real runs in a Debian container."""

import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import ClassVar

import pytest

from edgepose import urls
from edgepose.config import loading
from edgepose.pose.delegates import edgetpu
from tests.support.box import FILE, SOON_S, SUITES, TREE, Box, needs_box
from tests.support.brokers import Mosquitto, needs_mosquitto, wait_until, witness

INSTALLER = TREE / "deploy" / "install.sh"
RULES = TREE / "deploy" / "udev" / "60-edgepose.rules"
SCRIPTS = [
    INSTALLER,
    TREE / "deploy/deb/build.sh",
    *sorted((TREE / "deploy/deb/debian").glob("edgepose.p*")),
]

needs_debian = pytest.mark.skipif(shutil.which("apt-get") is None, reason="no apt-get here")


def install(*words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["sh", str(INSTALLER), *words], capture_output=True, text=True, check=False
    )


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda script: script.name)
def test_shellcheck_has_nothing_to_say(script: Path) -> None:
    """`shellcheck` reports nothing."""
    if shutil.which("shellcheck") is None:
        pytest.skip("no shellcheck here: apt install shellcheck")

    done = subprocess.run(["shellcheck", script], capture_output=True, text=True, check=False)

    assert (done.returncode, done.stdout) == (0, "")


@needs_debian
def test_a_dry_run_names_what_is_there_and_removes_what_it_installs() -> None:
    """Every copied file exists in the project, and --purge removes everything it creates."""
    plan, undoing = install("--dry-run"), install("--purge", "--dry-run")

    copied = re.findall(r"^ +install -Dm 644 (\S+) (\S+)$", plan.stdout, re.M)
    linked = re.findall(r"^ +ln -sf (\S+) (\S+)$", plan.stdout, re.M)
    made = re.findall(r"^ +mkdir -p (\S+)$", plan.stdout, re.M)
    removed = set(" ".join(re.findall(r"^ +rm -rf (.+)$", undoing.stdout, re.M)).split())
    assert (plan.returncode, undoing.returncode) == (0, 0)
    assert len(copied) == 7
    assert [source for source, _ in copied if not Path(source).is_file()] == []
    assert {target for _, target in [*copied, *linked]} | set(made) <= removed
    assert {"/etc/edgepose", "/var/lib/edgepose"} <= removed


@needs_debian
def test_a_login_is_stored_for_root_alone() -> None:
    """The user name goes into the configuration, the password into a credential file."""
    broker = ("--broker", "mqtt://homeassistant.local", "--username", "edgepose")
    plan, undoing = install("--dry-run", *broker), install("--purge", "--dry-run")

    assert plan.returncode == 0
    assert 'username = "edgepose"' in plan.stdout
    assert "Password of edgepose in /etc/credstore/edgepose.mqtt-password" in plan.stdout
    assert "/etc/credstore/edgepose.mqtt-password" in undoing.stdout


@needs_debian
def test_uninstalling_keeps_what_is_the_users() -> None:
    """Configuration and state are removed only by --purge."""
    plan = install("--uninstall", "--dry-run").stdout

    kept = ("/etc/edgepose", "/var/lib/edgepose", "userdel")
    removing = [line for line in plan.splitlines() if line.startswith(" ")]
    assert [line for line in removing if any(word in line.split() for word in kept)] == []


@needs_debian
def test_a_dry_run_changes_nothing(tmp_path: Path) -> None:
    """A dry run executes no command that changes anything."""
    shims = tmp_path / "bin"
    shims.mkdir()
    for name in ("apt-get", "install", "mkdir", "ln", "mv", "rm", "chown", "systemctl", "pip"):
        (shims / name).write_text(f"#!/bin/sh\ntouch {tmp_path}/touched-{name}\n")
        (shims / name).chmod(0o755)

    for words in ([], ["--uninstall"], ["--purge"]):
        subprocess.run(
            ["/bin/sh", INSTALLER, "--dry-run", *words],
            env={"PATH": f"{shims}:/usr/sbin:/usr/bin:/sbin:/bin"},
            capture_output=True,
            check=True,
        )

    assert list(tmp_path.glob("touched-*")) == []


@needs_debian
@pytest.mark.parametrize(
    ("architecture", "python", "said"),
    [
        ("armhf", (3, 13, 5), "install a 64-bit system"),
        ("arm64", (3, 9, 2), "expected Python 3.11"),
        ("riscv64", (3, 13, 5), "expected amd64, arm64 or armhf"),
    ],
)
def test_a_machine_without_a_runtime_is_refused(
    architecture: str, python: tuple[int, ...], said: str, tmp_path: Path
) -> None:
    """It is refused in one sentence, before anything is installed."""
    pretended = f"import sys; sys.version_info = {python}; $2"
    shims = {
        "dpkg": f"echo {architecture}",
        "python3": f'[ "$1" = -V ] && exec {sys.executable} -V; {sys.executable} -c "{pretended}"',
    }
    for name, script in shims.items():
        (tmp_path / name).write_text(f"#!/bin/sh\n{script}\n")
        (tmp_path / name).chmod(0o755)

    done = subprocess.run(
        ["/bin/sh", INSTALLER, "--dry-run"],
        env={"PATH": f"{tmp_path}:/usr/sbin:/usr/bin:/sbin:/bin"},
        capture_output=True,
        text=True,
        check=False,
    )

    assert (done.returncode, done.stdout) == (2, "")
    assert said in done.stderr


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--uninstal"], "--uninstal"),
        (["--source"], "--source"),
        (["--broker"], "--broker"),
        (["--username"], "--username"),
        (["--username", 'a"; rm -rf /'], "--username"),
    ],
)
def test_what_it_does_not_know_is_refused(words: list[str], said: str) -> None:
    """An unknown option is refused in one sentence, before anything is done."""
    done = install(*words)

    assert done.returncode == 2
    assert done.stderr.startswith("install.sh: ")
    assert said in done.stderr
    assert done.stdout == ""


def test_the_rules_are_for_the_devices_that_are_looked_for() -> None:
    """Both USB ids of the accelerator are covered, with a group of the service's user."""
    rules = RULES.read_text()

    named = set(re.findall(r'idVendor}=="(\w+)", ATTR{idProduct}=="(\w+)"', rules))
    groups = set(re.findall(r'GROUP="(\w+)"', rules))
    members = set(
        re.findall(r"^m edgepose (\w+)", (TREE / "systemd/edgepose.sysusers").read_text(), re.M)
    )
    assert named == set(edgetpu.USB_IDS)
    assert groups <= members


def test_unit_installer_and_package_mean_one_program() -> None:
    """They use the same program and configuration paths."""
    unit = (TREE / "systemd" / "edgepose.service").read_text()
    paths = set(re.findall(r"ExecStart=(\S+)/bin/edgepose run -c (\S+)", unit))

    installer, rules = INSTALLER.read_text(), (TREE / "deploy/deb/debian/rules").read_text()
    after = (TREE / "deploy/deb/debian/edgepose.postinst").read_text()

    assert paths == {("/opt/edgepose/venv", "/etc/edgepose/edgepose.toml")}
    assert "PROGRAM=/opt/edgepose\n" in installer
    assert "CONFIG=/etc/edgepose/edgepose.toml\n" in installer
    assert "VENV := /opt/edgepose/venv\n" in rules
    assert "CONFIG=/etc/edgepose/edgepose.toml\n" in after


def test_the_containers_fit_together() -> None:
    """The configuration is valid and names compose's services; copied files exist."""
    folder = TREE / "deploy" / "container"
    compose, recipe = (folder / "compose.yaml").read_text(), (folder / "Dockerfile").read_text()

    found = loading.load(folder / "config" / "edgepose.toml")
    services = re.findall(r"^  (\w+):$", compose.partition("\nvolumes:")[0], re.M)
    copied = re.findall(r"^COPY ((?!--from)\S.*) \S+$", recipe, re.M)
    opened = re.findall(r'"127\.0\.0\.1:\d+:(\d+)"', compose)
    page = urls.address(found.web.listen)
    devices = re.findall(r"^ +- (/dev/video\d+):", compose, re.M)

    assert urls.broker(found.mqtt.url).host in services
    assert page is not None
    assert not urls.is_local(page.host)
    assert str(page.port) in opened
    assert [camera.source for camera in found.cameras] == devices
    assert copied
    assert [name for names in copied for name in names.split() if not (TREE / name).exists()] == []
    assert f":{urls.address(found.metrics.listen).port}/metrics" in recipe  # type: ignore[union-attr]


LOOK = "readlink /opt/edgepose/venv; ls /opt/edgepose; systemctl show -P MainPID edgepose"
KEPT = ["/etc/edgepose", "/var/lib/edgepose"]
TRACES = (
    "find / -xdev -name '*edgepose*' -not -path '/root*' -not -path '/var/log/*'"
    " -not -path '/tmp/*' -prune | sort"
)
APT = "DEBIAN_FRONTEND=noninteractive apt-get -qq -y --no-install-recommends"
PYTHONS = {"bookworm": "3.11", "trixie": "3.13"}


@pytest.fixture(scope="module", params=SUITES)
def box(request: pytest.FixtureRequest) -> Iterator[Box]:
    """Boot a Debian with only systemd; the following tests build on each other."""
    with Box(request.param) as running:
        running.put_tree("/root/edgepose")
        yield running


@pytest.fixture(scope="module")
def broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Mosquitto]:
    with Mosquitto(tmp_path_factory.mktemp("broker")) as running:
        yield running


class TestInstaller:
    """The installer on a bare Debian, from installation to complete removal."""

    pytestmark: ClassVar = [*needs_box, needs_mosquitto]

    def test_a_dry_run_needs_nothing_and_changes_nothing(self, box: Box) -> None:
        """A dry run works without Python and changes nothing."""
        look = f"dpkg-query -W; {TRACES}"
        before = box.ok(look)
        assert "\npython3\t" not in before

        plan = box.ok("/root/edgepose/deploy/install.sh --dry-run")

        assert "apt-get install" in plan
        assert "systemctl restart edgepose" in plan
        assert box.ok(look) == before

    def test_it_installs_and_all_is_well(self, box: Box, broker: Mosquitto) -> None:
        """The service runs with a configuration readable only by it, and publishes poses."""
        said = box.ok(f"/root/edgepose/deploy/install.sh --broker {broker.url}")

        assert "\nok    service: it runs" in said
        assert f"Next: edgepose watch --mqtt {broker.url}\n" in said
        assert "fail" not in said
        assert box.systemctl("is-enabled edgepose") == "enabled"
        assert box.systemctl("is-active edgepose") == "active"
        assert box.ok("stat -c '%U:%G %a' /etc/edgepose/edgepose.toml") == "root:edgepose 660"
        assert box.ok("stat -c %U /proc/$(systemctl show -P MainPID edgepose)") == "edgepose"
        with witness(broker.port, "edgepose/+/+/poses") as watcher:
            watcher.until(lambda _: True)

    def test_it_is_back_after_a_reboot(self, box: Box, broker: Mosquitto) -> None:
        """After a reboot the service is active and publishes poses."""
        box.reboot()

        assert wait_until(lambda: box.systemctl("is-active edgepose") == "active", SOON_S)
        with witness(broker.port, "edgepose/+/+/poses") as watcher:
            watcher.until(lambda _: True)

    def test_an_upgrade_keeps_configuration_and_state(self, box: Box) -> None:
        """The environment is replaced; configuration and state are kept."""
        box.ok("echo '# mine' >>/etc/edgepose/edgepose.toml; touch /var/lib/edgepose/mine")
        before = box.ok("readlink /opt/edgepose/venv; stat -c %i /etc/edgepose/edgepose.toml")

        box.ok("/root/edgepose/deploy/install.sh --source /dev/video7")

        after = box.ok("readlink /opt/edgepose/venv; stat -c %i /etc/edgepose/edgepose.toml")
        assert after.split()[0] != before.split()[0]
        assert after.split()[1] == before.split()[1]
        assert box.ok("tail -1 /etc/edgepose/edgepose.toml; ls /var/lib/edgepose/mine")
        assert len(box.ok("ls -d /opt/edgepose/venv-*").split()) == 1
        assert box.systemctl("is-active edgepose") == "active"

    def test_an_upgrade_that_refuses_the_configuration_changes_nothing(self, box: Box) -> None:
        """The service keeps running, and the new environment is removed."""
        before = box.ok(LOOK)
        box.ok("echo '[nonsense]' >>/etc/edgepose/edgepose.toml")

        done = box.sh("/root/edgepose/deploy/install.sh")
        box.ok("sed -i '$d' /etc/edgepose/edgepose.toml")

        assert done.returncode == 2
        assert "nonsense" in done.stderr
        assert box.ok(LOOK) == before

    def test_what_the_doctor_finds_is_the_verdict(self, box: Box) -> None:
        """It is installed and runs, but the exit code and last line report doctor's failures."""
        file = box.root / FILE.lstrip("/")
        kept = file.read_text()
        file.write_text(re.sub("^url = .*", 'url = "mqtt://localhost:9"', kept, flags=re.M))

        done = box.sh("/root/edgepose/deploy/install.sh")

        assert done.returncode == 1
        assert "\nfail  broker: " in done.stdout
        assert "Next: mend" in done.stdout.splitlines()[-1]
        assert box.systemctl("is-active edgepose") == "active"
        file.write_text(kept)

    def test_an_upgrade_without_a_network_changes_nothing(self, box: Box) -> None:
        """The service keeps running, and the new environment is removed."""
        before = box.ok(LOOK)

        done = box.sh("PIP_NO_INDEX=1 /root/edgepose/deploy/install.sh")

        assert done.returncode == 2
        assert box.ok(LOOK) == before

    def test_uninstalling_keeps_configuration_and_state(self, box: Box) -> None:
        """Everything else is removed; it can be repeated."""
        for _ in range(2):
            box.ok("/root/edgepose/deploy/install.sh --uninstall")

        assert box.ok(TRACES).split() == sorted(KEPT)
        assert box.ok("tail -1 /etc/edgepose/edgepose.toml") == "# mine"

    def test_purging_leaves_nothing(self, box: Box) -> None:
        """No file and no user is left; it can be repeated."""
        for _ in range(2):
            box.ok("/root/edgepose/deploy/install.sh --purge")

        assert box.ok(TRACES) == ""
        assert box.sh("getent passwd edgepose").returncode == 2


class TestPackage:
    """The same with the Debian package, on the Debian left bare by the tests above."""

    pytestmark: ClassVar = needs_box

    @pytest.fixture(scope="class")
    def package(self, box: Box) -> str:
        """Build the package for the box, copy it there, and return its path inside."""
        if shutil.which("dh") is None:
            pytest.skip("no debhelper here: apt install debhelper")
        architecture = box.ok("dpkg --print-architecture")
        built = subprocess.run(
            [TREE / "deploy/deb/build.sh", architecture, PYTHONS[box.suite]],
            capture_output=True,
            text=True,
            check=True,
        )
        shutil.copy(TREE / built.stdout.strip(), box.root / "root/edgepose.deb")
        return "/root/edgepose.deb"

    def test_it_installs_and_runs(self, box: Box, package: str) -> None:
        """The service runs with a configuration readable only by it."""
        box.ok("apt-get update -qq")
        box.ok(f"{APT} install {package}")

        assert box.systemctl("is-enabled edgepose") == "enabled"
        assert box.systemctl("is-active edgepose") == "active"
        assert box.ok("stat -c '%U:%G %a' /etc/edgepose/edgepose.toml") == "root:edgepose 660"
        assert "ok    model" in box.sh("edgepose doctor").stdout

    def test_an_upgrade_keeps_the_configuration_and_restarts(self, box: Box, package: str) -> None:
        """The configuration is kept, and the service is restarted."""
        box.ok("echo '# mine' >>/etc/edgepose/edgepose.toml")
        before = box.systemctl("show -P MainPID edgepose")

        box.ok(f"dpkg -i {package}")

        assert box.ok("tail -1 /etc/edgepose/edgepose.toml") == "# mine"
        assert wait_until(lambda: box.systemctl("is-active edgepose") == "active", 60)
        assert box.systemctl("show -P MainPID edgepose") != before

    @pytest.mark.usefixtures("package")
    def test_the_installer_keeps_its_hands_off(self, box: Box) -> None:
        """With the Debian package installed the installer refuses to work."""
        for words in ("", "--uninstall", "--purge"):
            done = box.sh(f"/root/edgepose/deploy/install.sh {words}")
            assert done.returncode == 2
            assert "Debian package" in done.stderr

    def test_removing_and_purging(self, box: Box, package: str) -> None:
        """`remove` keeps configuration and state, `purge` removes them."""
        box.ok(f"rm {package}")
        box.ok(f"{APT} remove edgepose")
        left = box.ok(TRACES).split()
        assert set(KEPT) <= set(left)
        # the rest belongs to dpkg
        assert [path for path in left if path.startswith(("/opt/", "/usr/"))] == []

        box.ok(f"{APT} purge edgepose")
        assert box.ok(TRACES) == ""
        assert box.sh("getent passwd edgepose").returncode == 2
