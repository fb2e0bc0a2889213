"""Whether the broker takes orders from here: its own view of our address against the registration.

Reads, feeds and quotes work from any address, so everything looks well while every order is refused
(T27). An address is locked for a week once registered: nothing of this can be mended by a program.
"""

import asyncio
import ipaddress
import socket
from collections.abc import Callable, Mapping
from typing import Final

import msgspec

from holdfast.brokers.dhan.fields import Unreadable, objects, text
from holdfast.brokers.dhan.reads import NoAnswer, ask
from holdfast.brokers.dhan.rest import Answer, Rest, Source
from holdfast.domain.event import AccountChecked
from holdfast.ports import Timing

PATH: Final = "/ip/getIP"

EVERY_S: Final = 300.0
AGAIN_S: Final = 10.0
"""After a check that failed or refused: somebody may be mending it."""


class Registration(msgspec.Struct, frozen=True, kw_only=True):
    """Addresses as the broker has them, each empty where it says none (dhan.md 1.6).

    `orders_allowed` is the broker's own verdict, `None` where it gives none.
    """

    primary: str = ""
    secondary: str = ""
    detected: str = ""
    match_status: str = ""
    orders_allowed: bool | None = None

    @property
    def fault(self) -> str:
        """Why orders would be refused; empty when they are taken. Without a verdict they are not."""
        registered = [address for address in (self.primary, self.secondary) if address]
        if not registered:
            return "no static IP is registered at the broker"
        if self.detected and not any(_is_same(self.detected, one) for one in registered):
            return (
                f"the broker sees us at {self.detected}; registered is {' and '.join(registered)}"
            )
        if self.orders_allowed is False:
            seen = self.match_status or self.detected or "nothing more"
            return f"the broker takes no orders from here ({seen})"
        if self.orders_allowed is None and not self.detected:
            return "the broker does not say where it sees us, nor whether it takes orders"
        return ""

    @property
    def source(self) -> Source:
        """What order connections are bound to; either family where none is registered."""
        return Source(_family(self.primary))

    @property
    def spare(self) -> Source | None:
        """Another registered address that this machine has: exits are tried from it too (T27).

        Behind a router the machine has neither, and there is nothing to choose.
        """
        others = [one for one in (self.secondary, self.primary) if one]
        for address in others:
            if not _is_same(address, self.detected) and _is_here(address):
                return Source(_family(address), address)
        return None


async def read_registration(rest: Rest) -> Registration | NoAnswer:
    """What the broker knows of our addresses."""
    return await ask(rest, "GET", PATH, parse=registration_of)


def registration_of(answer: Answer) -> Registration:
    """Read its answer. Raises `Unreadable`, also for the error that comes as HTTP 200."""
    row = objects(answer.payload, "getIP")
    return Registration(
        primary=text(row, "primaryIP").strip(),
        secondary=text(row, "secondaryIP").strip(),
        detected=(text(row, "detectedIP") or text(row, "ip")).strip(),
        match_status=text(row, "ipMatchStatus"),
        orders_allowed=_verdict(row),
    )


def _verdict(row: Mapping[str, object]) -> bool | None:
    match row.get("ordersAllowed"):
        case None:
            return None
        case bool() as allowed:
            return allowed
        case "true" | "TRUE" | "True":
            return True
        case "false" | "FALSE" | "False":
            return False
        case other:
            raise Unreadable(f"ordersAllowed is neither yes nor no: {other!r:.20}")


def _family(address: str) -> socket.AddressFamily:
    """That of an address, `AF_UNSPEC` where it is none."""
    try:
        version = ipaddress.ip_address(address).version
    except ValueError:
        return socket.AF_UNSPEC
    return socket.AF_INET6 if version == 6 else socket.AF_INET


def _is_here(address: str) -> bool:
    """Whether connections can leave by an address: an interface of this machine has it."""
    family = _family(address)
    if family is socket.AF_UNSPEC:
        return False
    try:
        with socket.socket(family, socket.SOCK_STREAM) as probe:
            probe.bind((address, 0))
    except OSError:
        return False
    return True


def _is_same(one: str, other: str) -> bool:
    """Whether two texts are one address, however an IPv6 one is written."""
    try:
        return ipaddress.ip_address(one) == ipaddress.ip_address(other)
    except ValueError:
        return one == other


async def check_ip(rest: Rest, timing: Timing) -> AccountChecked:
    """Ask now. A check that fails allows nothing (T27)."""
    return checked(await read_registration(rest), timing.now_ns())


def checked(found: Registration | NoAnswer, at_ns: int) -> AccountChecked:
    """What an answer, or that there is none, means for orders."""
    if isinstance(found, NoAnswer):
        fault = f"the address could not be checked: {found.reason}"
    else:
        fault = found.fault
    return AccountChecked(at_ns=at_ns, orders_allowed=not fault, reason=fault)


async def watch_ip(
    rest: Rest,
    timing: Timing,
    tell: Callable[[AccountChecked], None],
    *,
    asked: asyncio.Event,
    every_s: float = EVERY_S,
) -> None:
    """Check for ever: now, each `every_s`, and at once when `asked` is set (each reconnect, T27).

    `tell` hears of each check. After one that allows nothing the next comes in `AGAIN_S`.
    """
    while True:
        asked.clear()
        found = await check_ip(rest, timing)
        tell(found)
        pause_s = every_s if found.orders_allowed else min(AGAIN_S, every_s)
        try:
            async with asyncio.timeout(timing.wall_s(pause_s)):
                await asked.wait()
        except TimeoutError:
            continue
