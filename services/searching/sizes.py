"""About how many bytes instances have, by modality, before anybody has seen them.

The figures are typical ones for a single instance as archives keep it, from the usual matrix sizes: 512 x 512 pixels of
two bytes for CT, some megapixels of two bytes for radiographs, clips of many frames for angiography. A single instance
can be a hundred times larger (enhanced multi-frame objects, tomosynthesis) or smaller (compression). So an estimate
is good enough to tell megabytes from terabytes and to reserve room; what is really written is measured as it arrives.
Our own receipts cannot teach better ones: they tell the size of a whole item, not of a modality.
"""

from collections.abc import Mapping
from types import MappingProxyType

from models.domain.refs import SeriesFound

_KB, _MB = 1_000, 1_000_000
_TYPICAL_BYTES: Mapping[str, int] = MappingProxyType(
    {
        "AU": 2 * _MB,
        "CR": 10 * _MB,
        "CT": 530 * _KB,
        "DOC": 1 * _MB,
        "DX": 15 * _MB,
        "ECG": 500 * _KB,
        "EPS": 500 * _KB,
        "ES": 3 * _MB,
        "HD": 500 * _KB,
        "IO": 2 * _MB,
        "IVUS": 100 * _MB,
        "KO": 10 * _KB,
        "M3D": 20 * _MB,
        "MG": 25 * _MB,
        "MR": 260 * _KB,
        "NM": 1 * _MB,
        "OCT": 50 * _MB,
        "OP": 10 * _MB,
        "OPT": 50 * _MB,
        "OT": 2 * _MB,
        "PR": 20 * _KB,
        "PT": 130 * _KB,
        "PX": 10 * _MB,
        "REG": 100 * _KB,
        "RF": 10 * _MB,
        "RTDOSE": 10 * _MB,
        "RTIMAGE": 2 * _MB,
        "RTPLAN": 100 * _KB,
        "RTRECORD": 100 * _KB,
        "RTSTRUCT": 5 * _MB,
        "SEG": 5 * _MB,
        "SM": 200 * _MB,
        "SR": 50 * _KB,
        "US": 5 * _MB,
        "XA": 30 * _MB,
        "XC": 5 * _MB,
    }
)
_OF_OTHERS = 1 * _MB
_USUAL_COUNT = 100
"""Instances of a series of which the source does not tell how many there are."""


def typical_bytes(modality: str) -> int:
    """About how many bytes one instance has."""
    return _TYPICAL_BYTES.get(modality.strip().upper(), _OF_OTHERS)


def estimated_bytes(series: SeriesFound, instance_count: int | None) -> int:
    """About how many bytes a series has; without a count, those of a series of usual length."""
    count = _USUAL_COUNT if instance_count is None else instance_count
    return count * typical_bytes(series.modality)
