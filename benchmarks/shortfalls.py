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
        "Of what a look at EcoTaxa's listing of 1,000 jobs takes, 0.8 ms are skimming its rows by "
        "msgspec, 0.6 comparing them with what was sighted before, and 0.3 the sightings of the "
        "hundred that changed. A plain parse by msgspec takes 2.7 ms."
    ),
    "import": (
        "By profile, 45 % of what a first client adds to its dependencies is the making of 46 "
        "attrs classes, whose methods are written and compiled at that moment; the rest is "
        "finding, loading and running 87 modules: a third for the polling, a third for the caller "
        "with transport and transfers, and a third for the service's models and API class."
    ),
    "loop": (
        "What is beyond the mark by the clock and not by the processor's time (`own cpu`, in "
        "`RESULTS.jsonl`) went to other processes of the machine."
    ),
    "scale": (
        "Where a request answers for 100 jobs, a job and round takes some ten calls in Python and "
        "the bare loop has three. By profile, 40 % are planning the next look (a gap by the age, "
        "its jitter, the heap), 24 % choosing who is looked at together, 16 % taking in and "
        "noting, and the rest slices, tasks and the event loop, which weighs most where only "
        "1,000 jobs are followed. Where one answers for all there is no heap, and it is below the "
        "bare loop from 10,000 jobs on."
    ),
    "transfer": (
        "`down/save` writes to disk in a thread, and what the kernel takes for that varies "
        "sevenfold from run to run here (0.26 to 1.9 s for 512 MiB). So do the ratios of "
        "neighbours in time: their medians were .78, .90, .92 and .98 in four runs. The other "
        "three ways kept their mark in all of them."
    ),
    "wait": (
        "On EcoTaxa 30 % of our time goes into the listing (skimming and sighting its rows, and "
        "the full snapshots of what has ended), 30 % into taking in what was seen, a tenth into "
        "fitting the law of durations, and most of the rest into beginning and ending the waits, "
        "once for each job. The server moves the progress of each job by single percents, so that "
        "most rows have been written to since the look before. azure-core asks each of 10,000 "
        "jobs once or twice and is 20 s late, so a fiftieth of its requests is less than what it "
        "takes to be a second late."
    ),
}
"""Figures of Python 3.12 on a machine of two cores."""
