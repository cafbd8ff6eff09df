"""What axe-core finds on a page that is open in a browser."""

from axe_playwright_python.sync_playwright import Axe

from tests.clinic import Window

_NOT_OURS = ("gdg-", "glide")
"""Parts of Streamlit's table, which it paints and describes itself."""


def serious_problems(window: Window) -> list[str]:
    """What axe-core calls serious or critical by WCAG 2 A and AA; what is not ours to mend is left out."""
    result = Axe().run(window.page, options={"runOnly": ["wcag2a", "wcag2aa"]})
    return [
        f"{found['id']}: {node['target']}"
        for found in result.response["violations"]
        if found["impact"] in {"serious", "critical"}
        for node in found["nodes"]
        if not any(theirs in str(node["target"]) + node["html"] for theirs in _NOT_OURS)
    ]
