"""The book as a fault shows it: failing, empty, old, torn, or short of something."""

import asyncio
from typing import Any

import pytest

from tests.unit.simbroker.dhan.served import Served, in_server


async def nets(served: Served) -> list[int]:
    """What the positions say is held."""
    _, rows = await served.ask("GET", "/positions")
    return [row["netQty"] for row in rows]


async def counts(served: Served) -> tuple[int, int, int]:
    """How many positions, orders and trades are told."""
    told = [(await served.ask("GET", path))[1] for path in ("/positions", "/orders", "/trades")]
    positions, orders, trades = told
    return len(positions), len(orders), len(trades)


def test_an_empty_book_is_a_success_without_rows() -> None:
    """Only where its window says so."""

    async def test(served: Served) -> None:
        await served.placed()
        await served.faults({"kind": "book_empty", "endpoints": ["positions", "trades"]})
        assert await counts(served) == (0, 1, 0)
        await served.ask("DELETE", "/faults", host="control")
        assert await counts(served) == (1, 1, 1)

    in_server(test)


def test_an_old_book_is_that_of_a_while_ago() -> None:
    """All three services alike; the rows are those of then."""

    async def test(served: Served) -> None:
        await served.placed(price=100)
        served.wait(10)
        await served.placed()
        served.wait(1)
        await served.faults({"kind": "book_stale", "delay_s": 5, "for_s": 3})
        assert await counts(served) == (0, 1, 0)
        served.wait(3.1)
        assert await counts(served) == (1, 2, 1)

    in_server(test)


@pytest.mark.proves("T29")
def test_positions_may_be_one_fill_behind() -> None:
    """Orders and trades speak of now."""

    async def test(served: Served) -> None:
        await served.placed()
        await served.placed()
        await served.faults({"kind": "book_fill_behind"})
        assert await nets(served) == [65]
        assert await counts(served) == (1, 2, 2)

    in_server(test)


def test_a_torn_book_speaks_of_three_instants() -> None:
    """Positions of now, orders of a while ago, trades of twice that."""

    async def test(served: Served) -> None:
        await served.placed()
        served.wait(5)
        await served.placed()
        served.wait(2)
        await served.faults({"kind": "book_torn", "delay_s": 4})
        assert await nets(served) == [130]
        assert await counts(served) == (1, 1, 0)

    in_server(test)


def test_a_position_or_an_order_may_lack() -> None:
    """The key that is held is left out; an order is nowhere to be found by its id."""

    async def test(served: Served) -> None:
        order_id = await served.placed(correlationId="mine-1")
        await served.faults({"kind": "position_missing"}, {"kind": "order_not_found"})
        assert await nets(served) == []
        assert await served.ask("GET", f"/orders/{order_id}") == (200, [])
        assert (await served.ask("GET", "/orders/external/mine-1"))[0] == 404
        assert await counts(served) == (0, 1, 1)

    in_server(test)


def test_funds_may_read_zero() -> None:
    """The rest of the body is true."""

    async def test(served: Served) -> None:
        await served.faults({"kind": "funds_zero"})
        _, told = await served.ask("GET", "/fundlimit")
        assert (told["availabelBalance"], told["sodLimit"]) == (0.0, 200_000.0)

    in_server(test)


def test_reads_at_once_agree() -> None:
    """Without faults every service speaks of one book."""

    async def test(served: Served) -> None:
        await served.placed()
        seen: list[Any] = []

        async def read() -> None:
            seen.append(await counts(served))

        async with asyncio.TaskGroup() as tasks:
            for _ in range(3):
                tasks.create_task(read())
        assert seen == [(1, 1, 1)] * 3

    in_server(test)
