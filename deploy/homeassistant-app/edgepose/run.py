"""Start edgepose as a Home Assistant App and report its health to the Supervisor.

Takes the options from ``/data/options.json`` and the broker from the Supervisor, writes both into
edgepose's configuration, runs the daemon and answers the watchdog's requests.
"""

import json
import logging
import os
import signal
import socket
import socketserver
import subprocess
import sys
import threading
import time
import tomllib
import urllib.request
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote

from edgepose.config.toml_edit import Text

log: Final = logging.getLogger("edgepose.app")

INGRESS: Final = "172.30.32.2"
"""The Supervisor's address, from which ingress connects. It is the same on every installation."""

DEVICE: Final = "home"
"""The device's id in topics: the container's host name changes with the repository."""

PAGE: Final = "0.0.0.0:8099"  # ingress_port in config.yaml
HEALTH_PORT: Final = 8098  # watchdog in config.yaml
START_S: Final = (
    120.0  # for the first frame; a delegate's trial and the timing of models precede it
)
BEAT_S: Final = 30.0  # WatchdogSec of edgepose's systemd unit
ASK_AGAIN_S: Final = 10.0
ANSWER_S: Final = 10.0
NO_BROKER: Final = (
    'there is no MQTT broker: install and start the App "Mosquitto broker", or set mqtt_url;'
    " waiting for one"
)


@dataclass(frozen=True, slots=True)
class Places:
    """Where the Supervisor answers, and the folders that it maps into the container."""

    supervisor: str = "http://supervisor"
    data: Path = Path("/data")
    config: Path = Path("/config")

    @property
    def file(self) -> Path:
        """The configuration of edgepose: where users can edit it, if that folder is mapped."""
        return (self.config if self.config.is_dir() else self.data) / "edgepose.toml"


@dataclass(frozen=True, slots=True)
class Broker:
    """Address and login of the MQTT broker."""

    url: str
    """Without a password; empty: the configuration file names the broker."""

    password: str = ""


@dataclass(slots=True)
class Supervisor:
    """The part of the Supervisor's HTTP API that an App may use without further rights."""

    url: str
    token: str

    def get(self, path: str) -> dict[str, Any] | None:
        """Return the data of an answer; None where the Supervisor refuses or does not answer."""
        headers = {"Authorization": f"Bearer {self.token}"}
        request = urllib.request.Request(f"{self.url}{path}", headers=headers)
        try:
            with urllib.request.urlopen(request, timeout=ANSWER_S) as answer:
                found = json.load(answer)
        except (OSError, ValueError) as error:
            log.debug("Supervisor: %s: %s", path, error)
            return None
        data = found.get("data") if isinstance(found, dict) else None
        return data if isinstance(data, dict) else None

    def broker(self) -> Broker | None:
        """Return the broker that another App provides; None while there is none."""
        data = self.get("/services/mqtt")
        if not data or not data.get("host"):
            return None
        scheme = "mqtts" if data.get("ssl") else "mqtt"
        username = str(data.get("username") or "")
        login = f"{quote(username, safe='')}@" if username else ""
        url = f"{scheme}://{login}{data['host']}:{data.get('port') or 1883}"
        return Broker(url, str(data.get("password") or ""))

    def page_url(self) -> str:
        """Return the address of our page in Home Assistant; empty where it is not known."""
        slug = (self.get("/addons/self/info") or {}).get("slug")
        return f"homeassistant://hassio/ingress/{slug}" if slug else ""


def read_options(data: Path) -> dict[str, Any]:
    """Return the options that were set in Home Assistant."""
    try:
        found = json.loads((data / "options.json").read_text("utf-8"))
    except FileNotFoundError:
        return {}
    return found if isinstance(found, dict) else {}


def chosen_broker(options: Mapping[str, Any], document: Mapping[str, Any]) -> Broker | None:
    """Return the broker that the user has named; None where it is the Supervisor's to say."""
    if document.get("mqtt", {}).get("url"):
        return Broker("")
    url = str(options.get("mqtt_url") or "")
    if not url:
        return None
    username = str(options.get("mqtt_username") or "")
    if username and "@" not in url:
        url = url.replace("://", f"://{quote(username, safe='')}@", 1)
    return Broker(url, str(options.get("mqtt_password") or ""))


