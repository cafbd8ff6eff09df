"""The fields of a server, section by section, in the words of the admin guide."""

from collections.abc import Mapping
from dataclasses import replace
from datetime import timedelta
from typing import Any

import streamlit as st

from models.domain.nodes import DIMSE_CAPABILITIES, WEB_CAPABILITIES, WEB_PREFIXES, Server, Timeouts, Tls
from ui.parts import drawers, window_rows
from ui.parts.forms import Form

_COLUMNS = 3
_HEADER = "dicomweb_authorization_header"
_DOES = {
    "patient_root_find_support": "Enable C-FIND at patient root level",
    "patient_root_get_support": "Enable C-GET at patient root level",
    "patient_root_move_support": "Enable C-MOVE at patient root level",
    "study_root_find_support": "Enable C-FIND at study root level",
    "study_root_get_support": "Enable C-GET at study root level",
    "study_root_move_support": "Enable C-MOVE at study root level",
    "store_scp_support": "Enable C-STORE SCP operations",
    "dicomweb_qido_support": "Enable QIDO-RS (queries)",
    "dicomweb_wado_support": "Enable WADO-RS (retrieval)",
    "dicomweb_stow_support": "Enable STOW-RS (storage)",
    "dicomweb_qido_prefix": "URL prefix for QIDO-RS endpoints",
    "dicomweb_wado_prefix": "URL prefix for WADO-RS endpoints",
    "dicomweb_stow_prefix": "URL prefix for STOW-RS endpoints",
}


def label(field: str) -> str:
    """How the admin guide calls a field: ``Ae title``, ``Patient root find support``."""
    return field.replace("_", " ").capitalize()


def fields(form: Form[Any], server: Server, has_header: bool) -> Server:
    """Draw every field of a server but its groups, and return the server as entered."""
    drawers.section("Basic Settings")
    entered = _basic(form, server)
    drawers.section("DICOM Protocol Support")
    st.caption("Which protocols a server supports stands in its DICOM Conformance Statement.")
    supported = _ticks(form, server, DIMSE_CAPABILITIES)
    form.spot("capabilities", "DICOM Protocol Support")
    with st.expander("**DICOMweb Settings**", expanded=bool(server.dicomweb_root_url), key=form.key("web")):
        supported |= _web(form, server, has_header)
    with st.expander("**Limits and timing**", key=form.key("limits")):
        limits = _limits(form, server)
    with st.expander("**TLS**", expanded=server.tls is not None, key=form.key("tls-box")):
        limits["tls"] = _tls(form, server.tls)
    with st.expander("**Transfer windows**", expanded=bool(server.windows), key=form.key("windows-box")):
        limits["windows"] = window_rows.rows(form, server.windows)
    with st.expander("**Budget by hour**", expanded=bool(server.budget_rules), key=form.key("budgets-box")):
        limits["budget_rules"] = window_rows.budgets(form, server.budget_rules)
    return replace(entered, **supported, **limits)


def _basic(form: Form[Any], server: Server) -> Server:
    name = form.text("name", "Name", server.name, max_chars=64, help="Friendly name for the server")
    title, host, port = st.columns([2, 3, 1.4])
    with title:
        hint = "DICOM Application Entity title"
        ae_title = form.text("ae_title", "Ae title", server.ae_title, max_chars=16, help=hint)
    with host:
        address = form.text("host", "Host", server.host, help="Server hostname or IP address")
    with port:
        hint = "DICOM port number"
        number = form.whole("port", "Port", server.port or None, help=hint)
    return replace(server, name=name, ae_title=ae_title, host=address, port=number or 0)


