"""What must be said before real money moves, and the locks that keep two programs off one account."""

import os
import pwd
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Final

from holdfast.app.config import Config
from holdfast.app.paths import Paths
from holdfast.domain.errors import DataRefused
from holdfast.runtime.clock import WallClock
from holdfast.runtime.lock import InstanceLock

OPTION: Final = "--i-understand-this-is-real-money"


def require_yes(config: Config, owner: str | None, *, anew: bool, asked: Sequence[str]) -> None:
    """Both yeses for live, none elsewhere; and nothing that only a generated day has.

    Before the broker is spoken to at all. Raises DataRefused.
    """
    if asked:
        option = asked[0].replace("sim.", "--")
        raise DataRefused(option, f"has no effect in {config.mode}", "the day is today")
    if not config.mode.is_live:
        require_no_yes(owner)
        return
    client_id = config.account.client_id
    if owner is None:
        raise DataRefused(
            "mode live", "trades real money", f"say so, with the account: {OPTION} {client_id}"
        )
    if owner != client_id:
        raise DataRefused(
            f"{OPTION} {owner}",
            f"the configuration names the account {client_id}",
            "name the account that is meant in both places",
        )
    if anew:
        raise DataRefused(
            "--anew",
            "a day of real money is not begun anew: its orders are at the broker",
            "go on with it; a journal that cannot be used is set aside by: holdfast panic",
        )


def require_no_yes(owner: str | None) -> None:
    """Whoever says yes to real money believes that it is at stake. Raises DataRefused."""
    if owner is not None:
        raise DataRefused(
            OPTION, "the mode is not live: no real money moves", 'set mode = "live", or leave it'
        )


@contextmanager
def account_locks(paths: Paths, config: Config, *, purpose: str) -> Iterator[None]:
    """Hold the account while the block runs, here and for the whole host.

    Raises InstanceRunning naming the holder.
    """
    at_ns = WallClock().now_ns()
    lock = InstanceLock.acquire(
        paths.locks_dir, config.account.client_id, at_ns=at_ns, purpose=purpose
    )
    with lock, host_lock(config, purpose=purpose):
        yield


@contextmanager
def host_lock(config: Config, *, purpose: str) -> Iterator[None]:
    """Hold the account at the broker itself: one for all modes and databases, as the token is (T20).

    A simulated broker's accounts are none of the host's. Neither an option nor the environment may
    lead two programs past each other. Raises InstanceRunning naming the holder.
    """
    with ExitStack() as held:
        if config.mode.is_real_time and not config.dhan.is_here:
            lock = InstanceLock.acquire(
                host_locks_dir(),
                config.account.client_id,
                at_ns=WallClock().now_ns(),
                purpose=purpose,
            )
            held.enter_context(lock)
        yield


def host_locks_dir() -> Path:
    """Where this user's accounts at the broker are locked, whatever --home says."""
    return Path(pwd.getpwuid(os.getuid()).pw_dir) / ".local" / "state" / "holdfast" / "locks"
