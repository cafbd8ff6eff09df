"""The sections of the benchmark: each measures one thing and adds it to the report with its targets."""

import random
import sys
from collections.abc import Callable, Collection, Mapping
from pathlib import Path

from deployments.demo import studies
from tests.benchmarks import batch, corpora, header_corpora, headers, listing, memory, pages
from tests.benchmarks.adit import Adit
from tests.benchmarks.contenders import Contender
from tests.benchmarks.corpora import Corpus
from tests.benchmarks.options import GROWTH, Options
from tests.benchmarks.prefect_server import PrefectServer
from tests.benchmarks.report import Report
from tests.benchmarks.rivals import dcmtk_pipeline, orthanc_by_itself
from tests.benchmarks.rounds import Name, Record, Run, RunError, Summary, play, summaries
from tests.benchmarks.site import Site, running_site
from tests.benchmarks.tables import transfer_table, work_table
from tests.benchmarks.targets import (
    DEIDENTIFY_RATIO,
    FIND_RATIO,
    GROWTH_LIMIT,
    MULTIFRAME_RATIO,
    PAGES_RATIO,
    VARIED_RATIO,
    at_most,
    faster,
    prefect_share,
    transfer_verdicts,
)

_HEADER_FILES = 200


def measure_site(
    directory: Path, corpus: Corpus, prefect_environment: Mapping[str, str], options: Options, report: Report
) -> None:
    """Move one corpus from archive to archive in all the ways that were asked for."""
    with running_site(directory, corpus, options.without_nagle) as site:
        adit = Adit(site, prefect_environment)
        if options.contenders:
            _measure_transfers(site, adit, options, report)
        if GROWTH in options.parts and len(corpus.studies) > 1:
            _measure_growth(site, adit, report)


def measure_batches(directory: Path, server: PrefectServer, options: Options, report: Report) -> None:
    """Move batches of small studies: of each size, in each way, with so many items at a time as was asked for."""
    corpus = batch.make(directory / "corpus", max(options.items), options.instances)
    runs: list[batch.BatchRun] = []
    with running_site(directory, corpus, options.without_nagle) as site:
        adit = Adit(site, server.environment)
        for _ in range(options.rounds):
            for items in options.items:
                for lanes in options.lanes:
                    runs += _batch_runs(site, adit, server, items, lanes)
    report.add_batches(
        f"Batches of studies of {options.instances} instances", batch.as_records(runs), batch.table(runs)
    )


def _batch_runs(site: Site, adit: Adit, server: PrefectServer, items: int, lanes: int) -> list[batch.BatchRun]:
    found: list[batch.BatchRun] = []
    for way in batch.WAYS:
        try:
            found.append(batch.measured(site, adit, server, way, items, lanes))
        except RunError as failed:
            print(f"- {way.value}, {items} items: {failed}", flush=True)
        else:
            print(batch.table(found[-1:]).splitlines()[-1], file=sys.stderr, flush=True)
    return found


def measure_headers(directory: Path, corpus: Corpus, options: Options, report: Report) -> None:
    """De-identify the same files again and again, without any archive."""
    files = corpora.by_study(corpus.files[:_HEADER_FILES])
    _measure_files(directory, corpus.name, files, DEIDENTIFY_RATIO, options, report)


def measure_other_headers(directory: Path, options: Options, report: Report) -> None:
    """De-identify what is only there for it: compressed images, headers that share nothing, a multi-frame image."""
    treated = directory / "treated"
    compressed = header_corpora.compressed(directory / "compressed")
    _measure_files(treated, "CT-small in JPEG 2000", [compressed], DEIDENTIFY_RATIO, options, report)
    varied = [[file] for file in header_corpora.varied(directory / "varied")]
    name = "headers of which every value differs, each of another patient"
    _measure_files(treated, name, varied, VARIED_RATIO, options, report)
    own, held = headers.treatable(header_corpora.pydicoms_own(directory / "pydicom"), treated)
    name = f"pydicom's own test files, {len(held)} let pass by a person"
    _measure_files(treated, name, [[file] for file in own], VARIED_RATIO, options, report, held)
    multiframe = studies.write_enhanced(directory / "multiframe", frames=headers.FRAMES).files
    name = f"enhanced CT with {headers.FRAMES} frames"
    _measure_files(treated, name, [multiframe], MULTIFRAME_RATIO, options, report)


