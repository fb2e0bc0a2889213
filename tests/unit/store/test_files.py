"""The names of the store's files are one, wherever they are asked for."""

from holdfast.app import paths
from holdfast.store import schema
from holdfast.store.files import DATABASE


def test_the_database_has_one_name() -> None:
    """What finds a run and what opens its journal mean the same file."""
    assert DATABASE == schema.FILE_NAME == paths.JOURNAL
