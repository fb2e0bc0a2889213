"""The synthetic underlying: call mid minus put mid plus strike, while both legs are fresh."""

from pathlib import Path

import pytest

from holdfast.store.imports.parity import Forward, parity_forward
from holdfast.store.imports.recording import Recording, load_table, read_book
from holdfast.store.imports.upstox import contracts_of
from tests.unit.store.imports.recordings import CALL, PUT, SHARE, TERMS, Row, at, row, written


def forward(folder: Path, rows: list[Row]) -> tuple[Recording, Forward | None]:
    """The forward of these rows, which are in order of receipt."""
    path = written(folder, rows)
    recording = Recording(path, load_table(path))
    book, _ = read_book(recording)
    return recording, parity_forward(recording, book, contracts_of(recording, book, TERMS))


def test_it_is_the_difference_of_the_mids_plus_the_strike(tmp_path: Path) -> None:
    """(524.30 - 498.15) + 59400 = 59426.15, at each packet from the second leg's first on."""
    rows = [row(CALL, 1, 524.3), row(SHARE, 1.1, 1_400.0), row(PUT, 2, 498.15), row(CALL, 3, 525.3)]
    _, found = forward(tmp_path, rows)
    assert found is not None
    assert found.at.tolist() == [2, 3]
    assert found.last.tolist() == [5_942_615, 5_942_715]
    assert [leg.symbol for leg in found.legs] == [CALL, PUT]


def test_it_traded_when_the_later_leg_did(tmp_path: Path) -> None:
    """And never before it did already."""
    rows = [
        row(CALL, 1, 100.0, ltt=at(9)),
        row(PUT, 2, 100.0, ltt=at(7)),
        row(PUT, 3, 100.0, ltt=at(11)),
    ]
    recording, found = forward(tmp_path, rows)
    assert found is not None
    assert found.venue_ns.tolist() == [recording.venue_ns[0], recording.venue_ns[2]]


SILENT = [
    ("the other leg is older than five seconds", [row(CALL, 1, 100.0), row(PUT, 6.1, 100.0)]),
    (
        "nobody offers the other leg",
        [
            row(
                CALL,
                1,
                100.0,
                **{f"ap{n}": None for n in range(1, 6)},
                **{f"aq{n}": 0 for n in range(1, 6)},
            ),
            row(PUT, 2, 100.0),
        ],
    ),
]


@pytest.mark.parametrize("rows", [pytest.param(rows, id=name) for name, rows in SILENT])
def test_it_is_silent_without_two_fresh_two_sided_books(tmp_path: Path, rows: list[Row]) -> None:
    """Then nobody knows the underlying."""
    _, found = forward(tmp_path, rows)
    assert found is not None
    assert found.at.tolist() == []


def test_exactly_five_seconds_is_fresh(tmp_path: Path) -> None:
    """The bound itself belongs to it."""
    _, found = forward(tmp_path, [row(CALL, 1, 100.0), row(PUT, 6, 100.0)])
    assert found is not None
    assert found.at.tolist() == [1]


def test_without_a_pair_there_is_none(tmp_path: Path) -> None:
    """A call of one strike and a put of another are no pair."""
    other = PUT.replace("59400", "59600")
    _, found = forward(tmp_path, [row(CALL, 1, 100.0), row(other, 2, 100.0)])
    assert found is None


def test_of_two_pairs_the_livelier_counts(tmp_path: Path) -> None:
    """The one whose quieter leg ticks most."""
    other = [symbol.replace("59400", "59600") for symbol in (CALL, PUT)]
    rows = [row(CALL, n, 100.0) for n in range(1, 9)] + [row(PUT, 9, 100.0)]
    rows += [row(symbol, 10 + n, 100.0) for n, symbol in enumerate(other * 2)]
    _, found = forward(tmp_path, rows)
    assert found is not None
    assert [leg.symbol for leg in found.legs] == other