def _ticks(form: Form[Any], server: Server, names: tuple[str, ...]) -> dict[str, Any]:
    """Boxes in three columns, one each for patient root, study root and the rest, each with what it enables."""
    found: dict[str, Any] = {}
    columns = st.columns(_COLUMNS)
    a_column = -(-len(names) // _COLUMNS)
    for number, name in enumerate(names):
        with columns[number // a_column]:
            found[name] = form.tick(name, label(name), getattr(server, name), help=_DOES[name])
    return found


def _web(form: Form[Any], server: Server, has_header: bool) -> dict[str, Any]:
    hint = "Base URL for DICOMweb services, such as https://pacs.example.org/dicom-web"
    name = "dicomweb_root_url"
    found: dict[str, Any] = {name: form.text(name, label(name), server.dicomweb_root_url, help=hint)}
    found |= _ticks(form, server, WEB_CAPABILITIES)
    for column, name in zip(st.columns(len(WEB_PREFIXES)), WEB_PREFIXES, strict=True):
        with column:
            found[name] = form.text(name, label(name), getattr(server, name), help=_DOES[name])
    hint = "Authentication header for DICOMweb requests. It is kept encrypted, and never shown again."
    kept = "One is kept. Leave this empty to keep it, or enter another." if has_header else None
    # not of type password: from there the Tab key goes to Streamlit's button inside the field, and nothing is sent
    found[_HEADER] = form.text(_HEADER, label(_HEADER), "", help=hint, placeholder=kept, autocomplete="off")
    return found


def _limits(form: Form[Any], server: Server) -> dict[str, Any]:
    left, middle, right = st.columns(3)
    with left:
        hint = "How many associations and DICOMweb connections all workers together may hold"
        budget = form.whole("association_budget", "Association budget", server.association_budget, help=hint)
    with middle:
        hint = "How many instances are sent at the same time. More than 2 gains nothing and breaks some archives."
        stores = form.whole("store_associations", "Store associations", server.store_associations, help=hint)
    with right:
        hint = "How many answers this server gives to one query at most, as far as is known"
        results = form.whole("max_search_results", "Max search results", server.max_search_results, help=hint)
    waits = _timeouts(form, server.timeouts)
    hint = "Slower. For servers that have trouble with our own engine."
    uses_pynetdicom = form.tick("uses_pynetdicom", "Use pynetdicom", server.uses_pynetdicom, help=hint)
    return {
        "association_budget": budget or 0,
        "store_associations": stores or 0,
        "max_search_results": results or 0,
        "timeouts": waits,
        "uses_pynetdicom": uses_pynetdicom,
    }


def _timeouts(form: Form[Any], timeouts: Timeouts) -> Timeouts:
    names: Mapping[str, str] = {
        "connect": "Connect timeout (s)",
        "negotiation": "Negotiation timeout (s)",
        "response": "Response timeout (s)",
        "idle": "Idle timeout (s)",
    }
    found: dict[str, timedelta] = {}
    for column, (name, words) in zip(st.columns(len(names)), names.items(), strict=True):
        with column:
            seconds = form.number(f"{name}_timeout", words, getattr(timeouts, name).total_seconds())
            found[name] = timedelta(seconds=seconds or 0)
    form.spot("timeouts", "Timeouts")
    return Timeouts(**found)


def _tls(form: Form[Any], tls: Tls | None) -> Tls | None:
    shown = tls or Tls()
    if not form.tick("uses_tls", "Use TLS", tls is not None, on_change="rerun"):
        form.spot("tls", "TLS")
        return None
    hint = "PEM file with the CA that signed the server's certificate. Empty: the CAs of this machine"
    ca_file = form.text("tls_ca_file", "CA file", shown.ca_file, help=hint)
    left, right = st.columns(2)
    with left:
        hint = "PEM file with the certificate by which the server knows us. Empty: none"
        certificate = form.text("tls_certificate_file", "Client certificate file", shown.certificate_file, help=hint)
    with right:
        key_file = form.text("tls_key_file", "Client key file", shown.key_file, help="PEM file with its private key")
    hint = "Untick it only for certificates that name another host."
    checks = form.tick("tls_check_hostname", "Check hostname", shown.check_hostname, help=hint)
    form.spot("tls", "TLS")
    return Tls(ca_file, certificate, key_file, checks)
