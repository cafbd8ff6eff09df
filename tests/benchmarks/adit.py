"""ADIT itself as a contender: each run is a new job, worked on in a process of its own, as a worker would do it."""

import json
import os
import subprocess
import sys
from collections import Counter
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

from models.domain.jobs import Job, State
from models.domain.nodes import Server
from models.domain.requests import StudyWish
from tests.benchmarks.contenders import Contender
from tests.benchmarks.corpora import Corpus
from tests.benchmarks.rounds import Run, RunError
from tests.benchmarks.site import Site
from tests.installation import DICOMWEB, DIMSE_GET, Installation

REPOSITORY = Path(__file__).parents[2]
_RUN_TIMEOUT_S = 600
_STUDY_TIMEOUT_S = 1
_OURS = ("ADIT_", "PREFECT_", "PYTHONDONTWRITEBYTECODE")
"""Variables of this process that the worker must not see; one compiles its modules once, not in every run."""


class Adit:
    """An installation that knows the archives of a site."""

    def __init__(self, site: Site, prefect_environment: Mapping[str, str]) -> None:
        self._directory = site.directory / "adit"
        self._installation = Installation(self._directory)
        self._prefect_environment = prefect_environment
        add = self._installation.server
        self._source = add(site.source, **DIMSE_GET)
        self._web_source = add(
            site.source,
            f"{site.source.ae_title}_WEB",
            ae_title=f"{site.source.ae_title}_WEB",
            study_root_find_support=True,
            **DICOMWEB,
        )
        self._destination = add(site.destination, **DIMSE_GET)
        self._last: Job | None = None

    @property
    def queue_mb(self) -> float:
        """How many megabytes of instances a worker may hold between the two archives."""
        return self._installation.settings.stream_mb

    @property
    def database(self) -> Path:
        """The file of its SQLite database."""
        return self._installation.settings.data_dir / "adit.db"

    def ended_at(self) -> list[datetime]:
        """When the items of the last job ended."""
        items = self._installation.items(self._last) if self._last else []
        return [item.ended_at for item in items if item.ended_at]

    def transfer(self, corpus: Corpus, contender: Contender, settings: Mapping[str, str] | None = None) -> Run:
        """Submit a job for the corpus and have it done; raises RunError unless every item is a proven success."""
        source = self._web_source if contender is Contender.ENGINE_WADO else self._source
        self._last = job = self._submit(source, corpus)
        way = "prefect" if contender is Contender.ADIT else "plain"
        answer = self._work_on(job, way, settings or {}, _RUN_TIMEOUT_S + _STUDY_TIMEOUT_S * len(corpus.studies))
        self._check(job)
        return Run(answer["wall_s"], answer["cpu_s"], peak_rss_mb=answer["peak_rss_mb"])

    def _submit(self, source: Server, corpus: Corpus) -> Job:
        pseudonyms = {patient: f"BENCH-{n}" for n, patient in enumerate({s.patient_id for s in corpus.studies})}
        wishes = [
            StudyWish(study.study_uid, study.patient_id, pseudonym=pseudonyms[study.patient_id])
            for study in corpus.studies
        ]
        return self._installation.submit(source, self._destination, wishes)

    def _work_on(self, job: Job, way: str, settings: Mapping[str, str], timeout_s: float) -> dict[str, Any]:
        command = [sys.executable, "-m", "tests.benchmarks.run_job", way, str(job.id)]
        try:
            done = subprocess.run(
                command,
                cwd=self._directory,
                env={**self._environment(), **settings},
                capture_output=True,
                timeout=timeout_s,
            )
        except subprocess.TimeoutExpired as exc:
            raise RunError(f"no end after {timeout_s:.0f} s") from exc
        if done.returncode:
            raise RunError(f"run_job ended with {done.returncode}: {done.stderr.decode(errors='replace')[-400:]}")
        return json.loads(done.stdout.splitlines()[-1])

    def _environment(self) -> dict[str, str]:
        settings = self._installation.settings
        inherited = {name: value for name, value in os.environ.items() if not name.startswith(_OURS)}
        return {
            **inherited,
            **self._prefect_environment,
            "PYTHONPYCACHEPREFIX": str(self._directory / "bytecode"),
            "PYTHONPATH": str(REPOSITORY),
            "ADIT_DATA_DIR": str(settings.data_dir),
            "ADIT_MASTER_KEY": settings.master_key.get_secret_value(),
            "ADIT_SPOOL_RESERVE_MB": str(settings.spool_reserve_mb),
            "ADIT_RETRY_WAIT_S": str(settings.retry_wait_s),
        }

    def _check(self, job: Job) -> None:
        items = self._installation.items(job)
        states = Counter(item.state.value for item in items)
        again = sum(item.attempts > 1 for item in items)
        if set(states) != {State.SUCCESS.value} or again:
            raise RunError(f"items: {dict(states)}, {again} of them repeated; {items[0].message}")
