"""The daemon's own page, as the daemon sees it: a socket, and a process while somebody looks.

Nothing is loaded, started or sent before somebody connects. Then a process of its own
takes the socket over (`edgepose.web`), is told what goes to the broker too, and hands
back what people do on the page. It ends when nobody has looked for a while.
"""

import logging
import os
import select
import socket
import ssl
import subprocess
import sys
import threading
import time
from collections import deque
from collections.abc import Iterable
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import msgspec

from edgepose import __version__, drawing, storage, vitals
from edgepose.addresses import address, is_local
from edgepose.config import Config
from edgepose.listening import listen
from edgepose.queues import Slot
from edgepose.remote import Refusal
from edgepose.skeleton import JOINT_NAMES, LIMBS
from edgepose.structures import Frame, Message
from edgepose.web import certificates, feed, tokens
from edgepose.web.feed import EVENTS, PASSING, Told

if TYPE_CHECKING:
    from edgepose.daemon import Daemon

log: Final = logging.getLogger("edgepose.page")

BUFFER: Final = 1 << 18  # for a picture, or what all cameras say in a second
END_S: Final = 1.0  # what a process that hangs may cost when we stop
LONG_S: Final = 60.0  # a process that lived so long did not fail at its start
RETRY_S: Final = (1, 2, 5, 10, 30, 60)
PICTURE_PX: Final = 960
"""Longest side of the pictures behind the skeletons."""

QUALITY: Final = 70  # of these pictures, which are looked at for a tenth of a second each


def lack(config: Config) -> tuple[str, str] | None:
    """Say what the page cannot be served without, and what to do; None where nothing is missing."""
    if find_spec("aiohttp") is None or find_spec("tomlkit") is None:
        todo = "pip install 'edgepose[web]', or set web.listen to \"\" for off"
        return "its libraries are not installed", todo
    place = address(config.web.listen)
    if place is not None and not is_local(place.host) and tokens.read(_token_file(config)) is None:
        found = f"web.listen = {config.web.listen} is beyond this machine and there is no token"
        return found, "make one: sudo edgepose web token; then: sudo systemctl reload edgepose"
    try:
        certificates.context(config.web.cert_file, config.web.key_file)
    except (OSError, ssl.SSLError) as error:
        reason = getattr(error, "reason", None) or error.strerror
        found = f"web.cert_file = {config.web.cert_file}: no certificate with its key ({reason})"
        return found, "name a certificate in PEM, and in web.key_file its key"
    return None


def _token_file(config: Config) -> Path | None:
    folder = storage.state_directory(config.device.id)
    return folder and folder / tokens.FILE


