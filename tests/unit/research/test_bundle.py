"""A bundle: what a run is made of and nothing else, out of which only what was put in is taken."""

import random
import shutil
import zipfile
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest
from msgspec.structs import replace

from holdfast.domain.errors import DataRefused
from holdfast.research.bundle import (
    FORMAT,
    MANIFEST,
    MANIFEST_BYTES_MAX,
    Manifest,
    Part,
    make_bundle,
    open_bundle,
    tape_of,
)
from holdfast.store import query
from holdfast.store.audit import audit
from holdfast.store.buffers import StoreSettings
from holdfast.store.schema import FILE_NAME
from holdfast.store.tape import read_tape
from tests.support.journal import StoreJournal
from tests.unit.store.samples import DAY, HEADER, a_day, play, tick

INLINE = StoreSettings(threaded=False)
CONFIG = b'{"mode":"sim"}\n'


def a_run(folder: Path, *, trades: int = 4, ticks: int = 120) -> Path:
    """The folder of a run that ended, with files in it that are nobody's business."""
    journal = StoreJournal(folder, HEADER, settings=INLINE)
    play(journal, a_day(trades=trades, ticks=ticks))
    assert journal.close().is_complete
    (folder / "config.json").write_bytes(CONFIG)
    (folder / f"config-{'0af' * 5}.json").write_bytes(b"{}")
    for name in (
        "holdfast.log",
        "token.json",
        "halt",
        "journal.db.0001.backup",
        "config-secret.json",
    ):
        (folder / name).write_text("the token is ...")
    (folder / "tape" / "notes.txt").write_text("mine")
    (folder / "tape" / DAY / "ticks-0001.parquet.unfinished").write_text("half")
    return folder


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Such a run. Only read it."""
    return a_run(tmp_path_factory.mktemp("run"))


@pytest.fixture(scope="module")
def bundle(run: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The bundle of it. Only read it."""
    path = tmp_path_factory.mktemp("bundle") / "a.bundle"
    make_bundle(run, path, label="sim/a")
    return path


def test_a_run_is_the_same_elsewhere(run: Path, bundle: Path, tmp_path: Path) -> None:
    """Records, tape and configuration; the audit has nothing to say of either."""
    manifest = open_bundle(bundle, tmp_path / "there")
    files = [path for path in (tmp_path / "there").rglob("*") if path.is_file()]
    assert len(files) == len(manifest.parts)
    assert list(query.records(tmp_path / "there" / FILE_NAME)) == list(
        query.records(run / FILE_NAME)
    )
    there, here = read_tape(tape_of(tmp_path / "there")), read_tape(tape_of(run))
    assert (there.header, list(there.events())) == (here.header, list(here.events()))
    assert (tmp_path / "there" / "config.json").read_bytes() == CONFIG
    assert audit(tmp_path / "there" / FILE_NAME).is_clean
    (start,) = manifest.starts
    assert (start.sequence, start.day, start.code_version) == (1, DAY, "0.1.0")
    assert (manifest.run, manifest.format, start.libraries) == ("sim/a", FORMAT, ("TA-Lib 0.8.2",))


def test_nothing_but_the_parts_of_a_run_is_put_in(run: Path, bundle: Path) -> None:
    """By a list of names: no log, token, halt, backup, or what somebody laid there."""
    with zipfile.ZipFile(bundle) as archive:
        names = archive.namelist()
        assert b"the token" not in b"".join(archive.read(name) for name in names)
    assert names == [
        MANIFEST,
        "config-0af0af0af0af0af.json",
        "config.json",
        FILE_NAME,
        f"tape/{DAY}/candles-0001.parquet",
        f"tape/{DAY}/quotes-0001.parquet",
        f"tape/{DAY}/ticks-0001.parquet",
    ]
    assert sorted(path.name for path in bundle.parent.iterdir()) == [bundle.name]
    assert (run / "holdfast.log").exists()


def test_the_same_run_gives_the_same_bytes(run: Path, bundle: Path, tmp_path: Path) -> None:
    """Wherever it lies and whenever it is made; a bundle of what was taken out is the same one."""
    copy = Path(shutil.copytree(run, tmp_path / "elsewhere"))
    make_bundle(copy, tmp_path / "b.bundle", label="sim/a")
    assert (tmp_path / "b.bundle").read_bytes() == bundle.read_bytes()


def test_a_run_that_goes_on_is_bundled_as_far_as_it_is(tmp_path: Path) -> None:
    """Its log is in the copy, its streams up to the last whole batch; nobody is disturbed."""
    journal = StoreJournal(tmp_path / "run", HEADER, settings=StoreSettings(tape_batch_rows=5))
    play(journal, a_day(trades=2, ticks=50))
    journal.wait_durable(journal.last_sequence).result(timeout=10)
    make_bundle(tmp_path / "run", tmp_path / "a.bundle", label="live/a")
    journal.append_market(tick(10_000))
    assert journal.close().is_complete
    open_bundle(tmp_path / "a.bundle", tmp_path / "there")
    kept = list(query.records(tmp_path / "there" / FILE_NAME))
    assert kept == list(query.records(tmp_path / "run" / FILE_NAME))[: len(kept)]
    assert len(kept) >= 20
    assert audit(tmp_path / "there" / FILE_NAME).findings == ()


