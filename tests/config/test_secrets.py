"""No password appears in the daemon's output."""

import json
import urllib.request
from pathlib import Path

import pytest

from tests.service.test_daemon import DEVICE, Running
from tests.support.brokers import free_port, needs_mosquitto, wait_until, with_passwords, witness

pytestmark = [needs_mosquitto, pytest.mark.slow]

SECRET = "swordfish"

ADDRESSES = (
    "rtsp://ann:{}@127.0.0.1:{}/live?user=ann&password={}",
    "http://{}@127.0.0.1:{}/video?token={}",
    "rtsp://127.0.0.1:{1}/user=ann_password={0}_channel=1.sdp",
)


def get(port: int, path: str) -> str:
    """Return the text of an HTTP answer of this machine."""
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/{path}", timeout=30) as answer:
        text: str = answer.read().decode()
        return text


def test_nothing_that_a_daemon_says_holds_a_password(tmp_path: Path) -> None:
    """No password is in debug log, topics, doctor's report, metrics, page or state files."""
    nobody, metrics, page = free_port(), free_port(), free_port()
    cameras = "".join(
        f'[[camera]]\nid = "c{number}"\nsource = "{address.format(SECRET, nobody, SECRET)}"\n'
        for number, address in enumerate(ADDRESSES)
    )
    tables = (
        f'[log]\nlevel = "debug"\n[metrics]\nlisten = "127.0.0.1:{metrics}"\n'
        f'[web]\nlisten = "127.0.0.1:{page}"\n'
        f'[[camera]]\nid = "hall"\nsource = "demo://"\n{cameras}'
    )
    with with_passwords(tmp_path, {"ann": SECRET}) as broker:
        url = broker.url.replace("://", f"://ann:{SECRET}@")
        with witness(broker.port, username="ann", password=SECRET) as watcher:
            running = Running(tmp_path, url, tables, "--debug")
            try:
                watcher.on(f"{DEVICE}/hall/poses", timeout_s=60)
                assert wait_until(lambda: running.said().count("lost: source") == 3, 60)
                watcher.publish(f"{DEVICE}/request/doctor", b"{}")
                report = watcher.on(f"{DEVICE}/response/doctor", timeout_s=60)
                served = get(metrics, "metrics"), get(page, "api/config")
            finally:
                running.process.terminate()
                running.wait()
            topics = [
                (message.topic, message.payload.decode(errors="replace"))
                for message in watcher.noted()
            ]

    assert not json.loads(report.payload)["data"]["ok"]
    assert all("127.0.0.1" in text for text in (running.said(), str(topics), served[1]))
    said = {"log": running.said(), "topics": str(topics), "metrics": served[0], "page": served[1]}
    assert [where for where, text in said.items() if SECRET in text] == []
    # except for the configuration, and the broker's own file
    allowed = {running.file.name, "passwords"}
    kept = [file for file in tmp_path.rglob("*") if file.is_file() and file.name not in allowed]
    assert [file.name for file in kept if SECRET.encode() in file.read_bytes()] == []
