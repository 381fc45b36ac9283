"""Entry point of `edgepose` and ``python -m edgepose``."""

import os
import signal


def main() -> int:
    """Run one command and return the exit code; Ctrl-C prints no traceback, even during imports."""
    usual = signal.getsignal(signal.SIGINT)
    if usual is signal.default_int_handler:  # else the parent process set SIGINT to be ignored
        signal.signal(signal.SIGINT, signal.SIG_DFL)
    # Read when numpy is imported. Its products are small: further threads would only wait.
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    from edgepose import cli

    signal.signal(signal.SIGINT, usual)
    return cli.main()


if __name__ == "__main__":
    raise SystemExit(main())
