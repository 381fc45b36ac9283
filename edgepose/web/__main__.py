"""The process that serves the page: ``python -m edgepose.web LISTENER LINE``, two open sockets."""

import asyncio
import os
import socket
import sys

from edgepose.system import logs


def main(handles: list[str]) -> None:
    """Serve until the daemon ends or the page has not been used for a while."""
    # aiohttp's server imports its client, which reads the certificates of all authorities: a
    # fifth of the time until the first response.
    os.environ["SSL_CERT_FILE"] = os.devnull
    from edgepose.web.server import serve

    logs.configure("warning")
    listener, line = (socket.socket(fileno=int(handle)) for handle in handles)
    for ours in (listener, line):
        os.set_inheritable(ours.fileno(), False)
    asyncio.run(serve(listener, line))


if __name__ == "__main__":
    main(sys.argv[1:])