def test_what_is_there_already_is_not_replaced(run: Path, bundle: Path, tmp_path: Path) -> None:
    """Neither a file nor a folder, and nothing half-made stays beside it."""
    (tmp_path / "b.bundle").write_text("mine")
    with pytest.raises(DataRefused, match="is there already"):
        make_bundle(run, tmp_path / "b.bundle", label="")
    (tmp_path / "there").mkdir()
    with pytest.raises(DataRefused, match="is there already"):
        open_bundle(bundle, tmp_path / "there")
    assert (tmp_path / "b.bundle").read_text() == "mine"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["b.bundle", "there"]


def test_a_folder_without_a_journal_or_a_tape_is_named(tmp_path: Path) -> None:
    """With what to do."""
    with pytest.raises(DataRefused, match="holds no journal"):
        make_bundle(tmp_path, tmp_path / "b.bundle", label="")
    with pytest.raises(DataRefused, match="holds no tape"):
        tape_of(tmp_path)
    with pytest.raises(DataRefused, match="no such bundle"):
        open_bundle(tmp_path / "none.bundle", tmp_path / "there")
    (tmp_path / FILE_NAME).write_bytes(b"no database at all")
    with pytest.raises(DataRefused, match="cannot be read"):
        make_bundle(tmp_path, tmp_path / "b.bundle", label="")
    assert [path.name for path in tmp_path.iterdir()] == [FILE_NAME]


# -- what came to harm, or was made to do some


def refused(path: Path, target: Path, **limits: int) -> DataRefused:
    """The refusal; nothing is left of the attempt."""
    with pytest.raises(DataRefused) as refusal:
        open_bundle(path, target, **limits)
    assert str(path) in refusal.value.where
    assert refusal.value.remedy
    assert not target.exists()
    assert not list(target.parent.glob(f".{target.name}*"))
    return refusal.value


