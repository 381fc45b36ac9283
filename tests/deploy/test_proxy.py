"""The examples of reverse proxies for the page, with real nginx and Caddy."""

import asyncio
import json
import os
import shutil
import socket
import ssl
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("aiohttp")

from aiohttp import ClientSession, TCPConnector, WSServerHandshakeError
from aiohttp.abc import AbstractResolver, ResolveResult

from edgepose.web import tokens
from tests.support.brokers import Authority, free_port, wait_until
from tests.support.pages import Site, site

EXAMPLES = Path(__file__).parents[2] / "deploy" / "proxy"
PATH = f"{os.environ.get('PATH', '')}:/usr/sbin"

pytestmark = pytest.mark.slow


@dataclass
class Proxy:
    """A running proxy, and the CA of its certificate."""

    port: int
    authority: Path

    def answers(self) -> bool:
        """Return whether it presents its certificate."""
        try:
            trust = ssl.create_default_context(cafile=self.authority)
            with (
                socket.create_connection(("127.0.0.1", self.port)) as line,
                trust.wrap_socket(line, server_hostname="pose.example"),
            ):
                return True
        except OSError:
            return False


def command(name: str) -> str:
    """Return the path of a proxy's program."""
    found = shutil.which(name, path=PATH)
    if found is None:
        pytest.skip(f"no {name} here: sh tests/support/install-proxies.sh")
    return found


def example(name: str, *changes: tuple[str, str]) -> str:
    """Return an example with the replacements that the test needs."""
    text = (EXAMPLES / name).read_text()
    for there, here in changes:
        assert there in text
        text = text.replace(there, here)
    return text


@contextmanager
def nginx(folder: Path, page: Site) -> Iterator[Proxy]:
    """Run nginx with the example, on other ports and with another certificate."""
    program = command("nginx")
    certificate, key = Authority(folder).sign("pose.example")
    port, secrets = free_port(), "/etc/letsencrypt/live/pose.example"
    text = example(
        "nginx.conf",
        ("listen 443 ssl", f"listen 127.0.0.1:{port} ssl"),
        ("127.0.0.1:8600", f"127.0.0.1:{page.port}"),
        (f"{secrets}/fullchain.pem", str(certificate)),
        (f"{secrets}/privkey.pem", str(key)),
    )
    paths = "".join(
        f"{name}_temp_path {folder}/{name};\n"
        for name in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    )
    file = folder / "nginx.conf"
    file.write_text(
        f"daemon off; pid {folder}/pid; error_log stderr;\nevents {{}}\n"
        f"http {{\naccess_log off;\n{paths}{text}}}\n"
    )
    with running(program, "-c", str(file), "-e", "stderr"):
        yield Proxy(port, folder / "authority.crt")


@contextmanager
def caddy(folder: Path, page: Site) -> Iterator[Proxy]:
    """Run Caddy with the example, on other ports and with its own CA."""
    program, port = command("caddy"), free_port()
    text = example(
        "Caddyfile",
        ("pose.example {", f"pose.example:{port} {{"),
        ("# tls internal", "tls internal"),
        ("127.0.0.1:8600", f"127.0.0.1:{page.port}"),
    )
    words = ("admin off", "skip_install_trust", "auto_https disable_redirects")
    alone = "\n".join((*words, "default_bind 127.0.0.1", f"storage file_system {folder}/caddy"))
    file = folder / "Caddyfile"
    file.write_text(f"{{\n{alone}\n}}\n{text}")
    authority = folder / "caddy" / "pki" / "authorities" / "local" / "root.crt"
    with running(program, "run", "--config", str(file), HOME=str(folder)):
        yield Proxy(port, authority)


@contextmanager
def running(*words: str, **environment: str) -> Iterator[None]:
    """Run a program until the context ends."""
    process = subprocess.Popen(words, env={**os.environ, **environment})
    try:
        yield
    finally:
        process.terminate()
        process.wait(10)


@pytest.fixture
def token_file(tmp_path: Path) -> Path:
    return tmp_path / "token"


@pytest.fixture
def page(token_file: Path) -> Iterator[Site]:
    with site(token_file=str(token_file), hosts=("pose.example",)) as made:
        yield made


@pytest.fixture(params=[nginx, caddy], ids=["nginx", "caddy"])
def proxy(request: pytest.FixtureRequest, tmp_path: Path, page: Site) -> Iterator[Proxy]:
    with request.param(tmp_path, page) as made:
        assert wait_until(made.answers, 60)
        yield made


class Here(AbstractResolver):
    """Resolves every name to this machine."""

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        found = {"host": "127.0.0.1", "port": port, "proto": 0, "flags": 0}
        return [ResolveResult(hostname=host, family=socket.AF_INET, **found)]

    async def close(self) -> None:
        """Do nothing."""


def browser(proxy: Proxy) -> ClientSession:
    """Return a client that trusts the proxy's CA and resolves its name."""
    trust = ssl.create_default_context(cafile=proxy.authority)
    return ClientSession(connector=TCPConnector(ssl=trust, resolver=Here()))


def run(work: Any) -> Any:
    return asyncio.run(asyncio.wait_for(work, 60))


def test_it_works_behind_the_proxy_for_who_has_the_token(proxy: Proxy, token_file: Path) -> None:
    """A token is required although the page is on this machine; the cookie is Secure."""
    token = tokens.make(token_file)
    where = f"https://pose.example:{proxy.port}"

    async def look() -> str:
        async with browser(proxy) as client:
            headers = {"Origin": where}
            async with client.get(f"{where}/api/session") as before:
                assert await before.json() == {"signed_in": False, "token_needed": True}
            async with client.get(f"{where}/api/config") as shut:
                assert shut.status == 401
            body = {"token": token}
            async with client.post(f"{where}/api/login", json=body, headers=headers) as signed:
                assert signed.status == 204
                assert signed.cookies["edgepose-session"]["secure"]
            async with client.ws_connect(f"{where}/api/live", headers=headers) as line:
                return str(json.loads((await line.receive()).data)["type"])

    assert run(look()) == "hello"


def test_others_are_refused_behind_the_proxy_too(proxy: Proxy, token_file: Path) -> None:
    """Cross-site requests and other host names are refused."""
    token = tokens.make(token_file)
    where = f"https://pose.example:{proxy.port}"

    async def look() -> None:
        async with browser(proxy) as client:
            headers, body = {"Origin": "https://evil.example"}, {"token": token}
            async with client.post(f"{where}/api/login", json=body, headers=headers) as signed:
                assert signed.status == 403
            with pytest.raises(WSServerHandshakeError):
                await client.ws_connect(f"{where}/api/live", headers=headers)
            async with client.get(where, headers={"Host": "evil.example"}) as named:
                assert b"<title>" not in await named.read()

    run(look())
