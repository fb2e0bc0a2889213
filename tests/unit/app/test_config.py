"""The configuration: what it takes, what it refuses with which words, and what it comes to."""

from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from holdfast.app.config import (
    Config,
    DhanSettings,
    Mode,
    SimSettings,
    config_sha256,
    effective,
    engine_settings,
    init_text,
    load_config,
    with_setting,
)
from holdfast.app.keys import KEYS, SECTIONS, Key
from holdfast.app.kinds import ClockTime, Whole, literal
from holdfast.core.settings import EngineSettings
from holdfast.domain.dated import Session
from holdfast.domain.errors import DataRefused
from holdfast.domain.instrument import Exchange

# Words of the refusals that concern two values, and may stand on the line of either.
CONTRADICTIONS = (
    "not after",
    "longer than",
    "more than the capital",
    "must be",
    "has no effect on INTRADAY",
)

IST_NS = 19_800 * 1_000_000_000
DAY_NS = 1_795_132_800 * 1_000_000_000  # 2026-11-20T00:00Z


def at(face: str) -> int:
    """A time of that day in India, as UTC nanoseconds."""
    hours, minutes = face.split(":")
    return DAY_NS - IST_NS + (int(hours) * 60 + int(minutes)) * 60_000_000_000


def session(*, closes: str = "15:40", squares_off: str = "15:20", name: str = "regular") -> Session:
    """2026-11-20, as it is or shorter."""
    return Session(
        day="2026-11-20",
        exchange=Exchange.NSE,
        windows=((at("09:15"), at(closes)),),
        square_off_ns=at(squares_off),
        underlying_ends_ns=at("15:15"),
        name=name,
    )


def loaded(tmp_path: Path, text: str) -> Config:
    """What a file of that text comes to."""
    file = tmp_path / "holdfast.toml"
    file.write_text(text, "utf-8")
    return load_config(file)


def refusal(tmp_path: Path, text: str) -> DataRefused:
    """What is said about it instead."""
    with pytest.raises(DataRefused) as caught:
        loaded(tmp_path, text)
    return caught.value


def leaves(value: object, path: str = "") -> Iterator[tuple[str, object]]:
    """Every value of a struct that is not itself a struct, by its path."""
    if not isinstance(value, msgspec.Struct):
        yield path, value
        return
    for name in value.__struct_fields__:
        yield from leaves(getattr(value, name), f"{path}.{name}" if path else name)


def test_the_initial_file_is_short_commented_and_comes_to_the_defaults(tmp_path: Path) -> None:
    """What `init` writes changes nothing: it shows what holds anyway."""
    text = init_text()
    assert loaded(tmp_path, text) == Config()
    lines = text.splitlines()
    assert len(lines) < 65
    assert max(map(len, lines)) <= 100
    settings = [line for line in lines if " = " in line and not line.startswith("#")]
    assert all(" # " in line for line in settings)
    assert len(settings) == sum(key.shown for key in KEYS)
    assert "[runtime]" not in text


def test_an_empty_file_and_one_with_everything_come_to_the_same(tmp_path: Path) -> None:
    """Each key has one default, whether it is written or not."""
    sections = "\n".join(
        "\n".join(
            [
                f"[{section}]" if section else "",
                *(
                    f"{key.name} = {literal(effective(Config())[key.path])}"
                    for key in KEYS
                    if key.section == section
                ),
            ]
        )
        for section in ("", *SECTIONS)
    )
    assert loaded(tmp_path, sections) == loaded(tmp_path, "") == Config()


@pytest.mark.proves("I-114")
def test_each_key_has_one_meaning_and_each_value_one_key() -> None:
    """Keys and fields are in one-to-one relation, and one key limits the spread."""
    fields = [f"{key.section}.{key.field}" if key.section else key.field for key in KEYS]
    assert Counter(fields) == Counter(path for path, _ in leaves(Config()))
    names = Counter(key.name for key in KEYS)
    assert [name for name, times in names.items() if times > 1] == ["speed"], "of two clocks"
    assert [key.path for key in KEYS if "spread" in key.path] == ["entries.spread_bps_max"]


