"""What the files say of a day: rates in force, a user's own calendar, and what is refused."""

import datetime as dt
import tomllib
from importlib import resources
from pathlib import Path

import msgspec
import pytest

from holdfast.domain.dated import DayFacts
from holdfast.domain.errors import DataRefused, UnknownDay
from holdfast.domain.instrument import Exchange, Kind
from holdfast.facts.ist import ist_text
from holdfast.facts.load import contract_terms, facts_sha256, load_day_facts

FILES = ("sessions.toml", "charges.toml", "prices.toml", "contracts.toml")


def test_a_day_has_everything() -> None:
    """A trading day: two sessions, rates of every tradable kind, price rules of both exchanges."""
    facts = load_day_facts(dt.date(2026, 8, 3))
    assert facts.day == "2026-08-03"
    assert [session.exchange for session in facts.sessions] == [Exchange.NSE, Exchange.BSE]
    tradable = {
        (exchange, kind) for exchange in Exchange for kind in Kind if kind is not Kind.INDEX
    }
    assert {(rates.exchange, rates.kind) for rates in facts.charges} == tradable
    assert {rules.exchange for rules in facts.prices} == set(Exchange)


@pytest.mark.parametrize(
    "day", [dt.date(2026, 4, 3), dt.date(2026, 4, 4), dt.date(2026, 4, 5)], ids=str
)
def test_a_day_off_has_no_session_but_its_rates(day: dt.date) -> None:
    """Good Friday and the weekend after it."""
    facts = load_day_facts(day)
    assert facts.sessions == ()
    assert facts.charge_rates(Exchange.NSE, Kind.OPTION).since == "2026-04-01"


@pytest.mark.parametrize(
    ("exchange", "kind", "day", "stt_e7", "transaction_e7"),
    [
        (Exchange.NSE, Kind.OPTION, dt.date(2024, 3, 31), 6_250, 5_000),
        (Exchange.NSE, Kind.OPTION, dt.date(2024, 4, 1), 6_250, 4_950),
        (Exchange.NSE, Kind.OPTION, dt.date(2024, 9, 30), 6_250, 4_950),
        (Exchange.NSE, Kind.OPTION, dt.date(2024, 10, 1), 10_000, 3_503),
        (Exchange.NSE, Kind.OPTION, dt.date(2026, 3, 31), 10_000, 3_503),
        (Exchange.NSE, Kind.OPTION, dt.date(2026, 4, 1), 15_000, 3_503),
        (Exchange.NSE, Kind.FUTURE, dt.date(2024, 9, 30), 1_250, 188),
        (Exchange.NSE, Kind.FUTURE, dt.date(2024, 10, 1), 2_000, 173),
        (Exchange.NSE, Kind.FUTURE, dt.date(2026, 4, 1), 5_000, 173),
        (Exchange.NSE, Kind.EQUITY, dt.date(2026, 4, 1), 2_500, 297),
        (Exchange.BSE, Kind.OPTION, dt.date(2024, 5, 12), 6_250, 3_750),
        (Exchange.BSE, Kind.OPTION, dt.date(2024, 5, 13), 6_250, 4_950),
        (Exchange.BSE, Kind.OPTION, dt.date(2026, 4, 1), 15_000, 3_250),
        (Exchange.BSE, Kind.FUTURE, dt.date(2026, 4, 1), 5_000, 0),
        (Exchange.BSE, Kind.EQUITY, dt.date(2026, 4, 1), 2_500, 375),
    ],
)
def test_rates_go_by_the_date_of_the_trade(
    exchange: Exchange, kind: Kind, day: dt.date, stt_e7: int, transaction_e7: int
) -> None:
    """Each change of STT and of an exchange's fee, on the last day before it and on its first."""
    rates = load_day_facts(day).charge_rates(exchange, kind)
    assert (rates.stt_sell_e7, rates.transaction_e7) == (stt_e7, transaction_e7)


