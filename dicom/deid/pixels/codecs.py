"""Decodes and encodes single frames with the codecs that are installed, and turns all their troubles into two errors.

Decoders are C, C++ and Rust and read what strangers wrote: call them only through isolation.py, and with frames that
have been checked for the size they announce. Encoders get what we made ourselves.
"""

import warnings
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray
from pydicom.pixels.decoders.base import get_decoder
from pydicom.pixels.encoders.base import get_encoder
from pydicom.uid import UID, JPEG2000Lossless, RLELossless

from dicom.deid.pixels.frames import Shape
from models.domain.errors import NeedsReview

JPEG_2000_COLOUR = {"YBR_ICT": "YBR_RCT"}
"""Colour transforms within JPEG 2000 that lose something, and their counterpart that does not."""
_NO_SUBSAMPLING = {"YBR_FULL_422": "YBR_FULL"}
_PLUGIN = "pylibjpeg"
"""For what it can do. GDCM, which does the rest, aborts the process when it has to encode RLE of an odd length."""
_GDCM_SYNTAXES = frozenset(f"1.2.840.10008.1.2.4.{number}" for number in (50, 51, 57, 70, 80, 81))
_EMPTY_TABLE = b"\xfe\xff\x00\xe0\0\0\0\0"

Frame = NDArray[np.generic]


class EncodingError(Exception):
    """A codec does not write such samples."""


def decoded(source: bytes, shape: Shape, transfer_syntax_uid: str) -> tuple[Frame, str]:
    """Return one frame as rows, columns and samples of the header's Bits Allocated, little endian, and its colours.

    The colours are a photometric interpretation, which codecs may change. Raises NeedsReview, without a cause that
    might quote what is in the frame.
    """
    encapsulated = _EMPTY_TABLE + b"\xfe\xff\x00\xe0" + (len(source) + len(source) % 2).to_bytes(4, "little") + source
    options: dict[str, Any] = {**_options(shape, shape.photometric), "raw": True, "correct_unused_bits": False}
    options["decoding_plugin"] = "gdcm" if transfer_syntax_uid in _GDCM_SYNTAXES else _PLUGIN
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            decoder = get_decoder(UID(transfer_syntax_uid))
            array, properties = decoder.as_array(encapsulated + b"\0" * (len(source) % 2), index=0, **options)
    except Exception as exc:
        kind = type(exc).__name__
        raise NeedsReview(f"The instance has to be blanked, and its frames cannot be decoded ({kind}).") from None
    photometric = str(properties["photometric_interpretation"])
    frame = cast("Frame", array).reshape(shape.rows, shape.columns, shape.samples)
    unsigned = np.ascontiguousarray(frame).astype(f"<{'i' if shape.is_signed else 'u'}{shape.bits_allocated // 8}")
    return unsigned.view(f"<u{shape.bits_allocated // 8}"), _NO_SUBSAMPLING.get(photometric, photometric)


def as_rle(frame: Frame, shape: Shape, photometric: str) -> bytes:
    """Return a frame RLE encoded (PS3.5 annex G); raises EncodingError."""
    return _encoded(RLELossless, frame, shape, photometric)


def as_jpeg_2000(frame: Frame, shape: Shape, photometric: str) -> bytes:
    """Return a frame as a JPEG 2000 codestream without loss; raises EncodingError.

    Frames that were transformed to another colour space within their codestream are so again.
    """
    inside = JPEG_2000_COLOUR.get(shape.photometric, shape.photometric)
    return _encoded(JPEG2000Lossless, frame, shape, inside if photometric == "RGB" else photometric)


def _encoded(syntax: UID, frame: Frame, shape: Shape, photometric: str) -> bytes:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            options: dict[str, Any] = {**_options(shape, photometric), "encoding_plugin": _PLUGIN}
            return bytes(get_encoder(syntax).encode(frame.tobytes(), index=None, **options))
    except Exception as exc:
        raise EncodingError(f"A frame cannot be encoded ({type(exc).__name__}).") from None


def _options(shape: Shape, photometric: str) -> dict[str, Any]:
    options: dict[str, Any] = {
        "rows": shape.rows,
        "columns": shape.columns,
        "number_of_frames": 1,
        "samples_per_pixel": shape.samples,
        "bits_allocated": shape.bits_allocated,
        "bits_stored": shape.bits_stored,
        "pixel_representation": int(shape.is_signed),
        "photometric_interpretation": photometric,
        "pixel_keyword": "PixelData",
    }
    if shape.samples > 1:
        options["planar_configuration"] = 0
    return options
