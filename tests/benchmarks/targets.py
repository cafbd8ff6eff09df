"""The speeds that we have promised ourselves, and whether a measurement keeps the promise."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from tests.benchmarks.contenders import Contender
from tests.benchmarks.rounds import Summary
from tests.benchmarks.tables import markdown

OWN_CPU_MS = 1.5
RSS_MB = 150.0
GROWTH_LIMIT = 1.15
"""Peak memory of the largest job, in parts of the peak memory of the smallest, that still passes as flat."""
DEIDENTIFY_RATIO = 10.0
VARIED_RATIO = 3.0
"""For headers that have nothing in common, so that nothing can be remembered."""
MULTIFRAME_RATIO = 1.0
FIND_RATIO = 3.0
PAGES_RATIO = 1.0

_WITH_NAGLE = {Contender.DCMTK: 20.0, Contender.DCMTK_NODELAY: 12.0, Contender.ORTHANC: 10.0}
_WITHOUT_NAGLE = {Contender.DCMTK_NODELAY: 1.8, Contender.ORTHANC: 2.0}
"""Between archives that do not stall, nobody loses 40 ms per instance, so here only the code itself counts."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """One target beside what was measured; ``is_met`` is None when nothing was measured."""

    target: str
    must: str
    measured: str
    is_met: bool | None


def faster(target: str, must: float, ours_s: float | None, theirs_s: float | None) -> Verdict:
    """Whether we are at least ``must`` times as fast as the other."""
    if ours_s is None or theirs_s is None:
        return Verdict(target, f">= {must:g}x", "not measured", None)
    ratio = theirs_s / ours_s
    return Verdict(target, f">= {must:g}x", f"{ratio:.1f}x", ratio >= must)


def at_most(target: str, limit: float, value: float | None, unit: str) -> Verdict:
    """Whether a value stays within its limit."""
    if value is None:
        return Verdict(target, f"<= {limit:g} {unit}", "not measured", None)
    return Verdict(target, f"<= {limit:g} {unit}", f"{value:.2f} {unit}", value <= limit)


def transfer_verdicts(
    corpus: str, results: Mapping[Contender, Summary], instances: int, queue_mb: float, without_nagle: bool
) -> list[Verdict]:
    """The targets of whole transfers of one corpus. What is judged is the flow through Prefect, as people use it."""
    ours = results.get(Contender.ADIT)
    kind = "peers without Nagle" if without_nagle else "stock peers"
    ratios = _WITHOUT_NAGLE if without_nagle else _WITH_NAGLE
    against = [
        faster(
            f"{corpus}, {kind}: against {rival.label}",
            must,
            ours.wall_s if ours else None,
            results[rival].wall_s if rival in results else None,
        )
        for rival, must in ratios.items()
    ]
    return [*against, *_resource_verdicts(corpus, results, instances, queue_mb)]


def _resource_verdicts(
    corpus: str, results: Mapping[Contender, Summary], instances: int, queue_mb: float
) -> list[Verdict]:
    """CPU is the engine's alone, since Prefect's is paid per study; memory is that of the whole process."""
    engine, ours = results.get(Contender.ENGINE), results.get(Contender.ADIT)
    cpu_s = engine.cpu_s if engine else None
    return [
        at_most(
            f"{corpus}: own CPU of the engine per instance",
            OWN_CPU_MS,
            None if cpu_s is None else cpu_s / instances * 1000,
            "ms",
        ),
        at_most(f"{corpus}: peak RSS of the flow", RSS_MB + 2 * queue_mb, ours.peak_rss_mb if ours else None, "MB"),
    ]


def prefect_share(results: Mapping[Contender, Summary]) -> float | None:
    """The part of the flow's wall time that is not the engine's (0 to 1), or None when one of both is missing.

    Noise can make it negative.
    """
    flow, engine = results.get(Contender.ADIT), results.get(Contender.ENGINE)
    return None if flow is None or engine is None else 1 - engine.wall_s / flow.wall_s


def verdict_table(verdicts: Sequence[Verdict]) -> str:
    """All targets as a table."""
    words = {True: "met", False: "MISSED", None: "-"}
    return markdown(
        ["target", "must", "measured", ""],
        [[verdict.target, verdict.must, verdict.measured, words[verdict.is_met]] for verdict in verdicts],
    )
