"""Where the program starts: `edgepose`, and ``python -m edgepose``."""

import signal


def main() -> int:
    """Run one command; Ctrl-C ends it without a word from the first moment on."""
    usual = signal.getsignal(signal.SIGINT)
    if usual is signal.default_int_handler:  # else somebody told us to ignore it
        signal.signal(signal.SIGINT, signal.SIG_DFL)
    from edgepose import cli

    signal.signal(signal.SIGINT, usual)
    return cli.main()


if __name__ == "__main__":
    raise SystemExit(main())
