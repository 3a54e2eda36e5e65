"""The program, as `edgebench` and as `python -m edgebench`."""

from __future__ import annotations

import signal  # and nothing else: until the handler is set, Ctrl-C ends in a traceback


def main() -> None:
    """Run the command line; Ctrl-C while it is still being loaded ends the process at once, without a word.

    The exit status is then that of the signal, which a shell reads as 130. A SIGINT that is ignored, as
    by nohup, stays so.
    """
    at_once = signal.getsignal(signal.SIGINT) is signal.default_int_handler
    if at_once:
        signal.signal(signal.SIGINT, signal.SIG_DFL)
    from edgebench.cli import main as run

    if at_once:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    run()


if __name__ == "__main__":
    main()
