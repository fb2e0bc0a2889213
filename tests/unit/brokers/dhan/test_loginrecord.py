"""What is remembered of logins, over restarts."""

from pathlib import Path

import pytest

from holdfast.brokers.dhan.loginrecord import (
    CONSENTS_A_DAY,
    DEATHS_WITHIN_NS,
    MINT_EVERY_NS,
    REFUSALS_MAX,
    LoginRecord,
)
from holdfast.brokers.dhan.token import StoredToken, token_of
from holdfast.domain.errors import DataRefused
from holdfast.facts.ist import DAY_NS
from tests.support.dhan_account import NOW_NS
from tests.support.dhan_wire import CLIENT_ID


def token(secret: str) -> StoredToken:
    """One that was made now."""
    return token_of(CLIENT_ID, secret, minted_ns=NOW_NS)


@pytest.mark.proves("I-95")
def test_one_token_in_two_minutes_whatever_restarts(tmp_path: Path) -> None:
    """What was asked for is on disk before it is asked."""
    LoginRecord(tmp_path).begin_mint(NOW_NS)
    again = LoginRecord(tmp_path)
    held = again.mint_held(NOW_NS + MINT_EVERY_NS - 1)
    assert held is not None
    assert held.until_ns == NOW_NS + MINT_EVERY_NS
    assert again.mint_held(NOW_NS + MINT_EVERY_NS) is None


def test_a_clock_that_was_set_back_holds_nothing_up(tmp_path: Path) -> None:
    """A stamp from the future would bar every login until then."""
    record = LoginRecord(tmp_path)
    record.begin_mint(NOW_NS + DAY_NS)
    assert record.mint_held(NOW_NS) is None
    record.begin_mint(NOW_NS + 1)
    assert record.mint_held(NOW_NS) is not None


@pytest.mark.proves("I-95")
def test_refused_passwords_end_the_asking(tmp_path: Path) -> None:
    """Until a person has looked, over restarts; a token in between begins the count anew."""
    for _ in range(REFUSALS_MAX - 1):
        LoginRecord(tmp_path).refused()
    LoginRecord(tmp_path).minted(None)
    for _ in range(REFUSALS_MAX):
        assert LoginRecord(tmp_path).mint_held(NOW_NS) is None
        LoginRecord(tmp_path).refused()
    held = LoginRecord(tmp_path).mint_held(NOW_NS + DAY_NS)
    assert held is not None
    assert held.until_ns is None
    LoginRecord(tmp_path).forgive()
    assert LoginRecord(tmp_path).mint_held(NOW_NS) is None


def test_consents_are_counted_by_indias_day(tmp_path: Path) -> None:
    """25, and none more before midnight there."""
    for _ in range(CONSENTS_A_DAY):
        assert LoginRecord(tmp_path).begin_consent(NOW_NS) is None
    assert LoginRecord(tmp_path).begin_consent(NOW_NS + 1) is not None
    assert LoginRecord(tmp_path).begin_consent(NOW_NS + DAY_NS) is None


def test_deaths_that_we_did_not_cause_are_counted(tmp_path: Path) -> None:
    """Once for each token, and only of late."""
    record = LoginRecord(tmp_path)
    assert record.died(token("a"), NOW_NS) == 1
    assert record.died(token("a"), NOW_NS + 5) == 1
    assert LoginRecord(tmp_path).died(token("b"), NOW_NS + DEATHS_WITHIN_NS - 1) == 2
    assert record.died(token("c"), NOW_NS + 2 * DEATHS_WITHIN_NS) == 1
    assert record.is_dead(token("c"))
    assert not record.is_dead(token("d"))


def test_deaths_that_were_to_come_are_not(tmp_path: Path) -> None:
    """One at its own end, and one that our making of another one killed."""
    record = LoginRecord(tmp_path)
    assert record.died(token("ended"), token("ended").valid_until_ns) == 0
    record.minted(token("replaced"))
    assert record.died(token("replaced"), NOW_NS) == 0
    assert record.is_dead(token("replaced"))


@pytest.mark.proves("T20")
def test_a_war_ends_the_making_for_the_day(tmp_path: Path) -> None:
    """Over restarts; the next day, or a person, begins anew. What died stays dead."""
    record = LoginRecord(tmp_path)
    record.died(token("a"), NOW_NS)
    record.stop(NOW_NS)
    held = LoginRecord(tmp_path).mint_held(NOW_NS + 2 * DEATHS_WITHIN_NS)
    assert held is not None
    assert held.until_ns is None
    assert record.mint_held(NOW_NS + DAY_NS) is None
    record.minted(token("a"))  # by consent: a person did
    assert record.mint_held(NOW_NS) is None
    record.stop(NOW_NS)
    record.forgive()
    assert record.mint_held(NOW_NS) is None
    assert record.is_dead(token("a"))
    record.forgive(token("a"))
    assert not record.is_dead(token("a"))


def test_a_damaged_record_is_refused(tmp_path: Path) -> None:
    """Nobody knows then what was asked: a person says that it is over."""
    LoginRecord(tmp_path).begin_mint(NOW_NS)
    next(tmp_path.iterdir()).write_bytes(b"{")
    with pytest.raises(DataRefused, match="two minutes"):
        LoginRecord(tmp_path).mint_held(NOW_NS)


@pytest.mark.proves("T20")
def test_a_death_that_was_none_does_not_count(tmp_path: Path) -> None:
    """Nor the stop that came of it; that of two others stays."""
    record = LoginRecord(tmp_path)
    record.died(token("a"), NOW_NS)
    assert record.died(token("b"), NOW_NS + 1) == 2
    record.stop(NOW_NS + 2)
    assert record.is_doubted(token("b"))
    record.lives(token("b"), NOW_NS + 3)
    assert not record.is_doubted(token("b"))
    assert not LoginRecord(tmp_path).is_dead(token("b"))
    assert record.mint_held(NOW_NS + 4) is None
    for number, secret in enumerate("bc"):
        record.died(token(secret), NOW_NS + 5 + number)
    record.stop(NOW_NS + 7)
    record.lives(token("c"), NOW_NS + 8)
    assert record.mint_held(NOW_NS + 9) is not None


def test_a_replaced_token_is_dead_and_not_doubted(tmp_path: Path) -> None:
    """We know who killed it."""
    record = LoginRecord(tmp_path)
    record.died(token("a"), NOW_NS)
    record.minted(token("a"))
    assert not record.is_doubted(token("a"))
    record.lives(token("d"), NOW_NS)
    assert record.is_dead(token("a"))
