"""Every Python that a test starts speaks to this machine only, whatever it runs.

An interpreter runs this when it begins, from `PYTHONPATH`. It needs nothing of what is installed:
the broker's official client has an environment of its own, in which there is no holdfast.
"""

import importlib.util
import os
from pathlib import Path

SOURCE = Path(__file__).parents[2] / "src" / "holdfast" / "runtime" / "loopback.py"
_SPEC = importlib.util.spec_from_file_location("_loopback_of_tests", SOURCE)
assert _SPEC is not None and _SPEC.loader is not None, SOURCE  # noqa: PT018 one thing
_LOOPBACK = importlib.util.module_from_spec(_SPEC)
_SPEC.loader.exec_module(_LOOPBACK)
if os.environ.get(_LOOPBACK.VARIABLE):
    _LOOPBACK.refuse_strangers()