def test_every_number_says_its_unit_and_has_both_bounds() -> None:
    """There is no 'unlimited', and no number whose unit is to be guessed."""
    ends = {
        "BPS": ("_bps", "_bps_max"),
        "RUPEES": ("_rupees", "_rupees_max"),
        "SECONDS": ("_s",),
        "MILLISECONDS": ("_ms",),
    }
    for key in KEYS:
        if isinstance(key.kind, Whole):
            assert key.kind.low <= key.kind.high, key.path
            assert key.name.endswith(ends.get(key.kind.unit.name, ("",))), key.path
        if isinstance(key.kind, ClockTime):
            assert key.name.endswith("_ist"), key.path


@pytest.mark.proves("I-111")
def test_no_part_of_a_configuration_can_be_changed(tmp_path: Path) -> None:
    """Two who share it can never surprise each other, at any depth."""
    config = loaded(tmp_path, init_text())
    before = config_sha256(config)

    def attack(value: object) -> None:
        assert isinstance(value, msgspec.Struct | tuple | str | int | float), value
        if isinstance(value, msgspec.Struct):
            for name in value.__struct_fields__:
                with pytest.raises(AttributeError):
                    setattr(value, name, None)
                attack(getattr(value, name))

    attack(config)
    attack(engine_settings(config, session()))
    assert config_sha256(config) == before


@pytest.mark.proves("B-13")
def test_all_money_is_whole_paise(tmp_path: Path) -> None:
    """Every amount of a loaded configuration, and every amount the engine is told."""
    config = loaded(tmp_path, "[limits]\nloss_per_day_rupees_max = 7_500\n")
    assert config.limits.loss_per_day_paise_max == 7_500_00
    amounts = [
        (path, value)
        for part in (config, engine_settings(config, session()))
        for path, value in leaves(part)
        if "paise" in path
    ]
    assert {type(value) for _, value in amounts} == {int}
    rupees = [key for key in KEYS if key.name.endswith(("_rupees", "_rupees_max"))]
    for key in rupees:
        text = f"[{key.section}]\n{key.name} = 10000.0\n"
        assert "not a whole number of rupees" in refusal(tmp_path, text).what


HERE = """\
[dhan]
rest_url = "http://127.0.0.1:1/v2"
auth_url = "http://localhost:2"
feed_url = "ws://127.0.0.1:3"
updates_url = "ws://[::1]:4"
instruments_url = "http://127.0.0.1:1/api-data/"
"""
"""Where a simulated broker may be."""


