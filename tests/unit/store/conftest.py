"""A store with a whole day in it, made once and copied for whoever damages it."""

import shutil
from pathlib import Path

import pytest

from holdfast.store.buffers import StoreSettings
from holdfast.store.schema import FILE_NAME
from tests.support.journal import StoreJournal
from tests.support.store import end_owners  # noqa: F401 a fixture that every test here gets
from tests.unit.store.samples import HEADER, a_day, play

INLINE = StoreSettings(threaded=False)


@pytest.fixture(scope="session")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a day that ended well: at least 200 records, 600 rows of tape. Only read it."""
    folder = tmp_path_factory.mktemp("day")
    journal = StoreJournal(folder, HEADER, settings=INLINE)
    play(journal, a_day(trades=15, ticks=600))
    assert journal.close().is_complete
    return folder


@pytest.fixture(scope="session")
def dense(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a day with as many records and hardly any tape: quick to audit. Only read it."""
    folder = tmp_path_factory.mktemp("dense")
    journal = StoreJournal(folder, HEADER, settings=INLINE)
    play(journal, a_day(trades=20, ticks=40))
    assert journal.close().is_complete
    return folder


@pytest.fixture
def damaged(finished: Path, tmp_path: Path) -> Path:
    """The database of a copy of that folder: damage it."""
    shutil.copytree(finished, tmp_path / "copy")
    return tmp_path / "copy" / FILE_NAME