class Page:
    """Serves the page of a daemon.

    Parameters
    ----------
    daemon : Daemon
        Whose page it is.
    """

    def __init__(self, daemon: "Daemon") -> None:
        self._daemon = daemon
        self._line = Line()
        self._server: Server | None = None
        self._served: Any = None
        self._session_key = os.urandom(32)
        self._watched: frozenset[str] = frozenset()
        self._painters: dict[str, Painter] = {}
        self._asked: list[int] = []
        self._linked = ""

    # From the daemon's main thread

    def configure(self, config: Config) -> None:
        """Serve, or not, as a configuration says; those who look notice only what concerns them."""
        asked = (config.web, config.device, config.log.format, self._daemon.topics)
        if self._server is not None and asked == self._served:
            return
        self.close()
        place = address(config.web.listen)
        if place is None:
            return
        if missing := lack(config):
            log.warning("the page is not served: %s; %s", *missing)
            return
        listener = listen(place, "web.listen", log)
        if listener is None:
            return
        scheme = "https" if config.web.cert_file else "http"
        log.info("the page is on %s://%s", scheme, config.web.listen)
        self._served = asked
        self._server = Server(listener, self)

    def close(self) -> None:
        """Serve no more; twice is fine."""
        server, self._server = self._server, None
        if server is not None:
            server.close()
        self.watch((), ())

    def tell_link(self, trouble: str) -> None:
        """Tell whether there is a broker, if that is news; the reason is empty while there is."""
        word = trouble or "connected"
        if word != self._linked:
            self._linked = word
            self._line.put(Told("link", (), msgspec.json.encode(word)))

    def reload_begins(self) -> list[int]:
        """Return who has asked for the reload that begins now."""
        asked, self._asked = self._asked, []
        return asked

    def reloaded(self, asked: list[int], error: str) -> None:
        """Tell that a reload is over, and why it was refused if it was."""
        told = feed.Reloaded(cameras=self._cameras(), numbers=tuple(asked), error=error)
        self._line.keep_only(told.cameras)
        self._line.put(Told("reloaded", (), msgspec.json.encode(told)))

    # From any thread

    def see(self, message: Message) -> None:
        """Take a message that is on its way to the broker."""
        if message.kind not in {"poses", "state", "event", "stats"} or not message.payload:
            return
        if message.kind == "poses" and not self._watched:
            return
        told = self._told(message)
        if told is None:
            return
        if told.word != "poses":
            self._line.put(told)
        elif told.of[0] in self._watched:
            self._line.put(told)
            self._paint(told.of[0], message)

    def shows(self, camera: str) -> bool:
        """Say whether somebody looks at a camera now."""
        return camera in self._watched

    def _told(self, message: Message) -> Told | None:
        """Say what a message is, by its topic; None for what the page does not show."""
        prefix, _, rest = message.topic.rpartition("/")
        own = self._daemon.topics.prefix
        if prefix == own and rest in {"status", "stats"}:
            return Told(rest, (), message.payload)
        parent, _, camera = prefix.rpartition("/")
        if parent == own and rest in {"poses", "state", "event"}:
            return Told(rest, (camera,), message.payload)
        return None

    # From the server's thread

    def begin(self, line: socket.socket) -> None:
        """Tell a new process where it is, and all there is to know."""
        self._line.open(line, Told("start", (), msgspec.json.encode(self._start())))

    def end(self) -> None:
        """Tell nobody any more."""
        self._line.close()
        self.watch((), ())

    def _start(self) -> feed.Start:
        daemon, config = self._daemon, self._daemon.config
        web, place = config.web, address(config.web.listen)
        hello = {
            "type": "hello",
            "version": __version__,
            "device": {"id": config.device.id, "name": config.device.title},
            "picture": web.picture,
            "keypoints": JOINT_NAMES,
            "skeleton": LIMBS,
        }
        return feed.Start(
            hello=msgspec.Raw(msgspec.json.encode(hello)),
            origin=msgspec.Raw(msgspec.json.encode(daemon.origin)),
            cameras=self._cameras(),
            local=place is not None and is_local(place.host),
            hosts=web.hosts,
            cert_file=web.cert_file,
            key_file=web.key_file,
            token_file=str(_token_file(config) or ""),
            session_key=self._session_key,
            engine_threads=daemon.engine_threads,
            log_format=config.log.format,
        )

    def _cameras(self) -> tuple[str, ...]:
        return tuple(camera.id for camera in self._daemon.config.cameras)

    def obey(self, datagram: bytes) -> None:
        """Do what the process asks for."""
        command = feed.read_command(datagram)
        match command:
            case feed.Watch(poses=poses, pictures=pictures):
                self.watch(poses, pictures if self._daemon.config.web.picture else ())
            case feed.Reload(number=number):
                self._asked.append(number)
                self._daemon.reload()
            case feed.Set():
                answer = feed.Answer(number=command.number, error=self._set(command))
                self._line.put(Told("answer", (), msgspec.json.encode(answer)))

    def _set(self, command: feed.Set) -> str:
        """Change a camera as `C/set` does; say why not, where it is refused."""
        try:
            self._daemon.remote.change(command.camera, bytes(command.settings))
        except Refusal as refusal:
            return str(refusal)
        return ""

    def watch(self, poses: Iterable[str], pictures: Iterable[str]) -> None:
        """Tell from now on of these cameras' poses, and show these cameras' pictures."""
        self._watched = frozenset(poses)
        wanted = set(pictures)
        painters = dict(self._painters)
        for gone in painters.keys() - wanted:
            painters.pop(gone).close()
        for camera in wanted - painters.keys():
            painters[camera] = Painter(camera, self._line, self._daemon.engine_threads)
        self._painters = painters

    def _paint(self, camera: str, message: Message) -> None:
        painter = self._painters.get(camera)
        control = self._daemon.controls.get(camera)
        # In this thread the newest frame is the one that the message tells of.
        frame = None if painter is None or control is None else control.snapshots.newest
        if painter is not None and frame is not None:
            painter.take(frame, message.payload)


