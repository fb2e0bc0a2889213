"""The entry point: signal handlers first, then everything else, then the end with its code.

Nothing heavy is imported before the handlers are in place, so that a signal in the first
milliseconds is already the beginning of an orderly end.
"""

import os
import sys

from holdfast.runtime import loopback
from holdfast.runtime.process import finish
from holdfast.runtime.signals import Signals


def main() -> None:
    """Run the command line with the process's arguments and end the process with its code."""
    signals = Signals()
    signals.install()
    if os.environ.get(loopback.VARIABLE):
        loopback.refuse_strangers()
    if not __debug__:
        # The core states what it knows as assertions; without them a bug would trade on.
        print("holdfast: refuses to run under python -O", file=sys.stderr)  # noqa: T201
        sys.exit(2)
    from holdfast.app.cli.ending import end, tell_uncaught  # noqa: PLC0415 after the handlers
    from holdfast.app.cli.root import root  # noqa: PLC0415 after the handlers

    sys.excepthook = tell_uncaught
    args = sys.argv[1:]

    def command() -> object:
        return root.main(args, prog_name="holdfast", standalone_mode=False, obj=signals)

    code = end(command, args)
    if signals.shutting_down:
        signals.ignore()  # how it ended is decided
    finish(code)


if __name__ == "__main__":
    main()
