"""Files that cannot be read as they are, and the lines of those that can."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from holdfast.app.toml import SIZE_BYTES_MAX, load_toml
from holdfast.domain.errors import DataRefused


def refusal(path: Path) -> DataRefused:
    """What `load_toml` says about a file that it does not take."""
    with pytest.raises(DataRefused) as caught:
        load_toml(path)
    return caught.value


# (name, text, line, words of the fault, words of the remedy)
MALFORMED = [
    ("percent", "\n[exits]\nstop_bps = 12%\n", 3, "is not TOML", "100 to the percent"),
    ("bare time", "start_ist = 09:20\n", 1, "is not TOML", '"09:20"'),
    ("bare time with comment", "start_ist = 9:20 # early\n", 1, "is not TOML", '"09:20"'),
    ("comma", "capital_rupees = 5,00,000\n", 1, "is not TOML", "5_00_000"),
    ("bare word", "# first\nmode = sim\n", 2, "Invalid value", "double quotes"),
    ("colon", "mode: sim\n", 1, "is not TOML", "key = value"),
    ("open bracket", "[exits\nstop_bps = 1\n", 1, "is not TOML", "# begins a comment"),
    ("cut off", "mode = ", 1, "Invalid value", "correct the line"),
    ("cut off in a list", "a = 1\nb = [", 2, "Invalid value", "correct the line"),
    ("no key", "= 1\n", 1, "Invalid statement", "correct the line"),
    ("endless number", f"a = {'9' * 5_000}\n", 1, "is not TOML", "correct the line"),
]


@pytest.mark.parametrize(
    ("text", "line", "what", "remedy"),
    [row[1:] for row in MALFORMED],
    ids=[r[0] for r in MALFORMED],
)
def test_malformed_text_is_refused_with_its_line(
    tmp_path: Path, text: str, line: int, what: str, remedy: str
) -> None:
    """The message names the line, and what is written there instead."""
    file = tmp_path / "holdfast.toml"
    file.write_text(text, "utf-8")
    said = refusal(file)
    assert said.where == f"{file}:{line}"
    assert what in said.what
    assert remedy in said.remedy


# (name, text, first line, second line, words)
REPEATED = [
    ("at the top", "a = 1\nb = 2\na = 3\n", 1, 3, "a stands twice"),
    ("at the file's end", "a = 1\na = 1", 1, 2, "a stands twice"),
    ("in a section", "[exits]\nstop_bps = 1\nstop_bps = 2\n", 2, 3, "stop_bps of [exits]"),
    ("a section", "[exits]\na = 1\n\n[limits]\nb = 1\n[exits]\nc = 1\n", 1, 6, "exits stands"),
    ("quoted and bare", '[a]\nb = 1\n"b" = 2\n', 2, 3, "b of [a]"),
    ("dotted and in a section", "[a]\nb.c = 1\nb.c = 2\n", 2, 3, "c of [a.b]"),
]


@pytest.mark.proves("I-121", "I-72")
@pytest.mark.parametrize(
    ("text", "first", "second", "what"), [row[1:] for row in REPEATED], ids=[r[0] for r in REPEATED]
)
def test_a_key_or_section_that_stands_twice_is_refused(
    tmp_path: Path, text: str, first: int, second: int, what: str
) -> None:
    """The last one does not win: neither does, and both lines are named."""
    file = tmp_path / "holdfast.toml"
    file.write_text(text, "utf-8")
    said = refusal(file)
    assert said.where == f"{file}:{second}"
    assert what in said.what
    assert f"first on line {first}" in said.what


def test_what_is_no_file_of_text_is_refused(tmp_path: Path) -> None:
    """Absent, a folder, another encoding, endless brackets, too large: each has its sentence."""
    file = tmp_path / "holdfast.toml"
    assert "no such file" in refusal(file).what
    assert "holdfast init" in refusal(file).remedy
    assert "cannot be read" in refusal(tmp_path).what
    file.write_bytes(b'a = "ok"\nb = "\xff"\n')
    assert (refusal(file).where, refusal(file).what) == (f"{file}:2", "is not UTF-8 text")
    file.write_text("a = " + "[" * 5_000)
    assert "nested too deep" in refusal(file).what
    file.write_text("#" * (SIZE_BYTES_MAX + 1))
    assert str(SIZE_BYTES_MAX) in refusal(file).what


def test_lines_are_found_by_the_way_to_the_key(tmp_path: Path) -> None:
    """Sections, nested ones, quotes and dots; what has no line has that of what is around it."""
    file = tmp_path / "holdfast.toml"
    text = 'mode = "sim"\n[exits]  # of positions\n  stop_bps = 1\n[a.b]\n"c" = 1\nd.e = {f = 1}\n'
    file.write_text(text, "utf-8-sig")
    document = load_toml(file)
    lines = {
        ("mode",): 1,
        ("exits",): 2,
        ("exits", "stop_bps"): 3,
        ("exits", "other"): 2,
        ("a", "b", "c"): 5,
        ("a", "b", "d", "e", "f"): 6,
    }
    for dotted, line in lines.items():
        assert document.where(dotted) == f"{file}:{line}", dotted
    assert document.where(("nothing",)) == str(file)
    assert document.values["exits"] == {"stop_bps": 1}


@given(st.binary(max_size=200) | st.text("a.=\"[]{}'#\\\n 1-", max_size=60).map(str.encode))
def test_whatever_a_file_holds_it_is_read_or_refused(
    tmp_path_factory: pytest.TempPathFactory, content: bytes
) -> None:
    """No other exception, and a refusal always says what to do."""
    file = tmp_path_factory.mktemp("any") / "holdfast.toml"
    file.write_bytes(content)
    try:
        load_toml(file)
        remedy = "none needed"
    except DataRefused as refused:
        remedy = refused.remedy
    assert remedy
