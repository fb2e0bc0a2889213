"""Watches the session's token: a death is verified, told, and mended within the bounds of `login`.

Anything that spoke to the broker may suspect a death: a refusal of REST, a disconnect of the feed, a
reset of the update stream. Only the profile's answer makes it one.
"""

import asyncio
from collections.abc import Callable
from contextlib import suppress
from typing import Final

import structlog

from holdfast.brokers.dhan.login import Got, Login, NoToken
from holdfast.brokers.dhan.profile import read_profile
from holdfast.brokers.dhan.reads import NoAnswer
from holdfast.brokers.dhan.rest import Rest
from holdfast.brokers.dhan.token import SECOND_NS, StoredToken, TokenHolder
from holdfast.domain.errors import DataRefused
from holdfast.domain.event import AnyEvent, TokenChanged
from holdfast.ports import Timing

_log = structlog.get_logger("token")

LOOK_S: Final = 5.0
"""So often the file is looked at: a person, or another process, may have written a new token."""

VERIFY_S: Final = 2.0
"""Before asking again when the profile was not answered."""

AGAIN_S: Final = 5.0
AGAIN_MAX_S: Final = 60.0
"""After a death: so soon the profile is asked again whether it is one, and then twice as late."""


class Asking:
    """When to ask again whether a token is dead: soon at first, and then twice as late each time."""

    def __init__(self, at_ns: int) -> None:
        """It was called dead at `at_ns`."""
        self._pause_s = AGAIN_S
        self._next_ns = at_ns + int(AGAIN_S * SECOND_NS)

    def is_due(self, at_ns: int, mint_ns: int | None) -> bool:
        """Whether to ask now; yes, and it is taken as done."""
        is_last_word = mint_ns is not None and mint_ns <= at_ns
        if at_ns < self._next_ns and not is_last_word:
            return False
        self._pause_s = min(2 * self._pause_s, AGAIN_MAX_S)
        self._next_ns = at_ns + int(self._pause_s * SECOND_NS)
        return True


class TokenWatch:
    """Keeps a living token in the holder for as long as it runs."""

    def __init__(
        self,
        holder: TokenHolder,
        login: Login,
        rest: Rest,
        timing: Timing,
        *,
        tell: Callable[[AnyEvent], None],
        call_person: Callable[[str], None],
    ) -> None:
        """`tell` hears `TokenChanged`; `call_person` what only a person can mend."""
        self._holder = holder
        self._login = login
        self._rest = rest
        self._timing = timing
        self._tell = tell
        self._call_person = call_person
        self._suspected = asyncio.Event()
        self._called_for = ""

    def suspect(self) -> None:
        """Somebody was told that the token is dead. At once and without waiting."""
        self._suspected.set()

    def hear(self, event: AnyEvent) -> None:
        """Take a word of the adapter's other parts: one that calls the token dead is a suspicion."""
        if isinstance(event, TokenChanged) and not event.is_valid:
            self.suspect()

    async def run(self) -> None:
        """For ever: look every few seconds, at once when a death is suspected."""
        while True:
            await self._wait()
            self._adopt()
            token = self._holder.token
            if token is None or not await self._is_dead(token):
                continue
            await self._mend(token)

    async def _wait(self) -> None:
        try:
            async with asyncio.timeout(self._timing.wall_s(LOOK_S)):
                await self._suspected.wait()
        except TimeoutError:
            return

    def _adopt(self) -> None:
        """Use what was written down meanwhile."""
        try:
            found = self._login.newest()
        except DataRefused as error:
            self._call(str(error))
            return
        if found is not None and self._is_younger(found):
            self._begin(found, "written down by another process")

    def _is_younger(self, found: StoredToken) -> bool:
        held = self._holder.token
        return held is None or found.minted_ns > held.minted_ns

    async def _is_dead(self, token: StoredToken) -> bool:
        """By its own end, or by the profile's answer when somebody suspects it."""
        if token.valid_until_ns <= self._timing.now_ns():
            return True
        while self._suspected.is_set():
            found = await read_profile(self._rest)
            if not isinstance(found, NoAnswer):
                self._suspected.clear()
                return False
            if found.is_token_dead:
                self._suspected.clear()
                return True
            await self._pause(VERIFY_S)
        return False

    async def _mend(self, dead: StoredToken) -> None:
        """Until another token is there, made by us or written down by somebody else, or this one is
        taken again: a broker that refuses everybody for a while has killed nobody's.
        """
        self._say(is_valid=False, until_ns=0, reason="the broker calls the token dead")
        asking = Asking(self._timing.now_ns())
        while self._holder.token is dead:
            got = await self._revived(dead)
            if isinstance(got, StoredToken):
                self._begin(got, "after the one before had died")
                return
            if got.again_ns is None:
                self._call(got.reason)
            await self._until(got.again_ns)
            self._adopt()
            if self._holder.token is dead and await self._is_taken(dead, asking, got.again_ns):
                self._begin(dead, "the broker takes it again")
                return

    async def _is_taken(self, dead: StoredToken, asking: "Asking", mint_ns: int | None) -> bool:
        """Whether the profile answers again with what was called dead. Asked now and then, and before
        another token is made at `mint_ns`: that would kill this one for good (T20).
        """
        now_ns = self._timing.now_ns()
        if dead.valid_until_ns <= now_ns or not asking.is_due(now_ns, mint_ns):
            return False
        if isinstance(await read_profile(self._rest), NoAnswer):
            return False
        with suppress(DataRefused):  # told by whoever looks at the file next
            self._login.lives(dead)
        return True

    async def _revived(self, dead: StoredToken) -> Got:
        try:
            return await self._login.revive(dead)
        except DataRefused as error:
            return NoToken(reason=str(error))

    def _begin(self, token: StoredToken, why: str) -> None:
        self._holder.put(token)
        self._suspected.clear()
        self._called_for = ""
        _log.warning("the token", component="TokenWatch", mark=token.mark, why=why)
        self._say(is_valid=True, until_ns=token.valid_until_ns, reason=why)

    def _say(self, *, is_valid: bool, until_ns: int, reason: str) -> None:
        self._tell(
            TokenChanged(
                at_ns=self._timing.now_ns(),
                is_valid=is_valid,
                valid_until_ns=until_ns,
                reason=reason,
            )
        )

    def _call(self, reason: str) -> None:
        """Call the person, once for each reason."""
        if reason != self._called_for:
            self._called_for = reason
            _log.error("no token", component="TokenWatch", reason=reason)
            self._call_person(reason)

    async def _until(self, again_ns: int | None) -> None:
        """Wait for a turn; never longer than until the next look at the file."""
        left_s = LOOK_S
        if again_ns is not None:
            left_s = min(LOOK_S, max((again_ns - self._timing.now_ns()) / SECOND_NS, 0.1))
        await self._pause(left_s)

    async def _pause(self, seconds: float) -> None:
        await asyncio.sleep(self._timing.wall_s(seconds))
