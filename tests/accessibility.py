"""What axe-core finds on a page that is open in a browser."""

from axe_playwright_python.sync_playwright import Axe

from tests.clinic import Window

_NOT_OURS = ("gdg-", "glide")
"""Parts of Streamlit's table, which it paints and describes itself."""
_IS_DRAWN = """() => [...document.querySelectorAll('[data-stale]')].every(
    element => element.dataset.stale === 'false' && getComputedStyle(element).opacity === '1')"""
"""Whether nothing is pale, or on its way back from it: Streamlit pales what a run may replace."""


_LOOKS, _DRAWN_WITHIN_MS = 30, 1_000


def lasting_problems(window: Window) -> list[str]:
    """What axe-core calls serious or critical by WCAG 2 A and AA; what is not ours to mend is left out.

    A page that is still being drawn is looked at again.
    """
    problems: list[str] = []
    for _ in range(_LOOKS):
        window.page.wait_for_timeout(_DRAWN_WITHIN_MS)
        if not (problems := _problems(window)):
            break
    return problems


def _problems(window: Window) -> list[str]:
    window.page.wait_for_function(_IS_DRAWN)
    result = Axe().run(window.page, options={"runOnly": ["wcag2a", "wcag2aa"]})
    return [
        f"{found['id']}: {node['target']}"
        for found in result.response["violations"]
        if found["impact"] in {"serious", "critical"}
        for node in found["nodes"]
        if not any(theirs in str(node["target"]) + node["html"] for theirs in _NOT_OURS)
    ]
