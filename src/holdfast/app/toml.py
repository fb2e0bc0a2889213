"""One TOML file read strictly: every key stands once, and its line is known."""

import re
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import msgspec

from holdfast.domain.errors import DataRefused

SIZE_BYTES_MAX: Final = 65_536

Dotted = tuple[str, ...]
"""The way to a key or section: ("exits", "stop_bps")."""

_PART: Final = re.compile(r"""[\w-]+|"[^"]*"|'[^']*'""")
_DOTTED: Final = rf"(?:{_PART.pattern})(?:\s*\.\s*(?:{_PART.pattern}))*"
_SECTION: Final = re.compile(rf"\s*\[\[?\s*({_DOTTED})\s*\]")
_KEY: Final = re.compile(rf"\s*({_DOTTED})\s*=")
_AT_LINE: Final = re.compile(r"\(at line (\d+), column \d+\)")

# What people write on a line that TOML cannot read, and what to write instead.
_SLIPS: Final = (
    (re.compile(r"=\s*[\d.]+\s*%"), "write ratios in basis points: 100 to the percent, no sign"),
    (re.compile(r"=\s*\d{1,2}:\d{2}\s*(#|$)"), 'write times of day in quotes: "09:20"'),
    (re.compile(r"=\s*\d+,\d"), "write numbers without commas; underscores may group: 5_00_000"),
    (re.compile(r"=\s*[A-Za-z]"), "write text in double quotes"),
    (re.compile(r"^\s*\w+\s*:"), "write key = value"),
)


class Document(msgspec.Struct, frozen=True, kw_only=True):
    """What a file says, and where. `lines` knows keys and section headers."""

    path: Path
    values: dict[str, Any]
    lines: dict[Dotted, int]

    def where(self, dotted: Dotted) -> str:
        """`file:line` of a key, else of the nearest section around it, else the file."""
        for end in range(len(dotted), 0, -1):
            if line := self.lines.get(dotted[:end]):
                return f"{self.path}:{line}"
        return str(self.path)


def load_toml(path: Path) -> Document:
    """Read `path`. Raises DataRefused, with the line, for anything but one well-formed file."""
    text = _text(path)
    marks = tuple(_marks(text))
    try:
        values = tomllib.loads(text)
    except RecursionError:
        raise DataRefused(str(path), "is nested too deep", "use sections and plain keys") from None
    except ValueError as error:
        raise _malformed(path, text, marks, str(error)) from error
    return Document(path=path, values=values, lines=dict(reversed(marks)))


def _text(path: Path) -> str:
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        raise DataRefused(
            str(path), "there is no such file", "write one with: holdfast init"
        ) from None
    except OSError as error:
        raise DataRefused(
            str(path), f"cannot be read: {error.strerror}", "check the path and its permissions"
        ) from error
    if len(content) > SIZE_BYTES_MAX:
        raise DataRefused(
            str(path),
            f"holds {len(content)} bytes, more than {SIZE_BYTES_MAX}",
            "give the configuration file",
        )
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise DataRefused(
            f"{path}:{line}", "is not UTF-8 text", "save the file as UTF-8"
        ) from error


def _marks(text: str) -> Iterator[tuple[Dotted, int]]:
    """Every key and section header with its line, in order; a repeated one is repeated here."""
    section: Dotted = ()
    for number, line in enumerate(text.splitlines(), start=1):
        if header := _SECTION.match(line):
            section = _parts(header[1])
            yield section, number
        elif key := _KEY.match(line):
            yield section + _parts(key[1]), number


def _parts(dotted: str) -> Dotted:
    return tuple(part.strip("\"'") for part in _PART.findall(dotted))


def _malformed(
    path: Path, text: str, marks: tuple[tuple[Dotted, int], ...], said: str
) -> DataRefused:
    """The refusal for what tomllib says. It gives no line for what it finds at the end."""
    if repeated := _first_repeated(marks):
        dotted, first, second = repeated
        return DataRefused(
            f"{path}:{second}",
            f"{_named(dotted)} stands twice, first on line {first}",
            "delete one of the two: which of them holds must not depend on their order",
        )
    lines = text.splitlines()
    at = _AT_LINE.search(said)
    number = int(at[1]) if at else max(len(lines), 1)
    what = re.split(r" \(at |;", said, maxsplit=1)[0]
    return DataRefused(
        f"{path}:{number}", f"is not TOML: {what}", _remedy(lines[number - 1] if lines else "")
    )


def _remedy(line: str) -> str:
    slips = (remedy for form, remedy in _SLIPS if form.search(line))
    return next(slips, "correct the line; # begins a comment")


def _first_repeated(marks: tuple[tuple[Dotted, int], ...]) -> tuple[Dotted, int, int] | None:
    seen: dict[Dotted, int] = {}
    for dotted, line in marks:
        if dotted in seen:
            return dotted, seen[dotted], line
        seen[dotted] = line
    return None


def _named(dotted: Dotted) -> str:
    return dotted[-1] if len(dotted) < 2 else f"{dotted[-1]} of [{'.'.join(dotted[:-1])}]"