def await_broker(ask: Callable[[], Broker | None], wait: Callable[[float], None]) -> Broker:
    """Return the broker as soon as there is one; log once that there is none."""
    found = ask()
    if found is None:
        log.warning(NO_BROKER)
    while found is None:
        wait(ASK_AGAIN_S)
        found = ask()
    return found


def write_first_file(file: Path) -> None:
    """Write a commented configuration with the first camera that is found."""
    if file.exists():
        return
    words = ["config", "init", str(file), "--source", "auto"]
    subprocess.run(edgepose(*words), check=True, stdout=subprocess.DEVNULL)
    text = Text(file.read_text("utf-8"))
    text.put(("device",), "id", DEVICE)
    file.write_text(str(text), "utf-8")


def with_options(text: str, options: Mapping[str, Any], page_url: str) -> str:
    """Return a configuration with the options, and with what ingress needs; the rest stays."""
    wanted = {("web", "listen"): PAGE, ("web", "trusted_proxies"): [INGRESS]}
    if page_url:
        wanted["web", "url"] = page_url
    if options.get("log_level"):
        wanted["log", "level"] = options["log_level"]
    for (table, key), value in wanted.items():
        if tomllib.loads(text).get(table, {}).get(key) != value:
            edited = Text(text)
            edited.put((table,), key, value)
            text = str(edited)
    return with_cameras(text, options["cameras"]) if options.get("cameras") else text


def with_cameras(text: str, wanted: Sequence[Mapping[str, str]]) -> str:
    """Make these the cameras; one that is there already keeps zones, masks and settings."""
    sources = {camera["id"]: camera["source"] for camera in wanted}
    there = list(enumerate(tomllib.loads(text).get("camera", [])))
    for index, camera in reversed(there):
        edited = Text(text)
        if camera["id"] not in sources:
            for block in [it for it in edited.blocks if it.path[:2] == ("camera", index)]:
                edited.remove(block)
        elif camera["source"] != sources[camera["id"]]:
            edited.put(("camera", index), "source", sources[camera["id"]])
        text = str(edited)
    known = {camera["id"] for _, camera in there}
    for id_ in [it for it in sources if it not in known]:
        edited = Text(text)
        edited.append((), "camera", {"id": id_, "source": sources[id_]})
        text = str(edited)
    return text


def update_file(file: Path, options: Mapping[str, Any], page_url: str) -> dict[str, Any]:
    """Write the options into the configuration, with the older one beside it; return its data."""
    before = file.read_text("utf-8")
    after = with_options(before, options, page_url)
    if after != before:
        file.with_name(f"{file.name}.before-start").write_text(before, "utf-8")
        draft = file.with_name(f"{file.name}.new")
        draft.write_text(after, "utf-8")
        draft.replace(file)
    return tomllib.loads(after)


@dataclass(slots=True)
class Heart:
    """What the daemon reports as it would to systemd: ready, alive, in one sentence how it is."""

    clock: Callable[[], float] = time.monotonic
    limit_s: float = START_S
    sentence: str = "starting"
    _beat_s: float = field(default=0.0)

    def __post_init__(self) -> None:
        self._beat_s = self.clock()

    def take(self, datagram: bytes) -> None:
        """Take a notification in the format of sd_notify(3)."""
        for line in datagram.decode(errors="replace").splitlines():
            name, _, value = line.partition("=")
            if name == "READY":
                self.limit_s, self._beat_s = BEAT_S, self.clock()
            elif name == "WATCHDOG":
                self._beat_s = self.clock()
            elif name == "WATCHDOG_USEC" and value.isdecimal():
                self.limit_s, self._beat_s = int(value) / 1e6, self.clock()
            elif name == "STATUS":
                self.sentence = value

    def beats(self) -> bool:
        """Return whether the daemon has reported within its time."""
        return self.clock() - self._beat_s < self.limit_s

    def listen(self, line: socket.socket) -> None:
        """Take notifications until the socket is closed."""
        with suppress(OSError):
            while datagram := line.recv(4096):
                self.take(datagram)


