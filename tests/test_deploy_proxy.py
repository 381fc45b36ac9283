"""Tests of the example of a proxy before the page, with the real nginx."""

import asyncio
import json
import os
import shutil
import socket
import ssl
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

pytest.importorskip("aiohttp")

from aiohttp import ClientSession, TCPConnector
from aiohttp.abc import AbstractResolver, ResolveResult

from edgepose.web import tokens
from tests.brokers import Authority, free_port, wait_until
from tests.pages import Site, site

EXAMPLE = Path(__file__).parent.parent / "deploy" / "proxy" / "nginx.conf"
NGINX = shutil.which("nginx", path=f"{os.environ.get('PATH', '')}:/usr/sbin")

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(NGINX is None, reason="no nginx here: apt install nginx-light"),
]


@pytest.fixture
def token_file(tmp_path: Path) -> Path:
    return tmp_path / "token"


@pytest.fixture
def page(token_file: Path) -> Iterator[Site]:
    with site(token_file=str(token_file), hosts=("pose.example",)) as made:
        yield made


@pytest.fixture
def proxy(tmp_path: Path, page: Site) -> Iterator[int]:
    """Run nginx as the example says, on other ports and with another certificate."""
    assert NGINX is not None
    certificate, key = Authority(tmp_path).sign("pose.example")
    port, folder = free_port(), "/etc/letsencrypt/live/pose.example"
    example = EXAMPLE.read_text()
    for there, here in (
        ("listen 443 ssl", f"listen 127.0.0.1:{port} ssl"),
        ("127.0.0.1:8600", f"127.0.0.1:{page.port}"),
        (f"{folder}/fullchain.pem", str(certificate)),
        (f"{folder}/privkey.pem", str(key)),
    ):
        assert there in example
        example = example.replace(there, here)
    paths = "".join(
        f"{name}_temp_path {tmp_path}/{name};\n"
        for name in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    )
    file = tmp_path / "nginx.conf"
    file.write_text(
        f"daemon off; pid {tmp_path}/pid; error_log stderr;\nevents {{}}\n"
        f"http {{\naccess_log off;\n{paths}{example}}}\n"
    )
    running = subprocess.Popen([NGINX, "-c", file, "-e", "stderr"])
    try:
        assert wait_until((tmp_path / "pid").exists, 60)
        yield port
    finally:
        running.terminate()
        running.wait(10)


class Here(AbstractResolver):
    """Finds every name on this machine."""

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        found = {"host": "127.0.0.1", "port": port, "proto": 0, "flags": 0}
        return [ResolveResult(hostname=host, family=socket.AF_INET, **found)]

    async def close(self) -> None:
        """Nothing is open."""


def test_it_works_behind_the_proxy_for_who_has_the_token(
    proxy: int, tmp_path: Path, token_file: Path
) -> None:
    """Nothing without it, although the page itself is on this machine; the cookie stays on TLS."""
    token = tokens.make(token_file)
    where = f"https://pose.example:{proxy}"
    trust = ssl.create_default_context(cafile=tmp_path / "authority.crt")

    async def look() -> str:
        connector = TCPConnector(ssl=trust, resolver=Here())
        async with ClientSession(connector=connector) as browser:
            headers = {"Origin": where}
            async with browser.get(f"{where}/api/session") as before:
                assert await before.json() == {"signed_in": False, "token_needed": True}
            async with browser.get(f"{where}/api/config") as shut:
                assert shut.status == 401
            body = {"token": token}
            async with browser.post(f"{where}/api/login", json=body, headers=headers) as signed:
                assert signed.status == 204
                assert signed.cookies["edgepose"]["secure"]
            async with browser.ws_connect(f"{where}/api/live", headers=headers) as line:
                return str(json.loads((await line.receive()).data)["type"])

    assert asyncio.run(asyncio.wait_for(look(), 60)) == "hello"
