"""Getting a token, and getting another one when it died: few attempts, and never a war over it.

The broker keeps one token alive per client, so making one kills whoever uses the one before: our own
other process, or the owner on the broker's page. So one is made before the session or when the
broker says that ours is dead, and not while another is alive and a position may be open (T20).
"""

import base64
import datetime as dt
from pathlib import Path
from typing import Final

import msgspec
import pyotp
import structlog
from typing_extensions import override

from holdfast.brokers.dhan.authhost import AuthHost, Denied, Granted, Made, without
from holdfast.brokers.dhan.loginrecord import DEATHS_MAX, Held, LoginRecord
from holdfast.brokers.dhan.passwords import Passwords
from holdfast.brokers.dhan.token import (
    SECOND_NS,
    Consumer,
    StoredToken,
    TokenFile,
    TokenHolder,
    claims_of,
    token_of,
)
from holdfast.domain.errors import DataRefused
from holdfast.ports import Timing

_log = structlog.get_logger("login")


class NoToken(msgspec.Struct, frozen=True, kw_only=True):
    """There is none for now. `again_ns` is when to try; `None`: not before a person has acted."""

    reason: str
    again_ns: int | None = None


Got = StoredToken | NoToken

AGAIN_NS: Final = 10 * SECOND_NS
"""When nobody answered, or another process is to make the token."""


class Login:
    """The tokens of one account: what is there is used, what is dead is replaced within bounds."""

    def __init__(
        self,
        holder: TokenHolder,
        folder: Path,
        host: AuthHost,
        *,
        passwords: Passwords,
        timing: Timing,
    ) -> None:
        """`folder` is the account's. A process that may not mint lacks what that takes."""
        self.holder = holder
        self.host = host
        self._passwords = passwords
        self._timing = timing
        self.file = TokenFile(folder, holder.client_id)
        self.record = LoginRecord(folder)
        self.may_mint = True

    async def open(self, *, until_ns: int, may_replace: bool) -> Got:
        """A token for a start: the newest that is alive, kept in the holder.

        `until_ns` is how long it is needed. `may_replace`: the session has not begun and nothing is
        held, so that one which ends earlier may be replaced; otherwise it is used as it is.
        Raises DataRefused when a file of ours cannot be used.
        """
        best = self._best()
        if best is None:
            return await self._mint(None)
        if best.valid_until_ns >= until_ns or not (may_replace and self.may_mint):
            return self._use(best)
        renewed = await self._replace(best)
        return renewed if isinstance(renewed, StoredToken) else self._use(best)

    async def make(self) -> Got:
        """A new one by password, whatever is there: a person asked for it. Raises DataRefused."""
        return await self._mint(self.holder.token)

    async def revive(self, dead: StoredToken) -> Got:
        """Another token after the broker called `dead` dead. Raises DataRefused.

        One that somebody wrote down meanwhile goes before making one. The second death in ten
        minutes that we did not cause ends that: somebody else makes tokens, and ours would kill his.
        """
        deaths = self.record.died(dead, self._timing.now_ns())
        if (best := self._best()) is not None:
            return self._use(best)
        if deaths >= DEATHS_MAX:
            self.record.stop(self._timing.now_ns())
        return await self._mint(dead)

    def doubted(self) -> StoredToken | None:
        """The one that lies in the file, where the broker had called it dead and no other is alive.

        Its word may have been wrong, for seconds or for a client's whole day: ask before another is
        made. Raises DataRefused when a file of ours cannot be used.
        """
        written = self.file.load()
        if written is None or written.valid_until_ns <= self._timing.now_ns():
            return None
        return written if self.record.is_doubted(written) and self._best() is None else None

    def lives(self, token: StoredToken) -> None:
        """The broker takes it, whatever was said of it before."""
        self.record.lives(token, self._timing.now_ns())

    def newest(self) -> StoredToken | None:
        """A token in the file that is alive and not the one in use: a person's, or another process's."""
        best = self._best()
        held = self.holder.token
        return best if best is not None and (held is None or best.mark != held.mark) else None

    def adopt(self, secret: str) -> StoredToken:
        """Take a token that a person made, write it down and use it.

        Raises DataRefused when the text is none, another account's, or has ended.
        """
        token = self.check(secret)
        self.record.forgive(token)
        self.file.save(token)
        return self._use(token)

    def check(self, secret: str) -> StoredToken:
        """Read a token that a person made. Raises DataRefused as `adopt` does."""
        now_ns = self._timing.now_ns()
        token = _given(self.holder.client_id, secret.strip(), now_ns)
        if token.valid_until_ns <= now_ns:
            raise DataRefused("the token", "has ended", "make a new one on the broker's page")
        return token

    def take(self, made: Made, *, before: StoredToken | None = None) -> Got:
        """What a request for a token came to: kept, or why there is none.

        A new one ends the one that was alive: `before`, else the one in use, else the file's.
        """
        if isinstance(made, Granted):
            self.record.minted(before or self.holder.token or self.file.load())
            now_ns = self._timing.now_ns()
            return self._keep(
                token_of(
                    self.holder.client_id,
                    made.secret,
                    minted_ns=now_ns,
                    valid_until_ns=made.valid_until_ns,
                )
            )
        if isinstance(made, Denied):
            return NoToken(reason=f"the broker made no token: {made.message}")
        return NoToken(
            reason=f"nobody said whether a token was made: {made.reason}",
            again_ns=self._timing.now_ns() + AGAIN_NS,
        )

    async def _replace(self, old: StoredToken) -> Got:
        """A longer one, while the old one is alive: of its own kind where the broker offers that."""
        if old.consumer is not Consumer.SELF:
            return await self._mint(old)
        self._use(old)
        return self.take(await self.host.renew(old), before=old)

    async def _mint(self, before: StoredToken | None) -> Got:
        """One by PIN and one-time password, within the broker's bounds and our own."""
        if not self.may_mint:
            reason = "the process that minted the token has to mint the next one"
            return NoToken(reason=reason, again_ns=self._timing.now_ns() + AGAIN_NS)
        if not self._passwords.can_mint:
            return NoToken(reason=_ADVICE)
        now_ns = self._timing.now_ns()
        if (held := self.record.mint_held(now_ns)) is not None:
            return _held(held)
        totp = one_time(self._passwords.totp_secret, now_ns)
        self.record.begin_mint(now_ns)
        made = await self.host.mint(self.holder.client_id, pin=self._passwords.pin, totp=totp)
        return self._refusal(made) if isinstance(made, Denied) else self.take(made, before=before)

    def _refusal(self, denied: Denied) -> NoToken:
        """The broker may lock the account out after more of them: the bound is the record's."""
        if not _is_too_soon(denied.message):
            self.record.refused()
        held = self.record.mint_held(self._timing.now_ns())
        said = without(denied.message, (self._passwords.totp_secret,))
        return NoToken(
            reason=f"the broker made no token: {said}",
            again_ns=held.until_ns if held is not None else None,
        )

    def _best(self) -> StoredToken | None:
        """The youngest of the file's and the environment's that is alive as far as we know."""
        now_ns = self._timing.now_ns()
        known = [token for token in (self.file.load(), self._static()) if token is not None]
        alive = [
            token
            for token in known
            if token.valid_until_ns > now_ns and not self.record.is_dead(token)
        ]
        return max(alive, key=lambda token: token.minted_ns, default=None)

    def _static(self) -> StoredToken | None:
        secret = self._passwords.access_token
        if not secret:
            return None
        token = _given(self.holder.client_id, secret, self._timing.now_ns())
        if claims_of(secret).exp is not None:
            return token
        # Nobody knows when it was made: any that is written down counts as younger.
        return msgspec.structs.replace(token, minted_ns=0)

    def _use(self, token: StoredToken) -> StoredToken:
        self.holder.put(token)
        return token

    def _keep(self, token: StoredToken) -> StoredToken:
        """Use what was made and write it down. A full disk must not cost the session."""
        self._use(token)
        try:
            self.file.save(token)
        except DataRefused as error:
            _log.error("a token was not written down", component="Login", why=error.what)
        return token


