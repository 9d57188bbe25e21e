"""What came of it: progress, tables, JSON, pictures, and numbers as people read them."""

import argparse
import datetime
import json
import os
import platform
import statistics
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

Result = dict[str, Any]
"""What one measurement gave, ready for JSON."""


def parser(description: str | None) -> argparse.ArgumentParser:
    """A command line with what all benchmarks have; the first options are its own."""
    made = argparse.ArgumentParser(
        description=(description or "").strip(),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    made.add_argument("--json", type=Path, metavar="FILE", help="write every result to FILE")
    return made


def add_plot(options: argparse.ArgumentParser) -> None:
    """Let it draw, too."""
    options.add_argument("--plot", type=Path, metavar="FILE", help="draw a picture (PNG) to FILE")


def progress(text: str) -> None:
    """Tell whoever waits."""
    print(text, file=sys.stderr, flush=True)


def median(values: Iterable[float | None]) -> float | None:
    """The median of what there is; None if there is nothing."""
    there = [value for value in values if value is not None]
    return statistics.median(there) if there else None


def medians(results: Sequence[Result]) -> Result:
    """The medians of several measurements of one thing, field by field, nested ones too."""
    found: Result = {}
    for key, first in results[0].items():
        values = [result[key] for result in results]
        if isinstance(first, dict):
            found[key] = medians(values)
        elif isinstance(first, int | float) and not isinstance(first, bool):
            found[key] = median(values)
        else:
            found[key] = first
    return found


def in_groups(results: Iterable[Result], *keys: str) -> dict[tuple[Any, ...], list[Result]]:
    """Results by their values of these keys, in the order of appearance."""
    groups: dict[tuple[Any, ...], list[Result]] = {}
    for result in results:
        groups.setdefault(tuple(result[key] for key in keys), []).append(result)
    return groups


def grouped(results: Iterable[Result], *keys: str) -> dict[tuple[Any, ...], Result]:
    """The medians of results by their values of these keys, in the order of appearance."""
    groups = in_groups(results, *keys)
    return {group: medians(members) for group, members in groups.items()}


# --- for people


def count(value: float | None) -> str:
    """``131k``, ``5.9M``: three digits say enough."""
    if value is None:
        return "-"
    for limit, factor, unit in ((1e6, 1e6, "M"), (1e4, 1e3, "k")):
        if value >= limit:
            return f"{value / factor:.3g}{unit}" if value < factor * 1e3 else f"{value:.3g}"
    return f"{value:.0f}" if value >= 100 else f"{value:.3g}"


def milliseconds(seconds: float | None) -> str:
    """With as many digits as mean something."""
    if seconds is None:
        return "-"
    value = seconds * 1e3
    return f"{value:.0f}" if value >= 100 else f"{value:.3g}"


def octets(value: float | None) -> str:
    """Bytes, kilobytes, megabytes; of 1000."""
    if value is None:
        return "-"
    for factor, unit in ((1e9, "GB"), (1e6, "MB"), (1e3, "kB")):
        if abs(value) >= factor:
            return f"{value / factor:.3g} {unit}"
    return f"{value:.0f} B"


def print_table(titles: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    """Columns as wide as they need to be: the first to the left, the others to the right."""
    lines = [titles, *rows]
    widths = [max(len(line[column]) for line in lines) for column in range(len(titles))]
    for line in lines:
        cells = [f"{cell:>{width}}" for cell, width in zip(line[1:], widths[1:], strict=True)]
        print("  ".join([f"{line[0]:{widths[0]}}", *cells]).rstrip())
    sys.stdout.flush()


# --- for programs


def write_json(options: argparse.Namespace, results: Sequence[Result]) -> None:
    """Every result, the settings and the machine, if FILE was given."""
    if not options.json:
        return
    document = {"machine": machine(), "settings": vars(options), "results": list(results)}
    options.json.write_text(json.dumps(document, indent=1, default=str) + "\n")
    progress(f"wrote {options.json}")


def machine() -> Result:
    """What the figures depend on."""
    return {
        "date": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "processors": os.cpu_count(),
        "load_before": os.getloadavg()[1],
        "system": platform.platform(),
        "python": platform.python_version(),
    }


def without_waits(results: Iterable[Result]) -> list[Result]:
    """The same, with percentiles instead of every single latency."""
    return [{key: each for key, each in found.items() if key != "waits"} for found in results]


# --- pictures


def plotting(options: argparse.Namespace) -> Any:
    """The module that draws; None if no picture was asked for. Ends if there is no such module."""
    if not options.plot:
        return None
    try:
        import matplotlib as drawing  # noqa: PLC0415 - only who wants pictures needs it
    except ImportError:
        sys.exit("--plot needs matplotlib, which is not installed: pip install matplotlib")
    drawing.use("Agg")
    from matplotlib import pyplot  # noqa: PLC0415 - only after the choice of what draws

    return pyplot


def save(figure: Any, path: Path) -> None:
    """Write a picture."""
    figure.tight_layout()
    figure.savefig(path, dpi=120)
    progress(f"drew {path}")