def test_a_bundle_that_was_cut_off_anywhere_is_refused(tmp_path: Path) -> None:
    """At each of 200 places, and empty; with a word about the way it came."""
    make_bundle(a_run(tmp_path / "run", trades=1, ticks=20), tmp_path / "a.bundle", label="")
    content = (tmp_path / "a.bundle").read_bytes()
    for size in {0, 1, 21, 22, *range(0, len(content), len(content) // 200), len(content) - 1}:
        (tmp_path / "cut.bundle").write_bytes(content[:size])
        assert "cut off" in refused(tmp_path / "cut.bundle", tmp_path / "there").remedy


def test_a_bundle_that_was_altered_gives_back_what_was_put_in_or_nothing(tmp_path: Path) -> None:
    """500 bytes of it, one at a time: no other content comes out, no other error either."""
    make_bundle(a_run(tmp_path / "run", trades=1, ticks=20), tmp_path / "a.bundle", label="")
    content = (tmp_path / "a.bundle").read_bytes()
    with zipfile.ZipFile(tmp_path / "a.bundle") as archive:
        parts = {name: archive.read(name) for name in archive.namelist() if name != MANIFEST}
    chance = random.Random(7)
    directory = content.rindex(b"PK\x01\x02", 0, content.index(b"PK\x05\x06"))
    places = [*chance.sample(range(len(content)), 250), *range(len(content) - 22, len(content))]
    places += [*range(directory, directory + 60), *range(170)]
    opened = 0
    for at in places:
        changed = bytearray(content)
        changed[at] ^= 1 << chance.randrange(8)
        (tmp_path / "b.bundle").write_bytes(changed)
        try:
            open_bundle(tmp_path / "b.bundle", tmp_path / "there")
        except DataRefused:
            assert not (tmp_path / "there").exists()
            continue
        opened += 1
        for name, was in parts.items():
            assert (tmp_path / "there" / name).read_bytes() == was
        shutil.rmtree(tmp_path / "there")
    assert len(places) >= 500
    assert opened < len(places) // 5


Entries = list[tuple[str, bytes]]


def forged(
    path: Path,
    entries: Entries,
    change: Callable[[Manifest], object] = lambda manifest: manifest,
    *,
    way: int = zipfile.ZIP_DEFLATED,
) -> Path:
    """A bundle by another hand, whose manifest fits its entries unless it is changed."""
    parts = tuple(
        Part(name=name, size=len(content), sha256=_sha256(content)) for name, content in entries
    )
    manifest = Manifest(format=FORMAT, run="", made_by=(), starts=(), parts=parts)
    with zipfile.ZipFile(path, "w", way) as archive:
        archive.writestr(MANIFEST, msgspec.json.encode(change(manifest)))
        for name, content in entries:
            archive.writestr(name, content)
    return path


def _sha256(content: bytes) -> str:
    import hashlib  # noqa: PLC0415 one use

    return hashlib.sha256(content).hexdigest()


@pytest.fixture(scope="module")
def journal(run: Path) -> bytes:
    """The bytes of a journal."""
    return (run / FILE_NAME).read_bytes()


def test_a_forged_bundle_that_fits_is_opened(tmp_path: Path, journal: bytes) -> None:
    """So that the refusals below are about what they say."""
    open_bundle(forged(tmp_path / "a", [(FILE_NAME, journal)]), tmp_path / "there")
    assert audit(tmp_path / "there" / FILE_NAME).records > 0


@pytest.mark.parametrize(
    "name",
    [
        "../journal.db",
        "/journal.db",
        "tape/../../evil",
        "tape/2025-12-15/../../x.parquet",
        "tape\\2025-12-15\\ticks-0001.parquet",
        "journal.db\n",
        "journal.db-wal",
        "JOURNAL.DB",
        "tape/\uff12025-12-15/ticks-0001.parquet",
        "tape/2025-12-15/ticks-0001.parquet/",
        "holdfast.toml",
    ],
)
def test_a_name_that_no_bundle_has_is_refused(tmp_path: Path, journal: bytes, name: str) -> None:
    """Above all one that leads out of the folder."""
    path = forged(tmp_path / "a", [(FILE_NAME, journal), (name, b"evil")])
    assert "holds what no bundle holds" in refused(path, tmp_path / "there").what
    assert sorted(one.name for one in tmp_path.iterdir()) == ["a"]


CONTRADICTIONS: dict[str, Callable[[Manifest], object]] = {
    "a hash": lambda m: replace(m, parts=(replace(m.parts[0], sha256="0" * 64),)),
    "a size": lambda m: replace(m, parts=(replace(m.parts[0], size=1),)),
    "a negative size": lambda m: replace(m, parts=(replace(m.parts[0], size=-1),)),
    "one part too many": lambda m: replace(
        m, parts=(*m.parts, Part(name="config.json", size=0, sha256=""))
    ),
    "one twice": lambda m: replace(m, parts=(*m.parts, *m.parts)),
    "none": lambda m: replace(m, parts=()),
    "a newer format": lambda m: replace(m, format=FORMAT + 1),
    "another form": lambda m: {"format": m.format, "parts": "none"},
    "a field more": lambda m: {**msgspec.to_builtins(m), "more": 1},
    "too much": lambda m: replace(m, run="x" * MANIFEST_BYTES_MAX),
}


@pytest.mark.parametrize("what", CONTRADICTIONS)
def test_a_manifest_that_does_not_fit_is_refused(tmp_path: Path, journal: bytes, what: str) -> None:
    """Whatever it says that is not so."""
    path = forged(tmp_path / "a", [(FILE_NAME, journal)], CONTRADICTIONS[what])
    refused(path, tmp_path / "there")


def test_what_is_not_a_journal_is_refused(tmp_path: Path) -> None:
    """Empty, strange, or missing altogether."""
    for number, entries in enumerate(
        ([(FILE_NAME, b"")], [(FILE_NAME, b"x" * 5_000)], [("config.json", b"{}")])
    ):
        refused(forged(tmp_path / f"{number}", entries), tmp_path / "there")


def test_what_would_fill_the_disk_is_refused_before_a_byte_is_written(tmp_path: Path) -> None:
    """By what it says of itself; and it may not say less than there is."""
    bomb = [(FILE_NAME, bytes(50_000_000))]
    path = forged(tmp_path / "a", bomb)
    assert path.stat().st_size < 100_000
    assert "more than 10000000" in refused(path, tmp_path / "there", bytes_max=10_000_000).what
    path = forged(tmp_path / "b", bomb, lambda m: replace(m, parts=(replace(m.parts[0], size=5),)))
    assert "not as large" in refused(path, tmp_path / "there").what


@pytest.mark.parametrize("way", [zipfile.ZIP_LZMA, zipfile.ZIP_BZIP2])
def test_other_ways_to_pack_are_refused(tmp_path: Path, journal: bytes, way: int) -> None:
    """Ours are two; each other one is more code that a stranger's file would reach."""
    path = forged(tmp_path / "a", [(FILE_NAME, journal)], way=way)
    assert "not packed as one" in refused(path, tmp_path / "there").what


def test_a_segment_that_is_sealed_meanwhile_is_looked_for_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Listed as a stream, gone when it is copied: the listing is made anew."""
    run = a_run(tmp_path / "run", trades=1, ticks=20)
    sealed = run / "tape" / DAY / "ticks-0001.parquet"
    stream = sealed.with_suffix(".arrows")
    sealed.rename(stream)
    copyfile = shutil.copyfile
    tries: list[Path] = []

    def sealing(source: Path, target: Path) -> Path:
        tries.append(source)
        if source == stream:
            stream.rename(sealed)
        return copyfile(source, target)

    monkeypatch.setattr(shutil, "copyfile", sealing)
    manifest = make_bundle(run, tmp_path / "a.bundle", label="")
    assert stream in tries
    assert f"tape/{DAY}/ticks-0001.parquet" in [part.name for part in manifest.parts]
