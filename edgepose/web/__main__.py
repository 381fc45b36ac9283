"""The process that serves the page: ``python -m edgepose.web LISTENER LINE``, two open sockets."""

import asyncio
import os
import socket
import sys

from edgepose import logs
from edgepose.web.server import serve


def main(handles: list[str]) -> None:
    """Serve until the daemon has gone or nobody looks any more."""
    logs.configure("warning")
    listener, line = (socket.socket(fileno=int(handle)) for handle in handles)
    for ours in (listener, line):
        os.set_inheritable(ours.fileno(), False)
    asyncio.run(serve(listener, line))


if __name__ == "__main__":
    main(sys.argv[1:])
