"""Pages: twenty people who reload at once, beside the same pages with Streamlit's own ways of collecting garbage."""

import os
import statistics
import threading
import time
from collections.abc import Callable, Generator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from unittest.mock import patch

from tests.benchmarks.rounds import Run, RunError
from tests.web import Browser, Web, web

OURS, DEFAULTS = "ADIT's pages", "with Streamlit's collections"
PEOPLE, VISITS, THINK_S = 20, 3, 2.0
_STREAMLITS_WAY = {"STREAMLIT_RUNNER_POST_SCRIPT_GC": "true"}
"""Its default: a full collection after every run, which costs the more the more modules are loaded."""


@dataclass(frozen=True, slots=True)
class Crowd:
    """People who have signed in at one web process."""

    site: Web
    browsers: Sequence[Browser]


@contextmanager
def crowds(directory: Path) -> Generator[dict[str, Crowd]]:
    """A web process with our settings, and one with Streamlit's; both are warm."""
    with ExitStack() as running:
        ours = running.enter_context(web(directory / "ours"))
        with patch.dict(os.environ, _STREAMLITS_WAY):
            theirs = running.enter_context(web(directory / "defaults"))
        found = {
            name: Crowd(site, [site.signed_in("bob") for _ in range(PEOPLE)])
            for name, site in ((OURS, ours), (DEFAULTS, theirs))
        }
        for crowd in found.values():
            _visit(crowd, 0)
        yield found


def contestants(found: dict[str, Crowd]) -> dict[str, Callable[[], Run]]:
    """Name -> every person reloads the home page a few times without a pause."""
    return {name: lambda crowd=crowd: _run(crowd) for name, crowd in found.items()}


def p95_ms(crowd: Crowd) -> float:
    """How long all but one in twenty reloads take at most when people look at the page between them."""
    return 1000 * statistics.quantiles(_reloads(crowd, THINK_S), n=20)[18]


def _run(crowd: Crowd) -> Run:
    started = time.perf_counter()
    _reloads(crowd, 0)
    return Run(time.perf_counter() - started)


def _reloads(crowd: Crowd, think_s: float) -> list[float]:
    """How long each reload has taken; people begin one after the other when they think."""
    pause = threading.Event()

    def reload(number: int) -> list[float]:
        pause.wait(think_s * number / PEOPLE)
        times: list[float] = []
        for _ in range(VISITS):
            times.append(_visit(crowd, number))
            pause.wait(think_s)
        return times

    with ThreadPoolExecutor(PEOPLE) as pool:
        return [taken for times in pool.map(reload, range(PEOPLE)) for taken in times]


def _visit(crowd: Crowd, number: int) -> float:
    """Reload the page as a browser does, its files aside; how long until all of it has come."""
    begun_at, browser = time.perf_counter(), crowd.browsers[number]
    with crowd.site.page(browser) as page:
        if browser.get("/").status_code != 200 or "Welcome" not in page.run():
            raise RunError("the home page did not come")
        return time.perf_counter() - begun_at
