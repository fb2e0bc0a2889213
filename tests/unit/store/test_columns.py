"""Tape events as columns: nothing is lost, and the hash is that of the content alone."""

import subprocess
import sys
from collections.abc import Callable, Sequence
from itertools import count

import pyarrow as pa
import pytest

from holdfast.domain.event import TapeEvent
from holdfast.store.columns import DEPTH, KINDS, TICKS, content_sha256
from tests.unit.store.samples import T0, candle, merged, quotes, tick


def numbered(events: Sequence[TapeEvent]) -> list[tuple[int, TapeEvent]]:
    """Under numbers with gaps, as between records."""
    return list(zip(count(5, 3), events, strict=False))


@pytest.mark.parametrize(
    "events",
    [
        [tick(number) for number in range(20)],
        [tick(1), merged(2), tick(3)],
        [merged(2)],
        [candle(number) for number in range(10)],
        [quotes(1), quotes(2, count=1)],
        [quotes(1, count=0)],
        [quotes(1, count=0), quotes(2), quotes(3, count=0), quotes(3, count=0)],
    ],
    ids=["ticks", "merged among single", "merged", "candles", "reads", "empty read", "mixed reads"],
)
def test_events_survive_their_columns(events: Sequence[TapeEvent]) -> None:
    """Every field, every level, every absent value, also a read that brought no quote."""
    rows = numbered(events)
    kind = KINDS[type(events[0])]
    batch = kind.encode(rows)
    assert batch.schema == kind.schema
    assert list(kind.decode(pa.Table.from_batches([batch]))) == rows


def test_a_tick_without_a_level_is_null_there_and_not_zero() -> None:
    """A zero price and an absent one do not look alike."""
    table = pa.Table.from_batches([KINDS[type(tick(0))].encode(numbered([tick(2)]))])
    assert len(tick(2).bids) == 3
    assert [table[f"bid{level}_paise"][0].as_py() for level in (3, 4, 5)] == [9_985, None, None]
    assert table["venue_at_ns"][0].as_py() is None


def test_a_sixth_level_is_a_fault_of_ours() -> None:
    """It would be lost without a word."""
    deep = tick(0)
    deeper = type(deep)(
        at_ns=T0, instrument=deep.instrument, last_paise=1, bids=((1, 1),) * (DEPTH + 1)
    )
    with pytest.raises(AssertionError, match="five levels"):
        KINDS[type(deep)].encode([(1, deeper)])


def whole() -> pa.Table:
    """Thirty ticks."""
    rows = numbered([tick(number) for number in range(30)])
    return pa.Table.from_batches([KINDS[type(tick(0))].encode(rows)], TICKS)


@pytest.mark.parametrize(
    "rewritten",
    [
        lambda table: pa.concat_tables([table.slice(0, 7), table.slice(7)]),
        lambda table: table.replace_schema_metadata({b"a": b"b"}),
        lambda table: pa.concat_tables([table, table]).slice(30),
    ],
    ids=["in two pieces", "with metadata", "as a slice"],
)
def test_the_same_rows_have_the_same_hash_however_they_are_kept(
    rewritten: Callable[[pa.Table], pa.Table],
) -> None:
    """The hash outlives sealing, slicing and another library's version."""
    assert content_sha256(rewritten(whole())) == content_sha256(whole())


@pytest.mark.parametrize("name", TICKS.names)
def test_another_value_in_any_column_gives_another_hash(name: str) -> None:
    """One cell of thirty rows, in each column in turn."""
    table, at = whole(), TICKS.names.index(name)
    values = table[name].to_pylist()
    values[17] = "NSE_FNO:1" if name == "instrument" else (values[17] or 0) + 1
    changed = table.set_column(at, TICKS.field(at), pa.array(values, TICKS.field(at).type))
    assert content_sha256(changed) != content_sha256(table)


def test_a_null_and_a_zero_have_different_hashes() -> None:
    """Absent and zero are different facts."""
    zero = pa.table({"x": pa.array([0], pa.int64())})
    null = pa.table({"x": pa.array([None], pa.int64())})
    assert content_sha256(zero) != content_sha256(null)


def test_the_first_batch_of_a_day_loads_no_library() -> None:
    """Whoever sends an exit meanwhile would wait for it: opening the tape has loaded them all."""
    code = (
        "import sys; from pathlib import Path; from tempfile import mkdtemp;"
        "from holdfast.store.segment import TapeHeader; from holdfast.store.tape import TapeWriter;"
        "from tests.unit.store.samples import DAY, tick;"
        "tape = TapeWriter(Path(mkdtemp()), TapeHeader(day=DAY, source='x'));"
        "before = set(sys.modules);"
        "tape.write([(1, tick(1)), (2, tick(2))]);"
        "print(sorted(set(sys.modules) - before))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
