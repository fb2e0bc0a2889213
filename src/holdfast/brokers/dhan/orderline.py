"""The way out for orders: two connections that are kept warm by reads (T26)."""

from collections.abc import Sequence
from typing import Final

from holdfast.brokers.dhan.rest import Answer, Reply, Rest

WARM_NS: Final = 5_000_000_000
"""A connection that answered within this need not be asked again."""

TRIES: Final = 2


class OrderLine:
    """A `Connection` over the REST client's connections for orders.

    What is asked of orders keeps them warm as well. One that is cold all the same carries no order:
    it is replaced first (`rest.WarmLines`).
    """

    def __init__(self, rest: Rest) -> None:
        """`rest` stays the caller's: closing the line does not close it."""
        self._rest = rest

    async def connect(self) -> None:
        """Open both. Raises ConnectionError when nobody answers over any of them."""
        await self._ask(older_ns=0)

    async def ping(self) -> None:
        """Ask over each that was silent for 5 s. Raises ConnectionError when there is no way out.

        One way is enough: an order takes the one that answered.
        """
        await self._ask(older_ns=WARM_NS)

    async def close(self) -> None:
        """Give both back. An order that comes later makes its own connection."""
        await self._rest.cool_down()

    async def _ask(self, *, older_ns: int) -> None:
        """One that gets no answer is made anew once: it may have been dead for long."""
        reason = ""
        for _ in range(TRIES):
            reason = _loss(await self._rest.keep_warm(older_ns=older_ns))
            if not reason:
                return
            older_ns = WARM_NS
        if not self._rest.is_warm:
            raise ConnectionError(f"the order path: {reason}")


def _loss(replies: Sequence[Reply]) -> str:
    """Why one of them was not answered, "" when all were."""
    return next((reply.reason for reply in replies if not isinstance(reply, Answer)), "")