# (name, text, line, words of the fault, words of the remedy)
REFUSED = [
    ("unknown key", "mood = 1\n", 1, "unknown key mood", "did you mean mode?"),
    (
        "misspelt key",
        "[exits]\n\nstop_bsp = 1200\n",
        3,
        "unknown key stop_bsp in [exits]",
        "did you mean stop_bps?",
    ),
    (
        "key of another section",
        "[sizing]\nloss_per_day_rupees_max = 5000\n",
        2,
        "unknown key loss_per_day_rupees_max in [sizing]",
        "belongs to [limits]",
    ),
    (
        "key of a section at the top",
        "stop_bps = 1200\n",
        1,
        "unknown key stop_bps",
        "belongs to [exits]",
    ),
    (
        "misspelt key of another section",
        "[account]\nlots_mx = 2\n",
        2,
        "unknown key lots_mx in [account]",
        "did you mean lots_max of [sizing]?",
    ),
    ("key of no section", "[exits]\nzzz = 1\n", 2, "unknown key zzz", "[exits] takes stop_bps"),
    ("misspelt section", "[exit]\nstop_bps = 1200\n", 1, "section [exit]", "did you mean [exits]?"),
    (
        "section in another",
        "[sizing]\nlots_max = 2\n  [sizing.exits]\n  stop_bps = 1200\n",
        3,
        "unknown section [sizing.exits]",
        "write [exits]",
    ),
    ("unknown section", "[qqq]\nx = 1\n", 1, "unknown section [qqq]", "the sections are account"),
    ("section as a value", "exits = 5\n", 1, "exits is a section", "write [exits]"),
    ("value as a section", "[exits.stop_bps]\nx = 1\n", 1, "stop_bps is one value", "stop_bps ="),
    ("inline, misspelt", "exits = {stop_bsp = 1}\n", 1, "unknown key stop_bsp", "stop_bps"),
    ("percent for basis points", "[exits]\nstop_bps = 12\n", 2, "(0.12 %)", "stop_bps = 1200"),
    ("ratio for basis points", "[sizing]\nrisk_bps = 0.01\n", 2, "not a whole", "risk_bps = 100"),
    (
        "a seed of real money",
        'mode = "live"\n[sim]\nseed = 2\n',
        2,
        "[sim] has no effect in live",
        "remove the section",
    ),
    ("the clock of a played day", "[clock]\nspeed = 2\n", 2, "no effect in sim", "[sim]"),
    *(
        (
            f"{line.split()[0]} of another clock than the wall's in {mode}",
            f'mode = "{mode}"\n[clock]\n{line}\n',
            3,
            "[clock] is the wall's unless every address of [dhan] is on this machine",
            "holdfast sim-broker",
        )
        for mode in ("paper", "live")
        for line in ("speed = 2", 'start = "2026-11-20 09:10:00"')
    ),
    (
        "since without a start",
        f'mode = "paper"\n{HERE}[clock]\nsince_ms = 1795146000000\n',
        9,
        "no effect without start",
        "set the moment",
    ),
    (
        "some of the broker's addresses",
        'mode = "paper"\n[dhan]\nrest_url = "http://127.0.0.1:1/v2"\n',
        3,
        "some addresses of [dhan] are on this machine",
        "set all of them",
    ),
    (
        "a broker in the open",
        '[dhan]\nrest_url = "http://api.dhan.co/v2"\n',
        2,
        "does not fit",
        '"https://HOST/PATH"',
    ),
    ("a clock's face", '[clock]\nstart = "09:10"\n', 2, "is not a moment", "2026-11-20 09:10:00"),
    ("cut-off first", '[entries]\ncutoff_ist = "09:20"\n', 2, "not after start_ist", "later"),
    (
        "close-out first",
        '[entries]\ncutoff_ist = "15:15"\n[exits]\nclose_out_ist = "15:15"\n',
        4,
        "not after the entries' cutoff_ist",
        "end entries before",
    ),
    (
        "longer without a stop",
        "[exits]\nstale_with_stop_s = 5\nstale_without_stop_s = 6\n",
        3,
        "longer than stale_with_stop_s",
        "cannot wait longer",
    ),
    (
        "a night for what the broker squares off",
        "[guards]\nhold_overnight = true\n",
        2,
        "has no effect on INTRADAY",
        'set product = "MARGIN"',
    ),
    (
        "a read that is never young",
        "[reconcile]\nevery_s = 60\nage_s = 60\n",
        3,
        "not longer than every_s",
        "three times",
    ),
    (
        "a limit that limits nothing",
        "[sizing]\ncapital_rupees = 10000\n[limits]\nloss_per_day_rupees_max = 10001\n",
        4,
        "more than the capital",
        "what may be lost",
    ),
    (
        "warm-up too short",
        "[strategy.supertrend]\nadx_period = 30\nwarmup_candles = 59\n",
        1,
        "warmup_candles is 59",
        "fit each other",
    ),
]


@pytest.mark.parametrize(
    ("text", "line", "what", "remedy"), [row[1:] for row in REFUSED], ids=[r[0] for r in REFUSED]
)
def test_a_file_that_does_not_fit_is_refused_with_line_and_remedy(
    tmp_path: Path, text: str, line: int, what: str, remedy: str
) -> None:
    """Unknown, misplaced, out of range or contradictory: nothing is passed over."""
    said = refusal(tmp_path, text)
    assert said.where == f"{tmp_path / 'holdfast.toml'}:{line}"
    assert what in said.what
    assert remedy in said.remedy
    assert said.exit_code == 3


@pytest.mark.parametrize("key", KEYS, ids=lambda key: key.path)
def test_every_key_refuses_what_is_no_value_of_its_kind(tmp_path: Path, key: Key) -> None:
    """A table, a date-time and an empty text are nobody's value; each refusal names the line."""
    head = f"[{key.section}]\n" if key.section else ""
    for wrong in ("{a = 1}", "1979-05-27T07:32:00Z", '""'):
        said = refusal(tmp_path, f"{head}{key.name} = {wrong}\n")
        assert said.where.endswith(f":{2 if key.section else 1}")
        assert key.name in said.what


