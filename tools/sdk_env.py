"""The broker's official SDK in an environment of its own, under build/: it is no dependency of ours.

`python -m tools.sdk_env` makes it from locks/sdk.txt where it is not there yet, and prints its
interpreter.
"""

import fcntl
import hashlib
import subprocess
import sys
from pathlib import Path
from typing import Final

from tools import CHECKOUT

LOCK: Final = CHECKOUT / "locks" / "sdk.txt"
FOLDER: Final = CHECKOUT / "build" / "sdk"


def interpreter(folder: Path = FOLDER) -> Path:
    """The environment's python, made first where the lock file asks for another one.

    Raises `CalledProcessError` where the packages cannot be had.
    """
    python = folder / "bin" / "python"
    stamp = folder / ".made"
    wanted = hashlib.sha256(LOCK.read_bytes()).hexdigest()
    folder.parent.mkdir(parents=True, exist_ok=True)
    with (folder.parent / "sdk.lock").open("w") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        if not stamp.exists() or stamp.read_text() != wanted:
            _run("venv", "--quiet", "--clear", "--python", sys.executable, str(folder))
            _run(
                "pip",
                "install",
                "--quiet",
                "--python",
                str(python),
                "--require-hashes",
                "-r",
                str(LOCK),
            )
            stamp.write_text(wanted)
    return python


def _run(*words: str) -> None:
    subprocess.run(
        [sys.executable, "-m", "uv", *words],
        check=True,
        capture_output=True,
        text=True,
        timeout=300,
    )


if __name__ == "__main__":
    print(interpreter())
