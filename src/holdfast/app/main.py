"""The entry point. It does nothing but refuse `-O`, hand over to the command line, and end."""

import sys

from holdfast.app.cli.ending import end, tell_uncaught
from holdfast.app.cli.root import root


def main() -> None:
    """Run the command line with the process's arguments and end the process with its code."""
    sys.excepthook = tell_uncaught
    if not __debug__:
        # The core states what it knows as assertions; without them a bug would trade on.
        print("holdfast: refuses to run under python -O", file=sys.stderr)  # noqa: T201
        sys.exit(2)
    args = sys.argv[1:]
    sys.exit(end(lambda: root.main(args, prog_name="holdfast", standalone_mode=False), args))


if __name__ == "__main__":
    main()
