"""The token in memory and on disk: used by us alone, shown to nobody."""

import logging
import os
import stat
import sys
from pathlib import Path

import pytest

from holdfast.brokers.dhan.token import (
    LIFE_MAX_NS,
    LIFE_NS,
    Claims,
    Consumer,
    PrivateFile,
    StoredToken,
    TokenFile,
    TokenHolder,
    claims_of,
    token_of,
)
from holdfast.domain.errors import DataRefused
from tests.support.dhan_account import HOUR_NS, NOW_NS, jwt
from tests.support.dhan_wire import CLIENT_ID

SECRET = jwt(until_ns=NOW_NS + 24 * HOUR_NS)


def token(secret: str = SECRET) -> StoredToken:
    """One that was made now."""
    return token_of(CLIENT_ID, secret, minted_ns=NOW_NS)


def test_a_token_tells_its_end_and_kind() -> None:
    """Read from its own claims, without verification."""
    made = token(jwt(until_ns=NOW_NS + 5 * HOUR_NS, kind="SELF"))
    assert made.valid_until_ns == NOW_NS + 5 * HOUR_NS
    assert made.minted_ns == NOW_NS - 19 * HOUR_NS
    assert made.consumer is Consumer.SELF


@pytest.mark.proves("I-94")
@pytest.mark.parametrize(
    "text",
    [
        "",
        "opaque",
        "a.b.c",
        "eyJ.FAKE.TOKEN",
        "..",
        "a.e30.c",
        "a.WzFd.c",
        "a.eyJleHAiOiJ4In0.c",
        "a.eyJleHAiOjFlNDAwfQ.c",
    ],
)
def test_a_token_without_a_readable_end_lives_a_day(text: str) -> None:
    """Nothing that a token may hold raises; what it does not say is taken from its making."""
    assert claims_of(text) == Claims()
    made = token_of(CLIENT_ID, text, minted_ns=NOW_NS)
    assert made.valid_until_ns == NOW_NS + LIFE_NS
    assert made.consumer is Consumer.UNKNOWN


def test_the_earlier_end_counts() -> None:
    """The broker's word beside the token and the token's own may differ."""
    made = token_of(CLIENT_ID, SECRET, minted_ns=NOW_NS, valid_until_ns=NOW_NS + HOUR_NS)
    assert made.valid_until_ns == NOW_NS + HOUR_NS


def test_an_impossible_end_is_none() -> None:
    """A claim far beyond every calendar does not make a token immortal."""
    text = jwt(until_ns=10**30)
    assert token_of(CLIENT_ID, text, minted_ns=NOW_NS).valid_until_ns == NOW_NS + LIFE_NS


@pytest.mark.parametrize("until_ns", [10**21, -(10**21)])
def test_an_end_beyond_every_calendar_is_bounded(tmp_path: Path, until_ns: int) -> None:
    """What the broker said beside it may be of the year 9999: it can be written down all the same."""
    made = token_of(CLIENT_ID, "opaque", minted_ns=NOW_NS, valid_until_ns=until_ns)
    assert 0 <= made.valid_until_ns <= NOW_NS + LIFE_MAX_NS
    file = TokenFile(tmp_path, CLIENT_ID)
    file.save(made)
    assert file.load() == made


def test_no_repr_shows_the_secret(capsys: pytest.CaptureFixture[str]) -> None:
    """Neither the token's nor the holder's, plain, pretty or logged."""
    holder = TokenHolder(CLIENT_ID)
    assert holder.secret == ""
    holder.put(token())
    assert holder.secret == SECRET
    logging.getLogger("t").error("%s %r", holder, holder.token)
    told = [holder, repr(holder.token), token().__rich_repr__(), f"{holder.token!s}"]
    sys.stdout.write(f"{told}")
    shown = "".join(capsys.readouterr())
    assert "hidden" in shown
    assert not any(part in shown for part in SECRET.split("."))


def test_what_was_saved_is_loaded_by_the_next_process(tmp_path: Path) -> None:
    """With its time of minting, its end and its kind, readable by us alone."""
    file = TokenFile(tmp_path / "account", CLIENT_ID)
    assert file.load() is None
    file.save(token("older"))
    file.save(token())
    assert TokenFile(tmp_path / "account", CLIENT_ID).load() == token()
    assert stat.S_IMODE(file.path.stat().st_mode) == 0o600
    assert [one.name for one in file.path.parent.iterdir()] == [file.path.name]


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o660, 0o610])
def test_a_file_that_others_may_read_is_refused(tmp_path: Path, mode: int) -> None:
    """The refusal says what to do, and not what stands in it."""
    file = TokenFile(tmp_path, CLIENT_ID)
    file.save(token())
    file.path.chmod(mode)
    with pytest.raises(DataRefused, match="chmod 600") as refused:
        file.load()
    assert SECRET not in str(refused.value)


@pytest.mark.parametrize(
    "content", [b"", b"{", b"[]", b'{"secret": "s3cr3t-text"}', b"s3cr3t-text"]
)
def test_a_damaged_file_is_refused_without_its_content(tmp_path: Path, content: bytes) -> None:
    """With what to do next."""
    file = TokenFile(tmp_path, CLIENT_ID)
    PrivateFile(file.path).write(content)
    with pytest.raises(DataRefused, match="holdfast login") as refused:
        file.load()
    assert "s3cr3t" not in str(refused.value)
    assert refused.value.__cause__ is None


def test_another_accounts_file_is_refused(tmp_path: Path) -> None:
    """Orders would go to that account."""
    TokenFile(tmp_path, CLIENT_ID).save(token())
    with pytest.raises(DataRefused, match=CLIENT_ID):
        TokenFile(tmp_path, "2000000002").load()


def test_a_write_that_fails_leaves_the_old_one(tmp_path: Path) -> None:
    """The file is replaced whole or not at all, and what a killed process left is no hindrance."""
    file = PrivateFile(tmp_path / "f")
    file.write(b"old")
    (tmp_path / f".f.{os.getpid()}").write_bytes(b"left behind")
    file.write(b"new")
    assert file.read() == b"new"
    (tmp_path / f".f.{os.getpid()}").mkdir()
    with pytest.raises(DataRefused, match="cannot be used"):
        file.write(b"newer")
    assert file.read() == b"new"


def test_a_folder_in_its_place_is_refused(tmp_path: Path) -> None:
    """As what cannot be used."""
    with pytest.raises(DataRefused, match="cannot be used"):
        PrivateFile(tmp_path).read()
