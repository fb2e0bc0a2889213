"""The account's book: whose it is, and whether what is written still is what is traded on."""

from collections.abc import Awaitable, Callable, Sequence
from typing import Final

import structlog
from typing_extensions import override

from holdfast.domain.errors import BrokerUnavailable, DataRefused
from holdfast.domain.event import AnyEvent, ProjectionDiffers
from holdfast.ports import Account, Clock, Token
from holdfast.runtime.health import HEALTHY, Health, unhealthy
from holdfast.runtime.service import Group, Ready, Service

_log = structlog.get_logger("book")

RECONCILE_S: Final = 30.0

Compare = Callable[[], Awaitable[Sequence[str]]]
"""Every difference between the projections and the engine at one sequence number, in words."""


class Login(Service):
    """The day's session at the broker: ready while its token outlives the close."""

    name = "login"
    needs: tuple[str, ...] = ("store",)
    group = Group.STATE
    start_failed_code = BrokerUnavailable.exit_code

    def __init__(self, account: Account, clock: Clock, *, close_ns: int) -> None:
        """`close_ns`: when the day's session closes, UTC ns; 0 where somebody else keeps the token."""
        self._account = account
        self._clock = clock
        self._close_ns = close_ns
        self.token: Token | None = None

    @override
    async def run(self, ready: Ready) -> None:
        self.token = await self._account.login()
        ready()
        await self.stay()

    @override
    def health(self) -> Health:
        if self.token is None:
            return unhealthy("not logged in")
        if not self._close_ns:
            return HEALTHY  # what dies and is made anew is told to the engine
        if self.token.valid_until_ns <= max(self._close_ns, self._clock.now_ns()):
            return unhealthy("the token ends before the session does")
        return HEALTHY


class InstrumentMaster(Service):
    """Today's contracts, read once a start."""

    name = "instruments"
    needs: tuple[str, ...] = ("login",)
    group = Group.STATE
    start_failed_code = BrokerUnavailable.exit_code

    def __init__(self, account: Account, *, underlyings: Sequence[str]) -> None:
        """Every one of `underlyings` must be among the contracts."""
        self._account = account
        self._underlyings = tuple(underlyings)
        self._missing: tuple[str, ...] | None = None

    @override
    async def run(self, ready: Ready) -> None:
        rows = await self._account.instruments()
        known = {row.underlying for row in rows}
        self._missing = tuple(name for name in self._underlyings if name not in known)
        ready()
        await self.stay()

    @override
    def health(self) -> Health:
        if self._missing is None:
            return unhealthy("not loaded")
        if self._missing:
            return unhealthy(f"today's master lacks {', '.join(self._missing)}")
        return HEALTHY


class Book(Service):
    """Ready when the broker has said whose account it is; compares books ever after."""

    name = "book"
    needs: tuple[str, ...] = ("login",)
    group = Group.STATE
    start_failed_code = BrokerUnavailable.exit_code

    def __init__(
        self,
        account: Account,
        client_id: str,
        *,
        compare: Compare,
        tell: Callable[[AnyEvent], None],
        clock: Clock,
        every_s: float = RECONCILE_S,
    ) -> None:
        """`compare` runs each `every_s` seconds; `tell` hears of what differs."""
        self._account = account
        self._client_id = client_id
        self._compare = compare
        self._tell = tell
        self._clock = clock
        self._every_s = every_s
        self._is_known = False
        self.compared = 0

    @override
    async def run(self, ready: Ready) -> None:
        profile = await self._account.profile()
        if profile.client_id != self._client_id:
            raise DataRefused(
                f"account {self._client_id}",
                f"the broker's session is that of {profile.client_id}",
                "log in to the account that the configuration names, or name the other one",
            )
        self._is_known = True
        ready()
        name = "StateReconciliation"
        self.task(self.periodic(name, self.reconcile, every_s=self._every_s), name=name)

    async def reconcile(self) -> None:
        """Compare once, and tell every difference."""
        differences = await self._compare()
        self.compared += 1
        if differences:
            _log.error("projections differ", component="StateReconciliation", what=differences)
            self._tell(
                ProjectionDiffers(at_ns=self._clock.now_ns(), differences=tuple(differences))
            )

    @override
    def health(self) -> Health:
        return HEALTHY if self._is_known else unhealthy("the profile was not answered")