def test_rates_are_plausible() -> None:
    """Nothing costs more than 1 % but GST, which is 18 %; only options are exercised."""
    for year in (2024, 2025, 2026):
        for rates in load_day_facts(dt.date(year, 12, 31)).charges:
            percent_e7 = 100_000
            named = {n: v for n, v in msgspec.structs.asdict(rates).items() if n.endswith("_e7")}
            assert named.pop("gst_e7") == 18 * percent_e7
            assert all(0 <= value < percent_e7 for value in named.values())
            assert (rates.stt_exercise_e7 > 0) == (rates.kind is Kind.OPTION)
            assert (rates.brokerage_e7 == 0) == (rates.kind is Kind.OPTION)
            assert rates.brokerage_paise_max == 20_00


@pytest.mark.parametrize(
    ("exchange", "reference", "band"),
    [
        (Exchange.NSE, 50_00, (30_00, 70_00)),  # at or below 50: 20 rupees
        (Exchange.NSE, 10_00, (1, 30_00)),  # never below the smallest price
        (Exchange.NSE, 100_00, (60_00, 140_00)),  # above: 40 %
        (Exchange.BSE, 100_00, (40_00, 160_00)),  # 60 %
        (Exchange.BSE, 40_00, (10_00, 70_00)),  # at least 30 rupees
    ],
)
def test_price_bands(exchange: Exchange, reference: int, band: tuple[int, int]) -> None:
    """Limit price protection of options, renewed each 30 seconds."""
    rules = load_day_facts(dt.date(2026, 4, 1)).price_rules(exchange)
    assert rules.band(reference) == band
    assert rules.band_reference_s == 30


@pytest.mark.parametrize("exchange", list(Exchange))
@pytest.mark.parametrize(("trigger", "distance"), [(50_00, 10_00), (50_05, 10_01), (100_00, 20_00)])
def test_distance_of_a_stops_limit(exchange: Exchange, trigger: int, distance: int) -> None:
    """20 % of the trigger, 10 rupees where the trigger is at or below 50."""
    rules = load_day_facts(dt.date(2026, 4, 1)).price_rules(exchange)
    assert rules.stop_distance(trigger) == distance


def test_a_rule_nobody_found_is_missing_and_not_free() -> None:
    """BSE's band is known from 5 April 2024 on; before, asking for it raises."""
    facts = load_day_facts(dt.date(2024, 4, 4))
    assert facts.price_rules(Exchange.NSE).band_bps == 4_000
    with pytest.raises(LookupError, match="no price rules at BSE on 2024-04-04"):
        facts.price_rules(Exchange.BSE)
    assert load_day_facts(dt.date(2024, 4, 5)).price_rules(Exchange.BSE).band_bps == 6_000


@pytest.mark.parametrize("file", FILES)
def test_every_row_names_its_source(file: str) -> None:
    """No fact without where it comes from."""
    text = resources.files("holdfast.facts").joinpath(file).read_text("utf-8")
    rows = [row for table in tomllib.loads(text).values() for row in table]
    assert len(rows) >= 2
    assert all(row["source"].strip() for row in rows)


def test_the_hash_is_that_of_the_facts() -> None:
    """Equal facts hash alike, also after a journey through JSON; any other day differs."""
    facts = load_day_facts(dt.date(2026, 4, 1))
    again = msgspec.json.decode(msgspec.json.encode(facts), type=DayFacts)
    assert facts_sha256(again) == facts_sha256(facts)
    assert len(facts_sha256(facts)) == 64
    assert facts_sha256(load_day_facts(dt.date(2026, 4, 2))) != facts_sha256(facts)


OWN = """
[[special]]
date = 2026-11-08
name = "Muhurat"
windows = [[18:00:00, 19:00:00]]
underlying_ends = 19:00:00
square_off = 18:50:00
source = "a circular that came later"

[[holidays]]
date = 2026-04-07
name = "a sudden holiday"
source = "announced the evening before"

[[covers]]
exchange = "NSE"
from = 2027-01-01
to = 2027-12-31
source = "next year's circular"

[[covers]]
exchange = "BSE"
from = 2027-01-01
to = 2027-12-31
source = "next year's circular"

[[holidays]]
date = 2027-01-26
name = "Republic Day"
source = "next year's circular"
"""


