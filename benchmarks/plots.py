"""Pictures of what the benchmarks have found: ``python -m benchmarks plots``.

They are drawn from the numbers that ``python -m benchmarks all`` has left in a file, and none is
measured again. Takes the extra ``plots``.

- ``delay.svg``: the mean delay of detection against the status requests for each job, by policy and
  workload, from ``detection``; with the least delay that there can be as a curve.
- ``jobs.svg``: processor time and memory against the number of jobs, from ``scale`` and ``memory``.
- ``wait.svg``: processor time and requests for jobs awaited over sockets, from ``wait``.
"""

from __future__ import annotations

import argparse
import json
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping
from importlib import import_module
from pathlib import Path
from typing import Any, Final, cast

from benchmarks.everything import ROWS
from benchmarks.optimum import best_delay
from benchmarks.peers import without
from benchmarks.report import Note
from benchmarks.workloads import LAWS

__all__ = ["Numbers", "add_options", "draw", "numbers"]

FOLDER: Final = Path(__file__).parent / "plots"
GREY: Final = "#7d8590"
"""Can be read on white and on black, as the pictures themselves have no ground."""
STYLE: Final[dict[str, Any]] = {
    **dict.fromkeys(
        (
            *("text.color", "axes.edgecolor", "axes.labelcolor", "axes.titlecolor"),
            *("xtick.color", "ytick.color", "grid.color", "legend.labelcolor"),
        ),
        GREY,
    ),
    "axes.facecolor": "none",
    "axes.grid": True,
    "axes.spines.right": False,
    "axes.spines.top": False,
    "axes.titlesize": 10,
    "figure.facecolor": "none",
    "font.size": 9,
    "grid.alpha": 0.25,
    "legend.frameon": False,
    "lines.markersize": 4,
    "svg.fonttype": "none",
    "svg.hashsalt": "jobkit_async",
}
POINTS: Final = {"linestyle": ""}
LOOKS: Final[Mapping[str, dict[str, Any]]] = {
    "optimum": {"color": GREY, "linestyle": ":", "marker": ""},
    "learned30": {"color": "#3b82f6", "marker": "o", "label": "ours, 30 jobs ended"},
    "learned10": {"color": "#22a06b", "marker": "o", "label": "ours, 10 ended"},
    "cold": {"color": "#a371f7", "marker": "o", "label": "ours, none ended"},
    "fixed10": {**POINTS, "color": "#e5734a", "marker": "s", "label": "every 10 s"},
    "fixed30": {**POINTS, "color": "#e5734a", "marker": "D", "label": "every 30 s"},
    "grow20": {**POINTS, "color": "#d4a017", "marker": "^", "label": "x 1.5 to 20 s"},
    "double60": {**POINTS, "color": "#d4a017", "marker": "v", "label": "x 2 to 60 s"},
    "quadratic": {**POINTS, "color": "#d4a017", "marker": "x", "label": "after 1, 4, 9, 16 s ..."},
    "ours": {"color": "#3b82f6", "marker": "o"},
    "paced": {"color": "#22a06b", "marker": "o", "label": "ours, as late as gather"},
    "bare": {"color": GREY, "marker": "s", "label": "a bare heap and dict"},
    "one": {"color": "#3b82f6", "label": "one request for all jobs"},
    "chunks": {"color": "#22a06b", "label": "100 jobs to a request"},
    "gather": {"color": "#e5734a", "marker": "s", "label": "gather by hand"},
    "azure": {"color": "#d4a017", "marker": "^", "label": "azure-core"},
}
"""How a policy or a contender is drawn."""

Numbers = Mapping[tuple[str, str], float]
"""Values by case and metric."""
Series = dict[str, dict[float, float]]
"""Points of each line."""


def add_options(parser: argparse.ArgumentParser) -> None:
    """The options of drawing."""
    parser.add_argument(
        "--rows", type=Path, default=ROWS, help="the numbers, as lines of JSON like those of all"
    )
    parser.add_argument("--folder", type=Path, default=FOLDER, help="where to put the pictures")


def draw(options: argparse.Namespace) -> Iterator[Path | Note]:
    """Draw all pictures for which there are numbers.

    Yields:
        What was written, and notes on what was left out.
    """
    missing = without("matplotlib")
    if missing is not None:
        yield Note(case="plots", text="nothing is drawn without matplotlib, of the extra plots")
        return
    pyplot: Any = import_module("matplotlib.pyplot")
    import_module("matplotlib").use("svg")
    found = numbers(options.rows.read_text(encoding="utf-8").splitlines())
    options.folder.mkdir(parents=True, exist_ok=True)
    for name, picture in PICTURES.items():
        with pyplot.rc_context(STYLE):
            figure = picture(pyplot, found)
            if figure is None:
                yield Note(case=name, text=f"left out, as {options.rows} has no numbers for it")
                continue
            path = options.folder / f"{name}.svg"
            figure.savefig(path, bbox_inches="tight", metadata={"Date": None})
            pyplot.close(figure)
            yield path


def numbers(lines: Iterable[str]) -> Numbers:
    """What stands in lines of JSON."""
    rows = [json.loads(line) for line in lines]
    return {(row["case"], row["metric"]): row["value"] for row in rows}


# -- the pictures