@pytest.mark.parametrize("mode", ["paper", "live"])
def test_time_may_run_faster_against_a_broker_on_this_machine(tmp_path: Path, mode: str) -> None:
    """Every address is, and then only; the addresses lose the stroke at their end."""
    text = f'mode = "{mode}"\n{HERE}[clock]\nstart = "2026-11-20 09:10:00"\nspeed = 15\n'
    config = loaded(tmp_path, text)
    assert (config.clock.speed, config.dhan.is_here, config.clock.is_walls) == (15, True, False)
    assert config.dhan.instruments_url == "http://127.0.0.1:1/api-data"
    assert Config().clock.is_walls


@pytest.mark.parametrize("name", [None, *DhanSettings.__struct_fields__])
def test_one_address_elsewhere_is_enough_for_real_money(name: str | None) -> None:
    """Loopback is known by its numbers, of either family, and by its name."""
    here = DhanSettings(
        rest_url="http://127.0.0.1:1/v2",
        auth_url="http://localhost:2",
        feed_url="ws://127.0.0.1:3",
        updates_url="ws://[::1]:4",
        instruments_url="http://127.9.9.9:5/api-data",
    )
    assert here.is_here
    assert not DhanSettings().is_here, "the broker's own addresses are far away"
    for url in ("https://api.dhan.co/v2", "http://127.0.0.1.example/x", "nonsense", ""):
        assert name is None or not msgspec.structs.replace(here, **{name: url}).is_here


def test_a_changed_value_changes_the_hash_and_an_equal_one_does_not(tmp_path: Path) -> None:
    """The hash is that of the effective values: order, comments and defaults do not count."""
    plain = config_sha256(Config())
    same = "# mine\n[limits]\nloss_per_day_rupees_max = 10_000\n[account]\nclient_id='SIM0001'\n"
    assert config_sha256(loaded(tmp_path, same)) == plain
    for text in ("[exits]\nstop_bps = 1201\n", "[runtime]\ndb_commit_interval_s = 0.5\n"):
        assert config_sha256(loaded(tmp_path, text)) != plain


def test_a_stored_configuration_comes_back_whole() -> None:
    """A run keeps its configuration as JSON; `verify` reads it."""
    config = msgspec.structs.replace(Config(), mode=Mode.REPLAY)
    again = msgspec.json.decode(msgspec.json.encode(config), type=Config)
    assert again == config
    assert config_sha256(again) == config_sha256(config)


numbers = {
    key.path: st.integers(key.kind.low, key.kind.high)
    for key in KEYS
    if isinstance(key.kind, Whole) and key.section != "clock"
}


@given(st.fixed_dictionaries({}, optional=numbers))
def test_whatever_lies_in_its_range_is_taken_or_contradicts_another(
    tmp_path_factory: pytest.TempPathFactory, chosen: dict[str, int]
) -> None:
    """And what is taken is in force exactly as written."""
    text = "".join(
        f"[{section}]\n"
        + "".join(
            f"{path.rpartition('.')[2]} = {value}\n"
            for path, value in chosen.items()
            if path.rpartition(".")[0] == section
        )
        for section in SECTIONS
    )
    file = tmp_path_factory.mktemp("any") / "holdfast.toml"
    file.write_text(text)
    try:
        in_force, refused = effective(load_config(file)), None
    except DataRefused as error:
        in_force, refused = {}, error.what
    if refused is None:
        assert {path: in_force[path] for path in chosen} == chosen
    else:
        assert any(words in refused for words in CONTRADICTIONS), refused


lines = [n for n, line in enumerate(init_text().splitlines()) if " = " in line and line[0] != "#"]
values = st.sampled_from(
    [
        '""',
        "-1",
        "0",
        "1",
        "12",
        "0.5",
        "nan",
        "true",
        "[]",
        "{}",
        '"09:20"',
        "09:20:00",
        "1e9",
        "x",
    ]
)


