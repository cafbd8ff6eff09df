"""Writes what was measured as Markdown tables."""

from collections.abc import Mapping, Sequence

from tests.benchmarks.rounds import Summary


def markdown(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A table with one line per row."""
    lines = [heads, ["---"] * len(heads), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def transfer_table(results: Mapping[str, Summary], base: str, instances: int, megabytes: float) -> str:
    """Whole transfers; ``base`` is the row whose wall time the others are compared with."""
    heads = [
        "",
        "wall s (min-max)",
        f"times the wall of {base}",
        "instances/s",
        "MB/s",
        "client CPU s",
        "A CPU s",
        "B CPU s",
        "peak RSS MB",
        "cores busy elsewhere",
        "runs",
    ]
    reference = results[base].wall_s if base in results else None
    return markdown(
        heads, [_transfer_row(name, item, reference, instances, megabytes) for name, item in results.items()]
    )


def work_table(results: Mapping[str, Summary], base: str, things: int, what: str) -> str:
    """Work that involves one process and ``things`` pieces; ``base`` as for ``transfer_table``."""
    heads = ["", "wall s (min-max)", f"times the wall of {base}", f"{what}/s", "CPU ms each", "runs"]
    reference = results[base].wall_s if base in results else None
    rows = [
        [
            name,
            spread(item),
            _ratio(item.wall_s, reference),
            f"{things / item.wall_s:.0f}",
            number(None if item.cpu_s is None else item.cpu_s / things * 1000),
            str(item.runs),
        ]
        for name, item in results.items()
    ]
    return markdown(heads, rows)


def spread(item: Summary) -> str:
    """Median and extremes of the wall time."""
    return f"{item.wall_s:.2f} ({item.wall_min_s:.2f}-{item.wall_max_s:.2f})"


def number(value: float | None, digits: int = 2) -> str:
    """A figure, or a dash where there is none."""
    return "-" if value is None else f"{value:.{digits}f}"


def _ratio(wall_s: float, reference_s: float | None) -> str:
    return number(None if reference_s is None else wall_s / reference_s)


def _transfer_row(name: str, item: Summary, reference_s: float | None, instances: int, megabytes: float) -> list[str]:
    return [
        name,
        spread(item),
        _ratio(item.wall_s, reference_s),
        f"{instances / item.wall_s:.0f}",
        f"{megabytes / item.wall_s:.0f}",
        number(item.cpu_s),
        number(item.source_cpu_s),
        number(item.destination_cpu_s),
        number(item.peak_rss_mb, 0),
        number(item.other_cores, 1),
        str(item.runs),
    ]