def test_a_users_own_calendar_is_laid_over_the_shipped_one(tmp_path: Path) -> None:
    """Hours come to Muhurat, a sudden holiday closes, a new year begins, the rest stays."""
    own = tmp_path / "calendar.toml"
    own.write_text(OWN)
    (nse, _) = load_day_facts(dt.date(2026, 11, 8), own).sessions
    assert (nse.name, ist_text(nse.open_ns)) == ("Muhurat", "18:00:00.000")
    assert load_day_facts(dt.date(2026, 4, 7), own).sessions == ()
    assert len(load_day_facts(dt.date(2026, 4, 7)).sessions) == 2
    assert load_day_facts(dt.date(2026, 4, 8), own) == load_day_facts(dt.date(2026, 4, 8))
    assert len(load_day_facts(dt.date(2027, 1, 4), own).sessions) == 2
    assert load_day_facts(dt.date(2027, 1, 26), own).sessions == ()
    with pytest.raises(UnknownDay, match="2024-01-01 to 2026-12-31 and 2027-01-01 to 2027-12-31"):
        load_day_facts(dt.date(2028, 1, 3), own)


def test_expiries_follow_the_users_own_calendar(tmp_path: Path) -> None:
    """The sudden holiday on a Tuesday moves its expiry; with the new year known, 2027 has some."""
    own = tmp_path / "calendar.toml"
    own.write_text(OWN)
    day = dt.date(2026, 4, 1)
    assert contract_terms("NIFTY", day).next_expiry(day) == dt.date(2026, 4, 7)
    assert contract_terms("NIFTY", day, own).next_expiry(day) == dt.date(2026, 4, 6)
    january = dt.date(2027, 1, 20)
    assert contract_terms("NIFTY", january, own).next_expiry(january) == dt.date(2027, 1, 25)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (
            b"[[holidays]]\ndate = 2026-04-07\nnam = 'x'\n",
            r"own\.toml:3: unknown key 'nam'.*\n.*'name'",
        ),
        (b"[[rates]]\nsince = 2026-04-01\n", r"own\.toml:1: unknown table \[\[rates\]\]"),
        (OWN.encode() * 2, r"own\.toml:\d+: \[\[covers\]\] says a second time"),
        (b"[[holidays]]\nname = '\xff'\n", r"own\.toml:2: is not UTF-8 text"),
        (b"#" * 1_000_001, r"own\.toml: holds 1000001 bytes"),
        (
            OWN.replace("19:00:00", "17:00:00").encode(),
            r"own\.toml:2: windows are empty, overlap or are not in order",
        ),
    ],
    ids=["unknown key", "rates", "twice", "no text", "too big", "times backwards"],
)
def test_an_unusable_calendar_of_the_users_is_refused(
    tmp_path: Path, content: bytes, message: str
) -> None:
    """With the line where there is one; the program then exits with code 3."""
    own = tmp_path / "own.toml"
    own.write_bytes(content)
    with pytest.raises(DataRefused, match=message) as refusal:
        load_day_facts(dt.date(2026, 4, 1), own)
    assert refusal.value.exit_code == 3


def test_a_calendar_that_is_not_there_is_refused(tmp_path: Path) -> None:
    """A configured file that is missing is not the same as none."""
    with pytest.raises(DataRefused, match="cannot be read: No such file"):
        load_day_facts(dt.date(2026, 4, 1), tmp_path / "none.toml")


@pytest.mark.parametrize(("name", "remedy"), [("NFTY", "'NIFTY'"), ("GOLD", "known are BANKEX, ")])
def test_an_underlying_without_facts_is_refused(name: str, remedy: str) -> None:
    """With the nearest name, or all of them."""
    with pytest.raises(DataRefused, match=f"no facts for the underlying '{name}'") as refusal:
        contract_terms(name, dt.date(2026, 4, 1))
    assert remedy in refusal.value.remedy
