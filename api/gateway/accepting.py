"""Reads the Accept header as DICOMweb uses it (RFC 9110 section 12.5.1, PS3.18 section 8.7), with media parameters."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from api.problems import Problem

_MOST_LETTERS = 1000
_QUOTED = r'"(?:\\.|[^"\\])*+(?:"|\\?\Z)'
"""Never tried twice: it takes no step back, and without its end it runs to the end of the header."""
_RANGES = re.compile(rf'(?:[^,"]|{_QUOTED})+', re.DOTALL)
_PIECES = re.compile(rf'(?:[^;"]|{_QUOTED})+', re.DOTALL)


@dataclass(frozen=True, slots=True)
class Offer:
    """A media type that can be answered.

    ``parameters`` are those that a request may name, with the only value that each may have then.
    """

    media_type: str
    parameters: Mapping[str, str]

    def suits(self, media_range: str, parameters: Mapping[str, str]) -> bool:
        """Whether the offer is what a media range asks for."""
        kind = self.media_type.partition("/")[0]
        if media_range not in {"*/*", f"{kind}/*", self.media_type}:
            return False
        return all(parameters.get(name, value).lower() in {value, "*"} for name, value in self.parameters.items())


INSTANCES = (Offer("multipart/related", {"type": "application/dicom", "transfer-syntax": "*"}),)
METADATA = (Offer("application/dicom+json", {}), Offer("application/json", {}))
VOLUMES = (Offer("multipart/related", {"type": "application/octet-stream"}),)


def check_accepts(header: str, *offers: Offer) -> None:
    """Raise Problem with status 406 unless one of the offers suits; an empty header takes everything."""
    if not header.strip():
        return
    if len(header) > _MOST_LETTERS:
        raise _refusal(f"no more than {_MOST_LETTERS} letters are read.")
    if any(offer.suits(name, parameters) for name, parameters in _ranges(header) for offer in offers):
        return
    raise _refusal(f"only {' or '.join(map(_words, offers))} can be answered here.")


def _refusal(sentence: str) -> Problem:
    return Problem(406, "NotAcceptable", f"Accept: {sentence}", {"Accept": sentence})


def _ranges(header: str) -> Iterator[tuple[str, Mapping[str, str]]]:
    """Each media range with its parameters, without those of quality zero."""
    for found in _RANGES.findall(header):
        name, *pieces = [piece.strip() for piece in _PIECES.findall(found)] or [""]
        parameters = dict(_parameter(piece) for piece in pieces)
        if not re.fullmatch(r"0(\.0*)?", parameters.get("q", "1")):
            yield name.lower(), parameters


def _parameter(piece: str) -> tuple[str, str]:
    name, _, value = piece.partition("=")
    value = value.strip()
    if len(value) > 1 and value.startswith('"') and value.endswith('"'):
        value = re.sub(r"\\(.)", r"\1", value[1:-1])
    return name.strip().lower(), value


def _words(offer: Offer) -> str:
    return "; ".join((offer.media_type, *(f'{name}="{value}"' for name, value in offer.parameters.items())))