class HealthServer(ThreadingHTTPServer):
    """A server that does not look up its own name: a container may have no name server."""

    def server_bind(self) -> None:
        """Bind the socket, and nothing else."""
        socketserver.TCPServer.server_bind(self)
        self.server_name, self.server_port = "", self.server_address[1]


def serve_health(heart: Heart, port: int) -> ThreadingHTTPServer:
    """Answer the Supervisor's watchdog: 200 while the daemon is alive, 503 when it hangs."""

    class Handler(BaseHTTPRequestHandler):
        timeout = ANSWER_S

        def do_GET(self) -> None:  # the library's name
            good = heart.beats()
            self.send_response(HTTPStatus.OK if good else HTTPStatus.SERVICE_UNAVAILABLE)
            self.send_header("Content-Type", "text/plain; charset=utf-8")
            self.end_headers()
            self.wfile.write((heart.sentence if good else "no frame is processed").encode())

        def log_message(self, format: str, *args: Any) -> None:  # noqa: A002
            log.debug(format, *args)

    server = HealthServer(("", port), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return server


def edgepose(*words: str) -> list[str]:
    """Return the command line of edgepose in our own environment."""
    return [sys.executable, "-m", "edgepose", *words]


def environment(places: Places, broker: Broker, notify: str) -> dict[str, str]:
    """Return the daemon's environment: state, password, libraries and where it reports."""
    own = {
        "STATE_DIRECTORY": str(places.data / "state"),
        "RUNTIME_DIRECTORY": str(Path(notify).parent),
        "NOTIFY_SOCKET": notify,
        "WATCHDOG_USEC": str(int(BEAT_S * 1e6)),
        "LD_LIBRARY_PATH": str(places.file.parent),  # libedgetpu.so.1 of the user
    }
    if broker.password:
        own["EDGEPOSE_MQTT_PASSWORD"] = broker.password
    hidden = {"SUPERVISOR_TOKEN", "HASSIO_TOKEN"}
    return {name: value for name, value in os.environ.items() if name not in hidden} | own


def run_daemon(places: Places, broker: Broker, runtime: Path) -> int:
    """Run the daemon until it ends; return its exit code."""
    heart, notify = Heart(), runtime / "notify"
    notify.unlink(missing_ok=True)
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as line:
        line.bind(str(notify))
        threading.Thread(target=heart.listen, args=(line,), daemon=True).start()
        serve_health(heart, HEALTH_PORT)
        words = ["run", "-c", str(places.file), *(["--mqtt", broker.url] if broker.url else [])]
        started: list[subprocess.Popen[bytes]] = []
        sent: set[int] = set()

        def forward(number: int, _: object) -> None:
            sent.add(number)
            for daemon in started:
                daemon.send_signal(number)

        for each in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            signal.signal(each, forward)
        own = environment(places, broker, str(notify))
        started.append(subprocess.Popen(edgepose(*words), env=own))
        for number in tuple(sent):  # signals that came before the daemon
            forward(number, None)
        code = started[0].wait()
    # A daemon that is still importing has no handler yet: then the signal itself ends it.
    return 0 if -code in sent else code


def main(places: Places = Places(), runtime: Path = Path("/run/edgepose")) -> int:
    """Prepare everything, run the daemon; return its exit code."""
    logging.basicConfig(level=logging.INFO, format="%(levelname)s %(message)s", stream=sys.stderr)
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: sys.exit(0))
    runtime.mkdir(parents=True, exist_ok=True)
    (places.data / "state").mkdir(exist_ok=True)
    supervisor = Supervisor(places.supervisor, os.environ.get("SUPERVISOR_TOKEN", ""))
    options = read_options(places.data)
    write_first_file(places.file)
    document = update_file(places.file, options, supervisor.page_url())
    named = chosen_broker(options, document)
    return run_daemon(places, named or await_broker(supervisor.broker, time.sleep), runtime)


if __name__ == "__main__":
    sys.exit(main())