class Line:
    """The way to the process: never waits, and what matters is told again after a jam.

    Poses and pictures are left out when the process is busy. Of states and numbers the
    newest are kept, and the last events, for a process that starts or was jammed.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._socket: socket.socket | None = None
        self._kept: dict[tuple[str, ...], Told] = {}
        self._events: deque[Told] = deque(maxlen=EVENTS)
        self._behind = False

    def open(self, line: socket.socket, first: Told) -> None:
        """Speak on a socket from now on: first this, then all that is kept."""
        with self._lock:
            self._socket = line
            self._send(first)
            self._behind = not self._send_kept()

    def close(self) -> None:
        """Speak no more."""
        with self._lock:
            self._socket = None

    def put(self, told: Told) -> None:
        """Tell something; any thread."""
        with self._lock:
            passing = told.word in PASSING
            if not passing:
                self._keep(told)
            if self._socket is None:
                return
            if self._behind:
                self._behind = not self._send_kept()
                if not passing:
                    return
            if not self._send(told) and not passing:
                self._behind = True

    def keep_only(self, cameras: Iterable[str]) -> None:
        """Forget the states of other cameras."""
        known = set(cameras)
        with self._lock:
            self._kept = {
                key: told for key, told in self._kept.items() if known.issuperset(told.of)
            }

    def _keep(self, told: Told) -> None:
        if told.word == "event":
            self._events.append(told)
        else:
            self._kept[told.word, *told.of] = told

    def _send_kept(self) -> bool:
        return all(map(self._send, [*self._kept.values(), *self._events]))

    def _send(self, told: Told) -> bool:
        """Send if there is room; False if there is none."""
        if self._socket is None:
            return True
        try:
            self._socket.send(feed.pack(told), socket.MSG_DONTWAIT)
        except BlockingIOError:
            return False
        except OSError as error:  # it has ended, which its thread notices; or a picture too large
            log.debug("%s: %s", told.word, error)
        return True


class Server:
    """Waits for the first who connects, and keeps a process for as long as there are any.

    Parameters
    ----------
    listener : socket
        Ours from now on.
    page : Page
        What the process is to know, and who does what it asks for.
    """

    def __init__(self, listener: socket.socket, page: Page) -> None:
        self._listener = listener
        self._page = page
        self._closing = threading.Event()
        self._lines: list[socket.socket] = []
        self._thread = threading.Thread(target=self._run, name="page", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """End the process and listen no more."""
        self._closing.set()
        lines = list(self._lines)
        for line in lines:
            line.shutdown(socket.SHUT_RDWR)
        if not lines:
            self._listener.shutdown(socket.SHUT_RDWR)  # wakes the thread that waits for the first
        self._thread.join(2 * END_S)
        self._listener.close()

    def _run(self) -> None:
        failures = 0
        while self._somebody_comes():
            started_s = time.monotonic()
            code = self._serve()
            lived_s = time.monotonic() - started_s
            failures = 0 if not code or lived_s > LONG_S else failures + 1
            if failures and not self._closing.is_set():
                pause_s = RETRY_S[min(failures, len(RETRY_S)) - 1]
                again = f"tried again after {pause_s} s, if somebody looks"
                log.warning("the page's process ended with %d; %s", code, again)
                self._closing.wait(pause_s)

    def _somebody_comes(self) -> bool:
        """Wait for the first; False when it is time to end."""
        waiting = select.poll()
        waiting.register(self._listener, select.POLLIN)
        if not self._closing.is_set():
            waiting.poll()
        return not self._closing.is_set()

    def _serve(self) -> int:
        """Keep a process until it ends; return its exit code."""
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with ours:
            ours.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, BUFFER)
            with theirs:
                process = _process(self._listener, theirs)
            self._lines.append(ours)
            try:
                if not self._closing.is_set():
                    self._page.begin(ours)
                    while datagram := ours.recv(feed.LIMIT):
                        self._page.obey(datagram)
            except OSError as error:  # it was killed with something unread
                log.debug("the page's process: %s", error)
            finally:
                self._lines.remove(ours)
                self._page.end()
        return _end(process)


def _process(listener: socket.socket, line: socket.socket) -> subprocess.Popen[bytes]:
    """Start the process that serves the page; it ends when the other end of the line closes."""
    handles = (listener.fileno(), line.fileno())
    # In a session of its own, so that Ctrl-C reaches us, who end it.
    return subprocess.Popen(
        [sys.executable, "-m", "edgepose.web", *map(str, handles)],
        stdin=subprocess.DEVNULL,
        pass_fds=handles,
        start_new_session=True,
    )


def _end(process: subprocess.Popen[bytes]) -> int:
    try:
        return process.wait(END_S)
    except subprocess.TimeoutExpired:
        process.kill()
        return process.wait()


class Painter:
    """Makes one camera's frames small pictures, in a thread of its own: the newest counts."""

    def __init__(self, camera: str, line: Line, engine_threads: int) -> None:
        self._camera, self._line, self._engine_threads = camera, line, engine_threads
        self._slot: Slot[tuple[Frame, bytes]] = Slot(newest_wins=True)
        threading.Thread(target=self._run, name=f"{camera}:picture", daemon=True).start()

    def take(self, frame: Frame, poses: bytes) -> None:
        """Take a frame and the message of it."""
        self._slot.put((frame, poses))

    def close(self) -> None:
        """Make no more."""
        self._slot.close()

    def _run(self) -> None:
        vitals.keep_to_rest(self._engine_threads)
        while taken := self._slot.take():
            frame, poses = taken
            seq = str(msgspec.json.decode(poses, type=_Numbered).seq)
            jpeg = drawing.jpeg(drawing.shrink(frame.image, PICTURE_PX), quality=QUALITY)
            self._line.put(Told("picture", (self._camera, seq), jpeg))


class _Numbered(msgspec.Struct):
    seq: int
