"""Looks at Prefect: whether its server answers to our password, knows our deployments, and has heard of a worker."""

from collections.abc import Iterator
from importlib.metadata import version
from typing import Any

from deployments.doctor.findings import Finding, ok, problem, warning
from models.domain.errors import AditError, NotPermitted
from models.settings import Settings
from services import deployment_plan, prefect_status
from services.deployment_plan import PREFECT_YAML

_START = "Start adit up, or adit prefect-server, and look at ADIT_PREFECT_HOST, _PORT and _URL."
_DEPLOY = "Run adit deploy, or start adit up again."


def plan(settings: Settings) -> Iterator[Finding]:
    """Look whether ``prefect.yaml`` can be understood."""
    if wrong := deployment_plan.complaint(settings):
        yield problem("Plan", wrong, f"Correct {PREFECT_YAML}, then run adit deploy.")


def server(settings: Settings) -> Iterator[Finding]:
    """Look at all of it, as long as going on makes sense."""
    try:
        prefect_status.check_is_ready(settings)
        found = prefect_status.version(settings)
    except NotPermitted as error:
        remedy = "Give this machine the same ADIT_PREFECT_AUTH as the Prefect server."
        yield problem("Prefect", error.message, remedy)
        return
    except AditError as error:
        yield problem("Prefect", f"{error.message} Nothing can be transferred meanwhile.", _START)
        return
    yield ok("Prefect", f"Its server answers, and has version {found}.")
    if (ours := version("prefect")) != found:
        words = f"The server has version {found}, and this installation {ours}."
        yield warning("Prefect", words, "Install the same version of ADIT on all machines, and start the server again.")
    yield from _deployments(settings)
    yield from _workers(settings)


def _deployments(settings: Settings) -> Iterator[Finding]:
    """Look whether the server has what ``prefect.yaml`` says."""
    if not prefect_status.has_pool(settings):
        yield problem("Deployments", "Prefect has no work pool for our flows.", _DEPLOY)
        return
    if deployment_plan.complaint(settings):
        return  # told by the check of the plan
    there = prefect_status.deployments(settings)
    wanted = deployment_plan.planned(settings).deployments
    missing = sorted(one.name for one in wanted if one.name not in there)
    other = sorted(
        one.name for one in wanted if one.name in there and _differs(there[one.name], one.entrypoint, one.queue)
    )
    paused = sorted(one.name for one in wanted if one.name in there and there[one.name].get("paused"))
    if missing:
        yield problem("Deployments", f"Prefect does not have: {', '.join(missing)}.", _DEPLOY)
    if other:
        yield problem("Deployments", f"Other than prefect.yaml says: {', '.join(other)}.", _DEPLOY)
    if paused:
        yield warning("Deployments", f"Somebody has paused {', '.join(paused)}.", "Let them go on, on Prefect's page.")
    if not (missing or other or paused):
        yield ok("Deployments", f"All {len(wanted)} are as prefect.yaml says.")


def _differs(found: Any, entrypoint: str, queue: str) -> bool:
    return found.get("entrypoint") != entrypoint or found.get("work_queue_name") != queue


def _workers(settings: Settings) -> Iterator[Finding]:
    heard = prefect_status.workers(settings)
    if alive := prefect_status.living(heard):
        yield ok("Workers", f"Heard of: {', '.join(sorted(alive))}.")
        return
    last = f" The last sign came at {max(heard.values()):%Y-%m-%d %H:%M} UTC." if heard else ""
    remedy = "Start adit up, or adit worker on any machine, and look into its log."
    yield problem("Workers", f"Prefect has not heard of any, so no job goes on.{last}", remedy)
