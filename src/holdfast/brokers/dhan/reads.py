"""Questions to the broker that change nothing: what it said, or that it said nothing usable."""

from collections.abc import Callable, Mapping
from typing import TypeVar

import msgspec

from holdfast.brokers.dhan.errors import refusal_of, text_of
from holdfast.brokers.dhan.fields import Unreadable
from holdfast.brokers.dhan.rest import Answer, Failed, Rest
from holdfast.domain.order import Refusal

Value = TypeVar("Value")


class NoAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """A read told nothing: it failed, was refused, or cannot be read. Failed is not empty.

    `refusal` is the class of the broker's no; `None` when there was none.
    """

    reason: str
    refusal: Refusal | None = None

    @property
    def is_token_dead(self) -> bool:
        """Whether the broker says that the session is over."""
        return self.refusal is Refusal.TOKEN


async def ask(
    rest: Rest,
    method: str,
    path: str,
    *,
    parse: Callable[[Answer], Value],
    body: Mapping[str, object] | None = None,
) -> Value | NoAnswer:
    """Ask once. `parse` makes the value of a good answer and raises `Unreadable` for any other."""
    reply = await rest.call(method, path, body=body)
    if isinstance(reply, Failed):
        return NoAnswer(reason=reply.reason)
    complaint = text_of(reply.payload)
    if complaint or not reply.is_ok:
        said = complaint or f"HTTP {reply.status}"
        return NoAnswer(reason=said, refusal=refusal_of(said))
    try:
        return parse(reply)
    except Unreadable as error:
        return NoAnswer(reason=f"unreadable: {error}")
