"""What is remembered of logins across restarts: what was asked, what was refused, which tokens died.

The broker makes one token in two minutes and 25 consents a day, and locks an account out after too
many wrong passwords. A program that restarts must not forget what it asked for just before.
"""

from pathlib import Path
from typing import Final

import msgspec
import structlog

from holdfast.brokers.dhan.token import SECOND_NS, PrivateFile, StoredToken
from holdfast.domain.errors import DataRefused
from holdfast.facts.ist import ist_date

_log = structlog.get_logger("login")

RECORD_FILE: Final = "logins.json"
"""Its name in the account's folder."""

MINT_EVERY_NS: Final = 120 * SECOND_NS
CONSENTS_A_DAY: Final = 25
REFUSALS_MAX: Final = 3
"""So many refused passwords in a row, and only a person asks again."""

DEATHS_WITHIN_NS: Final = 600 * SECOND_NS
DEATHS_MAX: Final = 2
"""So many tokens dead within that time, not by us: somebody else makes them (T20)."""

_MARKS_MAX: Final = 50


class Death(msgspec.Struct, frozen=True, kw_only=True):
    """The broker said at `at_ns` that the token of this mark is dead, and we had not replaced it."""

    mark: str
    at_ns: int


class Logins(msgspec.Struct, frozen=True, kw_only=True):
    """The record. `replaced` are marks of tokens that ended because we had another one made.

    `asked_ns` is when a token was last asked for, `consents_ns` when consents were.
    `refusals` counts refused passwords since the last token. `stopped_ns` is when we stopped making
    tokens because somebody else makes them.
    """

    asked_ns: int | None = None
    consents_ns: tuple[int, ...] = ()
    refusals: int = 0
    replaced: tuple[str, ...] = ()
    deaths: tuple[Death, ...] = ()
    stopped_ns: int | None = None


class Held(msgspec.Struct, frozen=True, kw_only=True):
    """Nothing may be asked now. `until_ns` is when it may; `None`: a person must act."""

    reason: str
    until_ns: int | None = None


