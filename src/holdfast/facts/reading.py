"""A file of facts, read strictly: rows under [[table]] headers, and nothing that is not understood."""

import datetime as dt
import difflib
import re
import tomllib
from collections.abc import Callable, Hashable, Iterable, Iterator
from typing import Any, Final, TypeVar

import msgspec

from holdfast.domain.errors import DataRefused

Row = TypeVar("Row", bound=msgspec.Struct)

Place = tuple[str, int, str | None]
"""(table, row from 0, key); the key is `None` for the row's header."""

_HEADER: Final = re.compile(r"\s*\[\[?\s*([\w-]+)\s*\]")
_KEY: Final = re.compile(r"\s*([\w-]+)\s*=")
_COLUMN: Final = re.compile(r"\.([\w-]+)")
_TIMES: Final = (dt.date, dt.datetime, dt.time)


class FactsDocument:
    """The tables of one file. Every refusal names the file, the line and what to do."""

    def __init__(self, name: str, text: str) -> None:
        """`name` is what messages call the file. Raises DataRefused when `text` is not TOML."""
        self.name = name
        self._lines = dict(_places(text))
        try:
            self._tables = tomllib.loads(text)
        except RecursionError:
            raise DataRefused(name, "is nested too deep", "use [[tables]] and plain keys") from None
        except tomllib.TOMLDecodeError as error:
            raise self._malformed(text, str(error)) from error

    def only(self, *tables: str) -> None:
        """Refuse the file if it has a table of another name."""
        for table in self._tables:
            if table not in tables:
                where = self._where(table, 0)
                raise DataRefused(where, f"unknown table [[{table}]]", _choice(table, tables))

    def rows(
        self,
        table: str,
        row_type: type[Row],
        identity: Callable[[Row], Iterable[Hashable]],
    ) -> tuple[Row, ...]:
        """The rows of `table` as `row_type`, in the file's order; none when it has no such table.

        Two rows may not share an element of their `identity`. A column `since` of a type that
        keeps it as text is a date in the file. Raises DataRefused.
        """
        found = self._tables.get(table, [])
        if not isinstance(found, list) or not all(isinstance(row, dict) for row in found):
            where = self._where(table, 0)
            raise DataRefused(where, f"{table} is no list of rows", f"begin a row with [[{table}]]")
        rows = tuple(self._row(table, n, row, row_type) for n, row in enumerate(found))
        self._refuse_repeated(table, rows, identity)
        return rows

    def _row(self, table: str, number: int, row: dict[str, Any], row_type: type[Row]) -> Row:
        fields = {field.encode_name: field for field in msgspec.structs.fields(row_type)}
        for key in row:
            if key not in fields:
                where = self._where(table, number, key)
                what = f"unknown key {key!r} in [[{table}]]"
                raise DataRefused(where, what, _choice(key, fields))
        if "since" in fields and fields["since"].type is str:
            row = row | {"since": self._iso_date(table, number, row.get("since"))}
        try:
            return msgspec.convert(row, row_type, builtin_types=_TIMES)
        except msgspec.ValidationError as error:
            what, _, path = str(error).partition(" - at `$")
            column = _COLUMN.match(path)
            where = self._where(table, number, column[1] if column else None)
            what = f"{column[1]}: {what}" if column else what
            remedy = f"correct this row of [[{table}]]; the shipped file shows the form"
            raise DataRefused(where, what, remedy) from error

    def _iso_date(self, table: str, number: int, given: object) -> str:
        if type(given) is not dt.date:
            where = self._where(table, number, "since")
            raise DataRefused(where, f"since: {given!r} is no date", "write since = 2026-04-01")
        return given.isoformat()

    def _refuse_repeated(
        self, table: str, rows: tuple[Row, ...], identity: Callable[[Row], Iterable[Hashable]]
    ) -> None:
        first: dict[Hashable, int] = {}
        for number, row in enumerate(rows):
            for key in identity(row):
                if key in first:
                    where = self._where(table, number)
                    earlier = self._where(table, first[key])
                    what = f"[[{table}]] says a second time what {earlier} says"
                    raise DataRefused(where, what, "delete one of the two rows")
                first[key] = number

    def _where(self, table: str, number: int, key: str | None = None) -> str:
        for place in ((table, number, key), (table, number, None), ("", 0, table)):
            if place in self._lines:
                return f"{self.name}:{self._lines[place]}"
        return f"{self.name}, row {number + 1} of {table}"

    def _malformed(self, text: str, said: str) -> DataRefused:
        seen: dict[Place, int] = {}
        for place, line in _places(text):
            if place in seen:
                what = f"{place[2] or place[0]!r} stands twice, first on line {seen[place]}"
                return DataRefused(f"{self.name}:{line}", what, "delete one of the two")
            seen[place] = line
        at = re.search(r"line (\d+)", said)
        where = f"{self.name}:{at[1] if at else text.count(chr(10)) + 1}"
        return DataRefused(where, f"is not TOML: {said}", "correct the line; # begins a comment")


def _places(text: str) -> Iterator[tuple[Place, int]]:
    """Every header and key with its line; a key that stands twice in a row comes twice."""
    table, rows = "", {"": 0}
    for line, content in enumerate(text.splitlines(), start=1):
        if header := _HEADER.match(content):
            table = header[1]
            is_list = content.lstrip().startswith("[[")
            rows[table] = rows.get(table, -1) + 1 if is_list else 0
            yield (table, rows[table], None), line
        elif key := _KEY.match(content):
            yield (table, rows[table], key[1]), line


def _choice(word: str, known: Iterable[str]) -> str:
    names = sorted(known)
    close = difflib.get_close_matches(word, names, n=1)
    return f"did you mean {close[0]!r}?" if close else f"known are {', '.join(names)}"
