"""Any sequence of records is read back as it was, in one chain that verifies, whatever happens."""

import enum
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from msgspec.inspect import (
    CustomType,
    DictType,
    EnumType,
    Field,
    IntType,
    StructType,
    Type,
    UnionType,
    VarTupleType,
    multi_type_info,
)

from holdfast.domain.event import Restarted, TapeEvent
from holdfast.store import query
from holdfast.store.audit import audit
from holdfast.store.buffers import StoreSettings
from holdfast.store.chain import ChainRow, connect, require_intact, walk_chain
from holdfast.store.columns import KINDS
from holdfast.store.journal import StoreJournal
from holdfast.store.records import Decided, Record, TapeRange, decode, encode
from holdfast.store.schema import FILE_NAME
from holdfast.store.segment import TapeHeader
from holdfast.store.tape import FOLDER, read_tape
from holdfast.store.writer import EventsTable