def _measure_files(
    directory: Path,
    name: str,
    files: headers.Studies,
    ratio: float,
    options: Options,
    report: Report,
    released: Collection[str] = (),
) -> None:
    """Judged by CPU time, because nothing is waited for."""
    records = _played(headers.contestants(files, directory, released), options)
    results = summaries(records)
    count = sum(map(len, files))
    table = work_table(results, headers.OURS, count, "instances")
    table += f"\n\n{memory.counted(files, released)}"
    report.add(f"De-identification alone, {count} files of {name}", records, table)
    ours_s, theirs_s = (results[each].cpu_s if each in results else None for each in (headers.OURS, headers.DICOGNITO))
    report.verdicts.append(
        faster(f"{name}: CPU of de-identification alone, against dicognito", ratio, ours_s, theirs_s)
    )


def measure_listing(directory: Path, options: Options, report: Report) -> None:
    """Ask an archive for thousands of studies."""
    with listing.archive_of_many(directory) as archive:
        records = _played(listing.contestants(archive), options)
    results = summaries(records)
    table = work_table(results, listing.OURS, listing.STUDIES, "studies")
    report.add(f"C-FIND of {listing.STUDIES} studies", records, table)
    ours_s, theirs_s = _wall_s(results, listing.OURS), _wall_s(results, listing.FINDSCU)
    times = ours_s / theirs_s if ours_s and theirs_s else None
    report.verdicts.append(at_most("C-FIND: our time against findscu's", FIND_RATIO, times, "times"))


def measure_pages(directory: Path, options: Options, report: Report) -> None:
    """Let twenty people reload the home page, and once more with pauses."""
    with pages.crowds(directory) as crowds:
        records = _played(pages.contestants(crowds), options)
        p95_ms = pages.p95_ms(crowds[pages.OURS])
    results = summaries(records)
    reloads = pages.PEOPLE * pages.VISITS
    report.add(f"{pages.PEOPLE} people reload pages", records, work_table(results, pages.OURS, reloads, "reloads"))
    print(f"With {pages.THINK_S:g} s between reloads all but one in twenty take at most {p95_ms:.0f} ms.", flush=True)
    ours_s, theirs_s = _wall_s(results, pages.OURS), _wall_s(results, pages.DEFAULTS)
    report.verdicts.append(faster("pages: without Streamlit's collections", PAGES_RATIO, ours_s, theirs_s))


def _measure_transfers(site: Site, adit: Adit, options: Options, report: Report) -> None:
    corpus = site.corpus
    records = _played({way: _way(way, site, adit) for way in options.contenders}, options)
    results = summaries(records)
    rows = {way.label: item for way, item in results.items()}
    table = transfer_table(rows, Contender.ADIT.label, corpus.instances, corpus.megabytes)
    kind = "archives without Nagle" if options.without_nagle else "stock archives"
    size = f"{len(corpus.studies)} studies, {corpus.instances} instances, {corpus.megabytes:.0f} MB"
    report.add(f"{corpus.name} ({size}), {kind}", records, table)
    report.add_share(corpus.name, prefect_share(results))
    report.verdicts += transfer_verdicts(corpus.name, results, corpus.instances, adit.queue_mb, options.without_nagle)


def _way(way: Contender, site: Site, adit: Adit) -> Callable[[], Run]:
    """One measured transfer by a contender."""
    match way:
        case Contender.DCMTK:
            return lambda: site.measured(lambda: dcmtk_pipeline(site, {}))
        case Contender.DCMTK_NODELAY:
            return lambda: site.measured(lambda: dcmtk_pipeline(site, {"TCP_NODELAY": "1"}))
        case Contender.ORTHANC:
            return lambda: site.measured(lambda: orthanc_by_itself(site))
        case _:
            return lambda: site.measured(lambda: adit.transfer(site.corpus, way))


def _measure_growth(site: Site, adit: Adit, report: Report) -> None:
    """Peak memory of the flow for one study and for all of them: it must not grow with the job."""
    target = f"{site.corpus.name}: peak RSS for {len(site.corpus.studies)} studies against one"
    try:
        one = adit.transfer(corpora.part(site.corpus, 1), Contender.ADIT)
        all_of_them = adit.transfer(site.corpus, Contender.ADIT)
    except RunError as failed:
        print(f"- {target} was not measured: {failed}", flush=True)
        return
    times = all_of_them.peak_rss_mb / one.peak_rss_mb if all_of_them.peak_rss_mb and one.peak_rss_mb else None
    report.verdicts.append(at_most(target, GROWTH_LIMIT, times, "times"))


def _played(contestants: Mapping[Name, Callable[[], Run]], options: Options) -> dict[Name, Record]:
    chance = random.Random(options.seed)
    return play(contestants, options.rounds, chance, say=lambda text: print(text, file=sys.stderr, flush=True))


def _wall_s(results: Mapping[str, Summary], name: str) -> float | None:
    return results[name].wall_s if name in results else None