def _delay(pyplot: Any, found: Numbers) -> Any:
    series: dict[str, Series] = defaultdict(lambda: defaultdict(dict))
    for (case, metric), value in found.items():
        match case.split("/"):
            case ["detection", workload, policy, _] if metric == "R" and workload in LAWS:
                series[workload][policy][value] = found[case, "D"]
            case _:
                pass
    if not series:
        return None
    figure, axes = _panels(pyplot, 2, 2, 3.2)
    for axis, workload in zip(axes.flat, LAWS, strict=True):
        if workload not in series:
            axis.set_axis_off()
            continue
        policies = series[workload]
        requests = [each for points in policies.values() for each in points]
        grid = _spaced(max(1.5, min(requests)), max(requests))
        policies["optimum"] = {each: best_delay(workload, each) for each in grid}
        _lines(axis, policies)
        axis.set(title=f"{workload}: {TITLES[workload]}")
        axis.set(xlabel="status requests per job", ylabel="mean delay, s")
        _logarithmic(axis, "x", "y")
    _legend(figure, axes.flat)
    return figure


TITLES: Final = {
    "A": "log-normal, median 60 s, sigma 1",
    "B": "log-normal, median 600 s, sigma 0.5",
    "C": "log-uniform, 1 s to 1 h",
    "D": "half 5 s, half 300 s",
}


def _jobs(pyplot: Any, found: Numbers) -> Any:
    cpu: Series = defaultdict(dict)
    memory: Series = defaultdict(dict)
    for (case, metric), value in found.items():
        match case.split("/"), metric:
            case ["scale", jobs, who], "cpu":
                cpu[who][float(jobs)] = value
            case ["memory", "all", way, jobs], "bytes":
                memory[way][float(jobs)] = value * float(jobs) / (1 << 20)
            case _:
                pass
    if not cpu and not memory:
        return None
    figure, axes = _panels(pyplot, 1, 2, 3.2)
    left, right = axes.flat
    _lines(left, cpu)
    left.set(title="processor time for a job and round, µs", xlabel="jobs awaited")
    left.set_ylim(bottom=0.0)
    _logarithmic(left, "x")
    _lines(right, memory)
    right.set(title="memory, MiB", xlabel="jobs awaited")
    _logarithmic(right, "x", "y")
    for axis, series in ((left, cpu), (right, memory)):
        if series:
            axis.legend()
        else:
            axis.set_axis_off()
    return figure


def _wait(pyplot: Any, found: Numbers) -> Any:
    panels: dict[tuple[str, str], Series] = defaultdict(lambda: defaultdict(dict))
    for (case, metric), value in found.items():
        match case.split("/"):
            case ["wait", service, jobs, who] if metric in ("cpu", "requests", "delay"):
                panels[metric, service][who][float(jobs)] = value
            case _:
                pass
    if not panels:
        return None
    services = sorted({service for _, service in panels})
    figure, axes = _panels(pyplot, len(services), 3, 2.6)
    titles = {"cpu": "µs of processor per job", "requests": "requests per job", "delay": "delay, s"}
    for row, service in zip(axes, services, strict=True):
        for axis, (metric, title) in zip(row, titles.items(), strict=True):
            _lines(axis, panels[metric, service])
            axis.set(title=f"{service}: {title}", xlabel="jobs awaited")
            _logarithmic(axis, "x", "y")
    _legend(figure, axes.flat)
    return figure


PICTURES: Final[Mapping[str, Callable[[Any, Numbers], Any]]] = {
    "delay": _delay,
    "jobs": _jobs,
    "wait": _wait,
}


def _panels(pyplot: Any, rows: int, columns: int, height: float) -> tuple[Any, Any]:
    """A figure, and its axes as an array of rows; with the height of one in inches."""
    size = (8.0, height * rows)
    return cast(
        "tuple[Any, Any]",
        pyplot.subplots(rows, columns, figsize=size, layout="constrained", squeeze=False),
    )


def _logarithmic(panel: Any, *directions: str) -> None:
    """Scales with plain numbers; those between the powers of ten where there is room for them."""
    ticker: Any = import_module("matplotlib.ticker")
    for direction in directions:
        panel.set(**{f"{direction}scale": "log"})
        axis = getattr(panel, f"{direction}axis")
        low, high = axis.get_view_interval()
        axis.set_major_locator(ticker.LogLocator(subs=(1, 2, 5) if high < 50.0 * low else (1,)))
        axis.set_major_formatter(ticker.FuncFormatter(_plain))
        axis.set_minor_locator(ticker.NullLocator())


def _plain(value: float, _: int) -> str:
    return f"{value:,.12g}"


def _lines(axis: Any, series: Series) -> None:
    for name in sorted(series, key=lambda name: ([*LOOKS, name].index(name), name)):
        points = sorted(series[name].items())
        look = {"label": name, "marker": "o", **LOOKS.get(name, {})}
        axis.plot([x for x, _ in points], [y for _, y in points], **look)


def _legend(figure: Any, axes: Iterable[Any]) -> None:
    """One legend for all panels, below them."""
    shown: dict[str, Any] = {}
    for axis in axes:
        for handle, label in zip(*axis.get_legend_handles_labels(), strict=True):
            shown.setdefault(label, handle)
    figure.legend(shown.values(), shown.keys(), loc="outside lower center", ncols=5)


def _spaced(low: float, high: float, count: int = 60) -> list[float]:
    """Numbers at the same ratio to each other."""
    step = (high / low) ** (1.0 / (count - 1))
    return [low * step**place for place in range(count)]
