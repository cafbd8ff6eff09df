"""The benchmark's own sums: a wrong median or a mislaid ratio would make every figure a lie."""

import random
from collections import Counter
from pathlib import Path

import pytest

from deployments.demo import studies
from tests.benchmarks import header_corpora, memory
from tests.benchmarks.contenders import Contender
from tests.benchmarks.corpora import by_study
from tests.benchmarks.options import PARTS, parse
from tests.benchmarks.rounds import Record, Run, RunError, Summary, play, summaries, summary
from tests.benchmarks.tables import transfer_table, work_table
from tests.benchmarks.targets import at_most, faster, prefect_share, transfer_verdicts, verdict_table


def a_summary(wall_s: float, cpu_s: float | None = None, peak_rss_mb: float | None = None) -> Summary:
    return Summary(wall_s, wall_s, wall_s, cpu_s, None, None, peak_rss_mb, None, 1)


def played(names: str, rounds: int, seed: int = 1, wall_s: float = 1.0) -> list[str]:
    """The order in which competitors of these one-letter names were called."""
    called: list[str] = []

    def competitor(name: str) -> Run:
        called.append(name)
        return Run(wall_s)

    play({name: lambda name=name: competitor(name) for name in names}, rounds, random.Random(seed))
    return called


def test_every_round_has_every_competitor_once() -> None:
    called = played("abcd", rounds=6)
    assert [Counter(called[n : n + 4]) for n in range(0, 24, 4)] == [Counter("abcd")] * 6


def test_the_order_differs_between_rounds_and_is_the_same_for_the_same_seed() -> None:
    called = played("abcd", rounds=6)
    assert len({"".join(called[n : n + 4]) for n in range(0, 24, 4)}) > 1
    assert played("abcd", rounds=6) == called


def test_a_slow_competitor_runs_in_the_first_two_rounds_only() -> None:
    records = play({"slow": lambda: Run(20), "quick": lambda: Run(1)}, 5, random.Random(1), slow_s=15)
    assert {name: len(record.runs) for name, record in records.items()} == {"slow": 2, "quick": 5}


def test_a_failed_run_counts_for_nothing_and_stops_nobody() -> None:
    attempts = iter([RunError("7 of 9 instances arrived"), Run(3), Run(5)])

    def shaky() -> Run:
        result = next(attempts)
        if isinstance(result, Exception):
            raise result
        return result

    records = play({"shaky": shaky, "steady": lambda: Run(1)}, 3, random.Random(1))
    assert [run.wall_s for run in records["shaky"].runs] == [3, 5]
    assert records["shaky"].failures == ["7 of 9 instances arrived"]
    assert len(records["steady"].runs) == 3


def test_other_errors_are_not_taken_for_a_failed_run() -> None:
    def broken() -> Run:
        raise KeyError("bug")

    with pytest.raises(KeyError):
        play({"broken": broken}, 1, random.Random(1))


def test_a_summary_has_medians_and_extremes() -> None:
    found = summary(Record([Run(5, 1.0), Run(2, 3.0), Run(9, 2.0)]))
    assert found is not None
    assert (found.wall_s, found.wall_min_s, found.wall_max_s, found.cpu_s, found.runs) == (5, 2, 9, 2.0, 3)


def test_the_median_of_two_runs_lies_between_them() -> None:
    found = summary(Record([Run(2), Run(4)]))
    assert found is not None
    assert found.wall_s == 3


def test_a_value_that_nobody_measured_stays_unknown() -> None:
    found = summary(Record([Run(2), Run(4, cpu_s=1.5)]))
    assert found is not None
    assert (found.cpu_s, found.peak_rss_mb) == (1.5, None)


def test_a_competitor_that_always_failed_has_no_summary() -> None:
    records = {"a": Record([], ["gone"]), "b": Record([Run(1)])}
    assert list(summaries(records)) == ["b"]


def test_a_transfer_table_compares_with_its_base() -> None:
    table = transfer_table({"us": a_summary(2, 0.5, 90), "them": a_summary(20)}, "us", instances=400, megabytes=200)
    us, them = table.splitlines()[2:]
    assert us == "| us | 2.00 (2.00-2.00) | 1.00 | 200 | 100 | 0.50 | - | - | 90 | - | 1 |"
    assert them == "| them | 20.00 (20.00-20.00) | 10.00 | 20 | 10 | - | - | - | - | - | 1 |"


