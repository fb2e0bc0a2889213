"""Real money moves only when it was said twice, and one program at a time has the account."""

import os
import pwd
from pathlib import Path
from types import SimpleNamespace

import msgspec
import pytest

from holdfast.app import yes
from holdfast.app.config import Config, DhanSettings, Mode
from holdfast.app.paths import find_paths
from holdfast.app.yes import account_locks, host_lock, require_no_yes, require_yes
from holdfast.domain.errors import DataRefused, InstanceRunning

HERE = DhanSettings(
    rest_url="http://127.0.0.1:1",
    auth_url="http://127.0.0.1:1",
    feed_url="ws://127.0.0.1:1",
    updates_url="ws://127.0.0.1:1",
    instruments_url="http://127.0.0.1:1",
)


def config(mode: Mode, dhan: DhanSettings | None = None) -> Config:
    """The default account in a mode."""
    return msgspec.structs.replace(Config(), mode=mode, dhan=dhan or DhanSettings())


def test_both_yeses_together_are_enough() -> None:
    """The mode in the file, and the account by its number on the command line."""
    require_yes(config(Mode.LIVE), "SIM0001", anew=False, asked=())


@pytest.mark.parametrize("owner", [None, "", "SIM0002", "sim0001"])
def test_the_mode_alone_is_refused(owner: str | None) -> None:
    """Without the option, and with any other account than the file's: exit code 3."""
    with pytest.raises(DataRefused) as refused:
        require_yes(config(Mode.LIVE), owner, anew=False, asked=())
    assert refused.value.exit_code == 3
    assert "SIM0001" in str(refused.value)


@pytest.mark.parametrize("mode", [mode for mode in Mode if not mode.is_live])
def test_the_option_alone_is_refused(mode: Mode) -> None:
    """Whoever says yes believes that money moves: he must not find out otherwise in the evening."""
    with pytest.raises(DataRefused, match="no real money moves"):
        require_no_yes("SIM0001")
    with pytest.raises(DataRefused, match="no real money moves"):
        require_yes(config(mode), "SIM0001", anew=False, asked=())
    require_no_yes(None)


def test_a_day_of_real_money_is_not_begun_anew() -> None:
    """Its orders are at the broker, whatever becomes of our record; a day of paper may be."""
    with pytest.raises(DataRefused, match="not begun anew"):
        require_yes(config(Mode.LIVE), "SIM0001", anew=True, asked=())
    require_yes(config(Mode.PAPER), None, anew=True, asked=())


@pytest.mark.parametrize("mode", [Mode.PAPER, Mode.LIVE])
def test_what_only_a_generated_day_has_is_refused(mode: Mode) -> None:
    """A seed and a date mean nothing where the day is today."""
    with pytest.raises(DataRefused, match="--seed: has no effect in"):
        require_yes(config(mode), None, anew=False, asked=["sim.seed"])


@pytest.fixture
def home_of_the_user(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where the host's locks lie."""
    monkeypatch.setattr(
        yes, "pwd", SimpleNamespace(getpwuid=lambda _uid: SimpleNamespace(pw_dir=str(tmp_path)))
    )
    return tmp_path


@pytest.mark.proves("T20")
@pytest.mark.parametrize(("first", "second"), [(Mode.PAPER, Mode.LIVE), (Mode.LIVE, Mode.PAPER)])
def test_one_program_has_the_account_whatever_mode_and_database(
    home_of_the_user: Path, first: Mode, second: Mode
) -> None:
    """Two homes, two modes, one account at the broker: the second is refused with the holder named."""
    one = find_paths(home_of_the_user / "one", os.environ)
    other = find_paths(home_of_the_user / "other", os.environ)
    with account_locks(one, config(first), purpose="the first"):
        with (
            pytest.raises(InstanceRunning, match="the first"),
            account_locks(other, config(second), purpose="the second"),
        ):
            raise AssertionError("two programs had one account")
        with pytest.raises(InstanceRunning), host_lock(config(second), purpose="panic"):
            raise AssertionError("two programs had one account")
    with account_locks(other, config(second), purpose="the second"):
        pass


def test_accounts_of_simulated_brokers_are_none_of_the_hosts(home_of_the_user: Path) -> None:
    """Nor are those of a generated day: many may be played at once, each in its home."""
    one = find_paths(home_of_the_user / "one", os.environ)
    other = find_paths(home_of_the_user / "other", os.environ)
    for there in (config(Mode.LIVE, HERE), config(Mode.SIM)):
        with account_locks(one, there, purpose="a"), account_locks(other, there, purpose="b"):
            pass
        with (
            account_locks(one, there, purpose="a"),
            pytest.raises(InstanceRunning),
            account_locks(one, there, purpose="b"),
        ):
            raise AssertionError("two programs had one home")


def test_the_hosts_locks_lie_in_the_users_own_folder() -> None:
    """By the system's word for it: neither HOME nor an option leads past them."""
    home = Path(pwd.getpwuid(os.getuid()).pw_dir)
    assert yes.host_locks_dir() == home / ".local" / "state" / "holdfast" / "locks"
