"""Keeps the values that DICOM libraries quote in their logs and warnings out of every log of ours."""

import logging
import warnings

LIBRARIES = ("pydicom", "pynetdicom", "dicognito", "httpx", "httpcore")


def silence_libraries() -> None:
    """Turn off the libraries' logs and warnings in this process.

    pydicom warns with the offending value, pynetdicom logs identifiers, httpx logs URLs with query values. What
    matters of it reaches people as errors of our own tree.
    """
    for name in LIBRARIES:
        logger = logging.getLogger(name)
        logger.handlers.clear()
        logger.addHandler(logging.NullHandler())
        logger.setLevel(logging.CRITICAL + 1)
        logger.propagate = False
    for name in ("pydicom", "pynetdicom", "dicognito"):
        warnings.filterwarnings("ignore", module=rf"{name}(\.|$)")