def test_a_table_without_its_base_has_no_ratios() -> None:
    table = work_table({"them": a_summary(20, 4)}, "us", things=1000, what="studies")
    assert table.splitlines()[2] == "| them | 20.00 (20.00-20.00) | - | 50 | 4.00 | 1 |"


def test_faster_means_the_others_time_over_ours() -> None:
    assert faster("t", 10, ours_s=2, theirs_s=20).is_met is True
    assert faster("t", 10, ours_s=2, theirs_s=19).is_met is False
    assert faster("t", 10, ours_s=2, theirs_s=None).is_met is None


def test_a_limit_is_kept_up_to_its_value() -> None:
    assert at_most("t", 2, 2.0, "ms").is_met is True
    assert at_most("t", 2, 2.1, "ms").is_met is False
    assert at_most("t", 2, None, "ms").is_met is None


def test_prefects_share_is_what_the_engine_does_not_need() -> None:
    assert prefect_share({Contender.ADIT: a_summary(4), Contender.ENGINE: a_summary(3)}) == 0.25
    assert prefect_share({Contender.ADIT: a_summary(4)}) is None


def the_verdicts(without_nagle: bool) -> list[bool | None]:
    results = {
        Contender.ADIT: a_summary(2, cpu_s=1.5, peak_rss_mb=200),
        Contender.ENGINE: a_summary(1.5, cpu_s=0.6, peak_rss_mb=150),
        Contender.DCMTK: a_summary(41),
        Contender.DCMTK_NODELAY: a_summary(23),
        Contender.ORTHANC: a_summary(21),
    }
    verdicts = transfer_verdicts("CT", results, instances=400, queue_mb=64, without_nagle=without_nagle)
    return [verdict.is_met for verdict in verdicts]


def test_stock_archives_are_judged_by_the_ratios_for_stock_archives() -> None:
    assert the_verdicts(without_nagle=False) == [True, False, True, True, True]


def test_archives_without_nagle_are_judged_by_their_own_ratios() -> None:
    assert the_verdicts(without_nagle=True) == [True, True, True, True]


def test_what_was_not_measured_is_never_called_met() -> None:
    verdicts = transfer_verdicts("CT", {}, instances=400, queue_mb=64, without_nagle=False)
    assert {verdict.is_met for verdict in verdicts} == {None}
    assert "| met |" not in verdict_table(verdicts)


def test_a_missed_target_is_called_missed() -> None:
    assert "MISSED" in verdict_table([faster("t", 10, 2, 4)])


def test_everything_is_measured_when_nothing_is_chosen() -> None:
    options = parse([])
    assert (options.corpora, options.parts, options.rounds) == (("ct", "mr"), frozenset(PARTS), 3)


def test_chosen_contenders_come_in_the_order_of_the_tables() -> None:
    assert parse(["--only", "orthanc,adit"]).contenders == [Contender.ADIT, Contender.ORTHANC]


@pytest.mark.parametrize("arguments", [["--only", "adit,magic"], ["--corpus", "us"], ["--rounds", "0"]])
def test_a_wrong_argument_ends_with_a_message(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        parse(arguments)
    assert "error" in capsys.readouterr().err


def test_what_is_remembered_is_counted_for_each_element_once(tmp_path: Path) -> None:
    """Three instances of one series: the first teaches a template, which the others need nearly nothing else than."""
    files = studies.write_ct(tmp_path, instances=(3,), rows=8, columns=8).files
    alone, together = memory.counted([[file] for file in files]), memory.counted([files])
    assert alone.instances == together.instances == 3
    assert alone.elements == together.elements
    assert alone.unchanged == alone.remembered == 0
    assert 0.5 < together.unchanged / together.elements < 2 / 3
    assert together.fresh < alone.fresh / 2


def test_varied_headers_share_no_value_that_could_be_remembered(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(header_corpora, "VARIED", 4)
    counts = memory.counted([header_corpora.varied(tmp_path)])
    assert counts.instances == 4
    assert counts.unchanged == 0
    assert counts.remembered < counts.fresh / 20


def test_files_are_told_apart_by_their_studies(tmp_path: Path) -> None:
    one = studies.write_ct(tmp_path / "one", 1, 1, (1, 1), 8, 8).files
    other = studies.write_ct(tmp_path / "other", 2, 2, (1,), 8, 8).files
    assert by_study([one[0], *other, one[1]]) == [one, other]
