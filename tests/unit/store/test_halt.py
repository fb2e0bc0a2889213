"""The halt file: in any doubt it is a halt, and only a person with a reason lifts one."""

import errno
import os
from pathlib import Path

import pytest

from holdfast.domain.errors import DataRefused
from holdfast.store.halt import HALT_FILE, SIZE, HaltFile, HaltState, HaltWord
from holdfast.store.schema import FILE_NAME
from tests.unit.store.samples import T0, flip


def opened(folder: Path) -> HaltFile:
    """The file as a start leaves it."""
    file = HaltFile(folder)
    file.open(T0)
    return file


def stands(folder: Path) -> HaltState:
    """What another process reads."""
    return HaltFile(folder).read()


def test_a_fresh_folder_is_not_halted_and_has_room_for_a_halt(tmp_path: Path) -> None:
    """The file is there at its full size, for its owner only; nothing else is."""
    file = HaltFile(tmp_path / "account")
    assert not file.open(T0).is_halted
    assert not stands(tmp_path / "account").is_halted
    assert [path.name for path in (tmp_path / "account").iterdir()] == [HALT_FILE]
    status = file.path.stat()
    assert (status.st_size, status.st_mode & 0o777) == (SIZE, 0o600)
    assert status.st_blocks * 512 >= SIZE
    file.close()


def test_a_halt_stands_until_a_person_lifts_it(tmp_path: Path) -> None:
    """Through starts; who lifted it and why stands there with what was before."""
    file = opened(tmp_path)
    file.write("a limit was reached", T0 + 1)
    file.close()
    for _ in range(2):
        again = HaltFile(tmp_path)
        assert again.open(T0 + 9) == stands(tmp_path)
        assert (again.read().is_halted, again.read().reason) == (True, "a limit was reached")
        again.close()
    for reason in ("", "  \n"):
        with pytest.raises(DataRefused, match="not lifted without a reason"):
            file.lift(reason, T0 + 2)
    assert stands(tmp_path).is_halted
    file.lift("looked at by hand", T0 + 3)
    assert stands(tmp_path) == HaltState(
        is_halted=False,
        reason="looked at by hand",
        at_ns=T0 + 3,
        before=(
            HaltWord(is_halted=True, reason="a limit was reached", at_ns=T0 + 1),
            HaltWord(is_halted=False, reason="never halted", at_ns=T0),
        ),
    )
    file.close()


def test_the_file_never_grows(tmp_path: Path) -> None:
    """Reasons are cut and the oldest words leave; what was said last is there."""
    file = opened(tmp_path)
    for number in range(60):
        file.write("\x00" * 400 + "\u0939" * number, T0 + number)
        file.lift(f"for the time {number}: \ud800", T0 + number)
        assert file.path.stat().st_size == SIZE
    state = stands(tmp_path)
    assert (state.is_halted, state.reason) == (False, "for the time 59: ?")
    assert len(state.before) >= 1
    file.close()


def test_a_halt_needs_no_start_and_no_file(tmp_path: Path) -> None:
    """Another program may write one, where nothing was opened or the file is gone."""
    HaltFile(tmp_path).write("by hand", T0)
    assert stands(tmp_path).reason == "by hand"
    file = opened(tmp_path)
    (tmp_path / HALT_FILE).unlink()
    file.write("again", T0 + 1)
    assert (stands(tmp_path).is_halted, stands(tmp_path).reason) == (True, "again")
    file.close()


def test_a_file_that_is_missing_beside_a_database_is_a_halt(tmp_path: Path) -> None:
    """It was removed, or lost; the next start writes down that it was."""
    (tmp_path / FILE_NAME).touch()
    state = stands(tmp_path)
    assert (state.is_halted, "is missing" in state.reason) == (True, True)
    file = opened(tmp_path)
    assert stands(tmp_path).is_halted
    assert stands(tmp_path).at_ns == T0
    file.lift("I know why", T0 + 1)
    assert not stands(tmp_path).is_halted
    file.close()


def test_a_file_that_cannot_be_read_is_a_halt(tmp_path: Path) -> None:
    """Here a folder in its place."""
    (tmp_path / HALT_FILE).mkdir()
    state = stands(tmp_path)
    assert (state.is_halted, "cannot be read" in state.reason) == (True, True)


def test_a_write_that_is_torn_anywhere_is_a_halt(tmp_path: Path) -> None:
    """At each byte, halting or lifting: what stood before, what was written, or a halt."""
    file = opened(tmp_path)
    torn = 0
    for change, is_halted in ((file.write, True), (file.lift, False)):
        old, before = file.path.read_bytes(), stands(tmp_path)
        change("the next word", T0 + 7)
        new = file.path.read_bytes()
        assert stands(tmp_path).is_halted is is_halted
        for cut in range(max(len(new.rstrip()), len(old.rstrip())) + 2):
            mixed = new[:cut] + old[cut:]
            file.path.write_bytes(mixed)
            state = stands(tmp_path)
            if mixed == old:
                assert state == before
            elif mixed != new:
                torn += 1
                assert (state.is_halted, state.at_ns) == (True, None)
        file.path.write_bytes(new)
    file.close()
    assert torn >= 300


def test_any_byte_that_changed_is_a_halt(tmp_path: Path) -> None:
    """Each of them, one at a time; and any size but its own."""
    file = opened(tmp_path)
    file.lift("so that it says no", T0)
    file.close()
    content = file.path.read_bytes()
    assert len(content) == SIZE
    for at in range(SIZE):
        flip(file.path, at, 1 << at % 8)
        assert stands(tmp_path).is_halted
        flip(file.path, at, 1 << at % 8)
    assert not stands(tmp_path).is_halted
    for size in (0, 1, SIZE - 1):
        file.path.write_bytes(content[:size])
        assert stands(tmp_path).is_halted
    file.path.write_bytes(content + b"\n")
    assert stands(tmp_path).is_halted
    file.path.write_bytes(content)
    assert not stands(tmp_path).is_halted


def test_a_word_of_another_form_is_a_halt(tmp_path: Path) -> None:
    """Sealed as ours are, but not to be understood."""
    file = opened(tmp_path)
    file.close()
    said = b'{"now":{"is_halted":0},"before":[]}'
    file.path.write_bytes(sealed(said))
    assert stands(tmp_path).is_halted
    file.path.write_bytes(sealed(b'{"now":{"is_halted":false,"reason":"","at_ns":1},"before":[]}'))
    assert not stands(tmp_path).is_halted


def sealed(said: bytes) -> bytes:
    """The file around a word, written a second time."""
    import hashlib  # noqa: PLC0415 the form is told here and nowhere else

    text = b"holdfast halt 1\n" + said + b"\n" + hashlib.sha256(said).hexdigest().encode()
    return text + b"\n" * (SIZE - len(text))


def test_a_write_of_which_the_disk_takes_a_part_is_not_believed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nor one that it does not confirm."""
    file = opened(tmp_path)
    with monkeypatch.context() as patch:
        patch.setattr("os.pwrite", lambda _handle, content, _at: len(content) - 1)
        with pytest.raises(OSError, match="4095 of 4096 bytes"):
            file.write("a limit", T0)

    def unconfirmed(_handle: int) -> None:
        raise OSError(errno.EIO, "Input/output error")

    with monkeypatch.context() as patch:
        patch.setattr("os.fsync", unconfirmed)
        with pytest.raises(OSError, match="Input/output"):
            file.write("a limit", T0)
    file.close()
    assert os.listdir(tmp_path) == [HALT_FILE]  # noqa: PTH208 names are asked for
