"""The verb that puts a run into one file, for somebody else to look at."""

from pathlib import Path

import click

from holdfast.app.cli.frame import Frame, emit, emit_json, verb
from holdfast.app.cli.reading import find_run, run_label
from holdfast.research.bundle import SUFFIX, Manifest, make_bundle
from holdfast.research.text import grouped


@verb(
    example="holdfast bundle\nholdfast bundle 2026-11-20 --to for-the-report.bundle",
    shape='{"target": "...", "run": "...", "bytes": 0, '
    '"parts": [{"name": "journal.db", "size": 0, "sha256": "..."}]}',
)
@click.argument("run", required=False)
@click.option(
    "--to",
    "target",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="The new file; by default named after the run, here.",
)
def bundle(frame: Frame, *, run: str | None, target: Path | None, as_json: bool) -> int:
    """Put journal, tape and configuration of a run into one file, to be looked at elsewhere.

    Nothing else is in it: no log and no secret. The configuration names the account. The run may
    still go on.
    """
    folder = find_run(frame, run)
    label = run_label(folder)
    file = target or Path(f"{label.strip('/').replace('/', '-')}{SUFFIX}")
    manifest = make_bundle(folder, file, label=label)
    if as_json:
        parts = manifest.parts
        emit_json({"target": str(file), "run": label, "bytes": manifest.bytes, "parts": parts})
    else:
        emit(_told(file, label, manifest))
    return 0


def _told(file: Path, label: str, manifest: Manifest) -> str:
    lines = [f"{label}: {len(manifest.parts)} parts, {grouped(manifest.bytes)} bytes"]
    lines += [f"  {grouped(part.size):>15} {part.name}" for part in manifest.parts]
    return "\n".join([*lines, f"in {file}"]) + "\n"
