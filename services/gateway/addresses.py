"""Where programs find things at our own gateway."""

from urllib.parse import quote

from models.domain.nodes import Server
from models.settings import Settings


def service_url(settings: Settings, server: Server, service: str) -> str:
    """The base of one service of a server at the gateway: ``qidors``, ``wadors`` or ``stowrs``."""
    return f"{settings.web_url.rstrip('/')}/api/dicom-web/{quote(server.ae_title, safe='')}/{service}"


def retrieve_url(settings: Settings, server: Server, study_uid: str, series_uid: str = "", sop_uid: str = "") -> str:
    """Where a study, a series or an instance can be retrieved (PS3.18 table 10.4.1-1)."""
    url = f"{service_url(settings, server, 'wadors')}/studies/{study_uid}"
    url += f"/series/{series_uid}" if series_uid else ""
    return url + (f"/instances/{sop_uid}" if sop_uid else "")
