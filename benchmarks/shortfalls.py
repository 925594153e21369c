"""What profiles say of marks that are not met, by benchmark; for the page of the results."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

__all__ = ["SHORTFALLS"]

SHORTFALLS: Final[Mapping[str, str]] = {
    "call": (
        "Of 217 us for a `get_job` of bsub.io, one at a time, 130 are aiohttp with our options "
        "(plain aiohttp takes 131), 41 the transport (the turn, the time of a call, what is "
        "told to hooks and log, the reply), 7 credentials and repetitions, 9 decoding and 30 "
        "the handle with its record (least of 40 runs in one process, layer by layer). With "
        "everything in the processor's cache our part takes 34 us and not 87: between two "
        "system calls hardly anything stays there. Plain aiohttp alone takes 0.4 to 0.6 of what "
        "the official clients take one at a time."
    ),
    "decode": (
        "Of 2.4 ms for a look at EcoTaxa's listing of 1,000 jobs, 0.6 are cutting it into its "
        "rows, 0.8 skimming these, both by msgspec, 0.6 comparing them with what was sighted "
        "before, and 0.3 the sightings of the hundred that changed. A plain parse by msgspec "
        "takes 2.7 ms."
    ),
    "import": (
        "A third of what a first client adds to its dependencies is the polling, a third the "
        "caller with transport and transfers, the rest the service's models and API class. "
        "Nearly all of that is spent in making attrs classes, some 50 of them at 0.2 to 0.5 ms "
        "each; no module of ours does anything else when it is imported."
    ),
    "scale": (
        "Where a request answers for 100 jobs, a job and round takes about a dozen calls in "
        "Python and the bare loop has three. By profile, 42 % are planning the next look (a gap "
        "by the age, its jitter, the heap), 25 % choosing who is looked at together, 16 % "
        "taking in and noting, and the rest slices, tasks and the event loop, which weighs most "
        "where only 1,000 jobs are followed. Where one answers for all there is no heap, and it "
        "is below the bare loop from 10,000 jobs on."
    ),
    "wait": (
        "On EcoTaxa a third of the tracker's time goes into fitting the law of durations anew "
        "at nearly every look, and half of the rest into the listing: the server moves the "
        "progress of each job by single percents, so that most rows have been written to since "
        "the look before. On Leia the final snapshots weigh most, of which a page of the "
        "listing gives 100 and a single read one. azure-core asks each of 10,000 jobs once or "
        "twice and is 20 s late, so a fiftieth of its requests is less than what it takes to be "
        "a second late."
    ),
}
"""Figures of Python 3.12 on a machine of two cores."""