_ADVICE: Final = (
    "no token is alive, and there is no PIN with a TOTP secret to make one with: "
    "set DHAN_PIN and DHAN_TOTP_SECRET, or log in with: holdfast login"
)


class _Otp(pyotp.TOTP):
    """One-time passwords of a secret of any length: 80 bits are common, and it is the broker's choice.

    The library refuses to work with less than 112.
    """

    @override
    def byte_secret(self) -> bytes:
        return base64.b32decode(self.secret + "=" * (-len(self.secret) % 8), casefold=True)


def one_time(totp_secret: str, at_ns: int) -> str:
    """The one-time password at `at_ns` (RFC 6238, 30 s). Raises DataRefused when it is no base32."""
    moment = dt.datetime.fromtimestamp(at_ns // SECOND_NS, dt.UTC)
    try:
        return _Otp(totp_secret.replace(" ", "").rstrip("=")).at(moment)
    except ValueError:  # binascii.Error is one
        raise DataRefused(
            "the TOTP secret", "is not base32", "copy it again from where TOTP was set up"
        ) from None


def _given(client_id: str, secret: str, now_ns: int) -> StoredToken:
    """A token that a person gave us. Raises DataRefused when it cannot be this account's."""
    if not secret or not secret.isascii() or not secret.isprintable() or " " in secret:
        raise DataRefused("the token", "is no token", "copy it whole, and nothing else")
    whose = claims_of(secret).dhan_client_id
    if whose is not None and str(whose) != client_id:
        raise DataRefused(
            "the token", f"is that of client {whose}, not {client_id}", "use this account's own"
        )
    return token_of(client_id, secret, minted_ns=now_ns)


def _is_too_soon(message: str) -> bool:
    """Whether the broker counts minutes, not passwords (dhan.md 1.3)."""
    return "minute" in message.lower()


def _held(held: Held) -> NoToken:
    return NoToken(reason=held.reason, again_ns=held.until_ns)