@given(st.sampled_from(lines), values)
def test_any_one_value_replaced_by_another_is_taken_or_refused_on_its_line(
    tmp_path_factory: pytest.TempPathFactory, line: int, value: str
) -> None:
    """Never an exception of another kind, never a refusal that points elsewhere."""
    text = init_text().splitlines()
    text[line] = f"{text[line].split(' = ')[0]} = {value}"
    file = tmp_path_factory.mktemp("any") / "holdfast.toml"
    file.write_text("\n".join(text))
    try:
        load_config(file)
        where, what = f"{file}:{line + 1}", ""
    except DataRefused as refused:
        where, what = refused.where, refused.what
    contradiction = any(words in what for words in CONTRADICTIONS)
    assert where == f"{file}:{line + 1}" or (contradiction and where.startswith(f"{file}:"))


def test_one_key_can_be_set_from_the_command_line_under_the_same_rules() -> None:
    """A seed beyond its range is refused as it would be in the file."""
    changed = with_setting(Config(), "sim.seed", 7, where="--seed")
    assert changed == msgspec.structs.replace(Config(), sim=SimSettings(seed=7))
    with pytest.raises(DataRefused, match="--seed: seed = -1 is out of range"):
        with_setting(Config(), "sim.seed", -1, where="--seed")


def test_the_engine_is_told_what_the_file_says(tmp_path: Path) -> None:
    """Each group of settings arrives; ids begin with mode, account and day.

    The broker's own loss exit guards real money only (T25).
    """
    config = loaded(
        tmp_path,
        '[account]\nclient_id = "1100003626"\nexit_by = "replace"\n'
        "[strategy.supertrend]\ninterval_s = 300\n[candles]\nlag_ms = 900\n",
    )
    told = engine_settings(config, session())
    assert told == EngineSettings(
        id_prefix="S003626261120",
        day="2026-11-20",
        underlyings=("NIFTY",),
        candle_lag_ms=900,
        exit_by_modify=False,
        entries=config.entries,
        sizing=config.sizing,
        exits=config.exits,
        limits=config.limits,
        guards=msgspec.structs.replace(config.guards, loss_exit_bps=0),
        reconcile=config.reconcile,
        freshness=config.freshness,
    )
    replay = msgspec.structs.replace(Config(), mode=Mode.REPLAY)
    assert engine_settings(replay, session()).id_prefix == "RIM0001261120"


# (name, close-out, session, latest)
CLOSE_OUTS = [
    ("five minutes before the broker", "15:15", session(), None),
    ("a minute too late", "15:16", session(), "15:15"),
    ("a session that ends first", "15:00", session(closes="14:30"), "14:29"),
    ("a special session: the engine closes earlier by itself", "15:15",
     session(closes="12:30", name="special"), None),
]  # fmt: skip


@pytest.mark.parametrize(
    ("face", "day", "latest"), [row[1:] for row in CLOSE_OUTS], ids=[r[0] for r in CLOSE_OUTS]
)
def test_a_close_out_too_late_for_the_day_is_refused(
    tmp_path: Path, face: str, day: Session, latest: str | None
) -> None:
    """The broker closes what is left by itself; the plan must be through before that (T11)."""
    config = loaded(tmp_path, f'[exits]\nclose_out_ist = "{face}"\n')
    if latest is None:
        assert engine_settings(config, day).exits.close_out_s == config.exits.close_out_s
        return
    with pytest.raises(DataRefused, match=f"set it to {latest} or earlier"):
        engine_settings(config, day)


@pytest.mark.proves("SET-1", "SET-2", "SET-3", "SET-4", "SET-5")
@pytest.mark.parametrize("mode", Mode)
def test_the_shells_settings_are_these_in_every_mode(tmp_path: Path, mode: Mode) -> None:
    """A mode changes what stands behind the ports, and nothing of how the shell watches and stops."""
    path = tmp_path / "holdfast.toml"
    path.write_text(f'mode = "{mode.value}"\n')
    assert msgspec.structs.asdict(load_config(path).runtime) == {
        "monitor_loop_interval_s": 0.1,
        "shutdown_timeout_order_s": 2.0,
        "shutdown_timeout_price_s": 1.0,
        "shutdown_timeout_state_s": 2.0,
        "websocket_ping_interval_s": 10.0,
        "websocket_ping_timeout_s": 5.0,
        "db_transaction_batch_size": 100,
        "db_commit_interval_s": 1.0,
    }