class LoginRecord:
    """Reads and writes the record; a change is on disk before what it is about begins, if it can be."""

    def __init__(self, folder: Path) -> None:
        """`folder` is the account's."""
        self._file = PrivateFile(folder / RECORD_FILE)
        self._unwritten: Logins | None = None

    def read(self) -> Logins:
        """What is remembered. Raises DataRefused when it is damaged or readable by others."""
        if self._unwritten is not None:
            return self._unwritten
        content = self._file.read()
        if content is None:
            return Logins()
        try:
            return msgspec.json.decode(content, type=Logins)
        except (msgspec.MsgspecError, ValueError) as error:
            raise DataRefused(
                str(self._file.path),
                f"is damaged: {error}",
                "wait two minutes and remove it: it only remembers what was asked of the broker",
            ) from error

    def mint_held(self, at_ns: int) -> Held | None:
        """Why no token may be asked for by password at `at_ns`; `None`: one may."""
        logins = self.read()
        if logins.stopped_ns is not None and ist_date(logins.stopped_ns) == ist_date(at_ns):
            return Held(
                reason="tokens died that we had not replaced: somebody else logs in to this account. "
                "Stop that, then: holdfast login"
            )
        if logins.refusals >= REFUSALS_MAX:
            return Held(
                reason=f"the broker refused the PIN or one-time password {logins.refusals} times"
            )
        return _too_soon(logins, at_ns)

    def begin_mint(self, at_ns: int) -> None:
        """A token is about to be asked for."""
        self._write(msgspec.structs.replace(self.read(), asked_ns=at_ns))

    def begin_consent(self, at_ns: int) -> Held | None:
        """A consent is about to be asked for, and is counted; or why it may not be."""
        logins = self.read()
        today = [one for one in logins.consents_ns if ist_date(one) == ist_date(at_ns)]
        if len(today) >= CONSENTS_A_DAY:
            return Held(reason=f"{CONSENTS_A_DAY} consents were asked for today: that is all")
        self._write(msgspec.structs.replace(logins, consents_ns=(*today, at_ns)))
        return None

    def refused(self) -> None:
        """The broker refused the password."""
        logins = self.read()
        self._write(msgspec.structs.replace(logins, refusals=logins.refusals + 1))

    def minted(self, before: StoredToken | None) -> None:
        """A token was made for us: the one `before` died of it.

        Where we had stopped, a person had it made.
        """
        logins = self.read()
        replaced = logins.replaced if before is None else (*logins.replaced, before.mark)
        self._write(
            msgspec.structs.replace(
                logins, refusals=0, replaced=tuple(replaced)[-_MARKS_MAX:], stopped_ns=None
            )
        )

    def stop(self, at_ns: int) -> None:
        """Make no token any more on this day: each would kill somebody else's (T20)."""
        self._write(msgspec.structs.replace(self.read(), stopped_ns=at_ns))

    def forgive(self, token: StoredToken | None = None) -> None:
        """A person has looked at the passwords, and at who else makes tokens.

        What was dead stays so, but for the `token` that the person gave.
        """
        logins = self.read()
        given = token.mark if token is not None else ""
        marks = (*logins.replaced, *(one.mark for one in logins.deaths))
        dead = tuple(mark for mark in marks if mark != given)
        self._write(
            Logins(
                asked_ns=logins.asked_ns,
                consents_ns=logins.consents_ns,
                replaced=dead[-_MARKS_MAX:],
            )
        )

    def died(self, token: StoredToken, at_ns: int) -> int:
        """The broker calls `token` dead. Returns how many died of late that we did not replace.

        One that reached its end, or that we had replaced, died as it should and is not counted.
        """
        logins = self.read()
        recent = tuple(one for one in logins.deaths if at_ns - one.at_ns < DEATHS_WITHIN_NS)
        is_expected = token.valid_until_ns <= at_ns or token.mark in logins.replaced
        if not is_expected and token.mark not in {one.mark for one in recent}:
            recent = (*recent, Death(mark=token.mark, at_ns=at_ns))
        self._write(msgspec.structs.replace(logins, deaths=recent))
        return len(recent)

    def lives(self, token: StoredToken, at_ns: int) -> None:
        """The broker takes again what it had called dead: nobody had replaced that one.

        Its death does not count any more, nor does the stop that came of it.
        """
        logins = self.read()
        deaths = tuple(one for one in logins.deaths if one.mark != token.mark)
        recent = [one for one in deaths if at_ns - one.at_ns < DEATHS_WITHIN_NS]
        stopped_ns = logins.stopped_ns if len(recent) >= DEATHS_MAX else None
        if deaths != logins.deaths:
            self._write(msgspec.structs.replace(logins, deaths=deaths, stopped_ns=stopped_ns))

    def is_doubted(self, token: StoredToken) -> bool:
        """Whether the broker called it dead, and nobody that we know of has replaced it."""
        logins = self.read()
        return token.mark not in logins.replaced and token.mark in {m.mark for m in logins.deaths}

    def is_dead(self, token: StoredToken) -> bool:
        """Whether the broker called it dead, or we had it replaced, as far as is remembered."""
        logins = self.read()
        return token.mark in logins.replaced or token.mark in {one.mark for one in logins.deaths}

    def _write(self, logins: Logins) -> None:
        """What no disk takes is remembered here: a full one must not cost the session."""
        try:
            self._file.write(msgspec.json.encode(logins))
            self._unwritten = None
        except DataRefused as error:
            _log.error("logins were not written down", component="Login", why=error.what)
            self._unwritten = logins


def _too_soon(logins: Logins, at_ns: int) -> Held | None:
    """A stamp from far in the future is a clock that was set back: it says nothing then."""
    if logins.asked_ns is None or abs(at_ns - logins.asked_ns) >= MINT_EVERY_NS:
        return None
    until_ns = logins.asked_ns + MINT_EVERY_NS
    left_s = -(-(until_ns - at_ns) // SECOND_NS)
    return Held(
        reason=f"a token was asked for less than two minutes ago: again in {left_s} s",
        until_ns=until_ns,
    )
