"""The code blocks of a document, and what is promised of each kind.

| fence | what a test does with it |
|---|---|
| `console` | runs each line after `$ `, in order, in one home per document; the lines below it must be printed, in order, `...` standing for anything; `(exit 3)` as the last one is its exit code, otherwise 0 |
| `console live` | the same, beside a program that trades at the simulated broker (`tests/docs/test_runbook.py`) |
| `bash` | checks the syntax, that each `make` target exists and each `holdfast` verb too; runs nothing |
| `python` | runs it as a program of its own |
| `toml` | parses it; with the word `config` after it, loads it as a configuration file |
| `text`, `mermaid` | nothing: no example, a picture |

Any other fence is a fault.
"""

import os
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Final, NamedTuple

from holdfast.runtime.loopback import VARIABLE
from tests.support.command import CODE

FENCE: Final = re.compile(
    r"^(?P<mark>```+)(?P<info>[^\n`]*)\n(?P<body>.*?)^(?P=mark)[ \t]*$", re.MULTILINE | re.DOTALL
)
KINDS: Final = {"console", "bash", "python", "toml", "text", "mermaid"}
EXIT: Final = re.compile(r"\(exit (\d+)\)")


class Block(NamedTuple):
    """One code block: its kind, the words after it, its text and the line it begins on."""

    kind: str
    words: tuple[str, ...]
    text: str
    line: int


class Step(NamedTuple):
    """One command of a console block with what it must print and how it must end."""

    command: str
    printed: tuple[str, ...]
    exit_code: int


def blocks(text: str) -> Iterator[Block]:
    """The code blocks of a document, in order."""
    for found in FENCE.finditer(text):
        kind, *words = found["info"].split() or [""]
        yield Block(kind, tuple(words), found["body"], text.count("\n", 0, found.start()) + 1)


def steps(console: str) -> list[Step]:
    """The commands of a console block. Raises ValueError when it does not begin with one."""
    found: list[tuple[str, list[str]]] = []
    for line in console.rstrip().splitlines():
        if line.startswith("$ "):
            found.append((line[2:], []))
        elif not found:
            raise ValueError(f"a console block begins with a command, not with {line!r}")
        else:
            found[-1][1].append(line)
    return [_step(command, lines) for command, lines in found]


def _step(command: str, lines: list[str]) -> Step:
    ended = EXIT.fullmatch(lines[-1].strip()) if lines else None
    printed = lines[:-1] if ended else lines
    kept = tuple(line.rstrip() for line in printed if line.strip())
    return Step(command, kept, int(ended[1]) if ended else 0)


def missing_line(expected: tuple[str, ...], printed: str) -> str | None:
    """The first expected line that was not printed in its place; `...` may stand for anything."""
    pattern_of = {line: re.escape(line).replace(re.escape("..."), ".*") for line in expected}
    left = iter(printed.splitlines())
    for line in expected:
        if not any(re.fullmatch(pattern_of[line], given.rstrip()) for given in left):
            return line
    return None


def environment(home: Path) -> dict[str, str]:
    """What a fresh user has: an empty home, this checkout's code, no settings; no other machine."""
    inherited = {
        name: text for name, text in os.environ.items() if not name.startswith("HOLDFAST_")
    }
    return {
        **inherited,
        "HOME": str(home),
        "XDG_CONFIG_HOME": str(home / ".config"),
        "XDG_DATA_HOME": str(home / ".local" / "share"),
        VARIABLE: "1",
        "PYTHONPATH": CODE,
        "COLUMNS": "120",
        "NO_COLOR": "1",
    }


def run_holdfast(command: str, home: Path) -> subprocess.CompletedProcess[str]:
    """Run one `holdfast ...` line as a user would, in `home`. Raises ValueError for another program."""
    program, *arguments = shlex.split(command)
    if program != "holdfast":
        raise ValueError(f"a console block runs holdfast only, not {program!r}: make it `bash`")
    start = (
        "import sys; from holdfast.app.main import main; sys.argv[0] = 'holdfast'; sys.exit(main())"
    )
    return subprocess.run(
        [sys.executable, "-c", start, *arguments],
        cwd=home,
        env=environment(home),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
