"""Entry point of `edgepose` and ``python -m edgepose``."""

import signal


def main() -> int:
    """Run one command and return the exit code; Ctrl-C prints no traceback, even during imports."""
    usual = signal.getsignal(signal.SIGINT)
    if usual is signal.default_int_handler:  # else the parent process set SIGINT to be ignored
        signal.signal(signal.SIGINT, signal.SIG_DFL)
    from edgepose import cli

    signal.signal(signal.SIGINT, usual)
    return cli.main()


if __name__ == "__main__":
    raise SystemExit(main())
