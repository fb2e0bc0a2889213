"""The verbs that prove a run: its decisions, and the files they stand in."""

import click
import msgspec

from holdfast.app.cli.ending import ExitCode
from holdfast.app.cli.frame import Frame, emit, emit_json, verb
from holdfast.app.cli.progress import shown_progress
from holdfast.app.cli.reading import find_run, journal_of, run_label
from holdfast.app.wiring import verify_run
from holdfast.research.text import grouped
from holdfast.research.verify import Checked
from holdfast.store.audit import AuditReport, audit


@verb(
    example="holdfast verify",
    shape='{"run": "...", "events": 0, "ticks": 0, "decisions": 0, "first_difference": null,\n'
    ' "cuts": [{"whole_until": 1, "ticks_gone": 0, ...}], "brought_in": [...], "left_out": []}',
)
@click.argument("run", required=False)
def verify(frame: Frame, *, run: str | None, as_json: bool) -> int:
    """Step a new engine through a run's journal and tape, and compare every decision.

    Where the day was cut by a crash it says what was lost, and what the broker's book then brought
    in. Ends with 21 at a difference, and when there was nothing to compare.
    """
    folder = find_run(frame, run)
    with shown_progress("verify") as progress:
        result = verify_run(folder, progress)
    is_good = result.first_difference is None and result.decisions > 0
    if as_json:
        emit_json({"run": run_label(folder), **msgspec.structs.asdict(result)})
    else:
        emit(
            f"{run_label(folder)}: {grouped(result.events)} events, {grouped(result.ticks)} of"
            f" them ticks, {grouped(result.decisions)} steps that decided something\n"
            f"{_cut_text(result)}{_verdict(result.first_difference, result.decisions)}\n"
        )
    return ExitCode.CLEAN if is_good else ExitCode.VERIFICATION_FAILED


def _cut_text(result: Checked) -> str:
    """What crashes cut off, and what the broker's book brought in after them."""
    cuts = [
        f"cut after number {grouped(cut.whole_until)}: {cut.ticks_gone} ticks and"
        f" {cut.others_gone} other events gone, {cut.facts} facts kept,"
        f" {len(cut.not_sent)} entries not sent"
        for cut in result.cuts
        if cut.ticks_gone or cut.others_gone or cut.facts or cut.not_sent or cut.taken_over
    ]
    brought = [
        f"the book brought in {one.order_id}: {one.difference.value}" for one in result.brought_in
    ]
    left = [f"event {number} cannot be stepped and is left out" for number in result.left_out]
    return "".join(f"{line}\n" for line in (*cuts, *brought, *left))


@verb(
    example="holdfast audit verify",
    shape='{"run": "...", "records": 0, "tape_rows": 0, "projected_rows": 0, '
    '"findings": [{"where": "...", "what": "...", "row": 1 | null}], "notes": []}',
)
@click.argument("run", required=False)
def audit_verify(frame: Frame, *, run: str | None, as_json: bool) -> int:
    """Check a run's database and tape: file, schema, chain of hashes, numbers, projections.

    Ends with 21 when anything is not as it was written; each fault is named with its row.
    """
    folder = find_run(frame, run)
    result = audit(journal_of(folder))
    if as_json:
        emit_json(
            {
                "run": run_label(folder),
                "records": result.records,
                "tape_rows": result.tape_rows,
                "projected_rows": result.projected_rows,
                "findings": result.findings,
                "notes": result.notes,
            }
        )
    else:
        emit("\n".join(_audited(run_label(folder), result)) + "\n")
    return ExitCode.CLEAN if result.is_clean else ExitCode.VERIFICATION_FAILED


def _verdict(first_difference: str | None, decisions: int) -> str:
    if first_difference is not None:
        return f"DIFFERENT: {first_difference}"
    return "every decision is identical" if decisions else "NOTHING was there to compare"


def _audited(label: str, result: AuditReport) -> list[str]:
    counted = (
        f"{grouped(result.records)} records, {grouped(result.tape_rows)} rows of tape,"
        f" {grouped(result.projected_rows)} projected rows"
    )
    lines = [f"{label}: {counted}"]
    lines += [f"note: {note}" for note in result.notes]
    lines += [
        f"DAMAGED {finding.where}{'' if finding.row is None else f' row {finding.row}'}:"
        f" {finding.what}"
        for finding in result.findings
    ]
    return [*lines, "as it was written" if result.is_clean else f"{len(result.findings)} faults"]
