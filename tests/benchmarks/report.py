"""Collects what a benchmark has measured: prints it as Markdown, and keeps every single run as JSON."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path

from tests.benchmarks.rounds import Name, Record, as_json
from tests.benchmarks.targets import Verdict, verdict_table


@dataclass
class Report:
    """What is known so far."""

    machine: Mapping[str, str]
    runs: dict[str, dict[str, object]] = field(default_factory=dict)
    shares: dict[str, float] = field(default_factory=dict)
    verdicts: list[Verdict] = field(default_factory=list)

    def add(self, title: str, records: Mapping[Name, Record], table: str) -> None:
        """Keep the runs of one section and print its table, with the failures below it."""
        self.runs[title] = as_json(records)
        print(f"\n## {title}\n\n{table}\n", flush=True)
        for name, record in records.items():
            for failure in record.failures:
                print(f"- {name} failed once and that run does not count: {failure}", flush=True)

    def add_batches(self, title: str, records: Mapping[str, object], table: str) -> None:
        """Keep the runs of batches and print their table."""
        self.runs[title] = dict(records)
        print(f"\n## {title}\n\n{table}\n", flush=True)

    def add_share(self, corpus: str, share: float | None) -> None:
        """Keep the part of the wall time that is Prefect's (0 to 1)."""
        if share is not None:
            self.shares[corpus] = share
            print(f"Prefect's share of the flow's wall time, {corpus}: {share:.0%}", flush=True)

    def finish(self, out: Path | None) -> None:
        """Print the targets, and write everything to a file when one is named."""
        print(f"\n## Targets\n\n{verdict_table(self.verdicts)}", flush=True)
        if out is not None:
            content = {
                "machine": dict(self.machine),
                "runs": self.runs,
                "prefect_share": self.shares,
                "targets": [asdict(verdict) for verdict in self.verdicts],
            }
            out.write_text(json.dumps(content, indent=1) + "\n")
