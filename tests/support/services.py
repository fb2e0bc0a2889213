"""Services that behave as they are told, for tests of what watches over them."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Final

from typing_extensions import override

from holdfast.domain.event import ServiceChanged
from holdfast.runtime.health import HEALTHY, Health
from holdfast.runtime.service import Group, Ready, Service
from holdfast.runtime.supervisor import Supervisor
from holdfast.runtime.threads import Threads
from holdfast.runtime.tree import Policy
from tests.support.virtual import NoWallClock, virtually

FOR_EVER: Final = 1e9


class Broke(Exception):
    """What a service raises when it is told to."""


class Toy(Service):
    """A service that beats each second and does as `acts` says, one act for each life.

    ready: the ordinary life · raises: before it is ready · never: gets ready · slow: after 3 s ·
    returns: at once · crashes: 1 s after it was ready · mute: no heartbeat ·
    hangs: swallows its cancellation until it is let go · bad end: raises when cancelled · long end: 1 s.
    The last act is that of every later life.
    """

    def __init__(
        self,
        name: str,
        *,
        group: Group = Group.STATE,
        needs: Sequence[str] = (),
        acts: Sequence[str] = ("ready",),
        diary: list[str] | None = None,
    ) -> None:
        """`diary` is written by all services of a test: who ran, was drained, ended, and so on."""
        self.name, self.group, self.needs = name, group, tuple(needs)
        self.critical = group.is_core
        self.acts = tuple(acts)
        self.lives = 0
        self.diary: list[str] = [] if diary is None else diary
        self.healthy: Health | Exception = HEALTHY
        self.said: Ready | None = None
        self.is_let_go = False
        self.draining: Callable[[], Awaitable[None]] | None = None

    @override
    async def run(self, ready: Ready) -> None:
        act = self.acts[min(self.lives, len(self.acts) - 1)]
        self.lives += 1
        self.said = ready
        self._note("run")
        try:
            await self._act(act, ready)
        except asyncio.CancelledError:
            self._note("cancelled")
            await self._end(act)
            raise

    async def _act(self, act: str, ready: Ready) -> None:
        match act:
            case "raises":
                raise Broke(f"{self.name} cannot start")
            case "never":
                await asyncio.sleep(FOR_EVER)
            case "slow":
                await asyncio.sleep(3)
            case "returns":
                return
            case _:
                pass
        ready()
        match act:
            case "crashes":
                await asyncio.sleep(1)
                raise Broke(f"{self.name} broke")
            case "mute":
                await asyncio.sleep(FOR_EVER)
            case _:
                await self.periodic(f"{self.name}Loop", self._turn, every_s=1.0)

    async def _turn(self) -> None:
        """Nothing to do but to be alive."""

    async def _end(self, act: str) -> None:
        match act:
            case "hangs":
                while not self.is_let_go:
                    try:
                        await asyncio.sleep(FOR_EVER)
                    except asyncio.CancelledError:
                        self._note("cancelled")
            case "bad end":
                raise Broke(f"{self.name} raised in its end")
            case "long end":
                await asyncio.sleep(1)
            case _:
                pass

    @override
    async def drain(self) -> None:
        self._note("drain")
        if self.draining is not None:
            await self.draining()

    @override
    async def cleanup(self) -> None:
        self._note("cleanup")

    @override
    def health(self) -> Health:
        if isinstance(self.healthy, Exception):
            raise self.healthy
        return self.healthy

    def _note(self, what: str) -> None:
        self.diary.append(f"{what} {self.name}")


class Watched:
    """Services under a supervisor in virtual time, and what it recorded."""

    def __init__(self, supervisor: Supervisor, services: Sequence[Toy], threads: Threads) -> None:
        """Made by `supervised`."""
        self.supervisor = supervisor
        self.toys = {service.name: service for service in services}
        self.threads = threads
        self.diary = services[0].diary
        self.records: list[ServiceChanged] = []

    def state(self, name: str) -> str:
        """Where a service is."""
        return next(one.state.value for one in self.supervisor.status() if one.name == name)


def supervised(
    services: Sequence[Toy],
    story: Callable[[Watched], Awaitable[None]],
    *,
    policy: Policy | None = None,
) -> Watched:
    """Play a story over a supervisor that has not started; what is left then is stopped."""
    diary: list[str] = []
    for service in services:
        service.diary = diary

    async def play() -> Watched:
        threads = Threads()
        async with asyncio.TaskGroup() as group:
            records: list[ServiceChanged] = []
            supervisor = Supervisor(
                services,
                group=group,
                threads=threads,
                clock=NoWallClock(),
                record=records.append,
                policy=policy,
            )
            watched = Watched(supervisor, services, threads)
            watched.records = records
            await story(watched)
            await supervisor.stop(*Group, within_s=5.0)
            await supervisor.close()
        return watched

    return virtually(play())
