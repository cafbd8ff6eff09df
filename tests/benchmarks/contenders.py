"""The names of the ways to move studies that are measured side by side."""

from enum import StrEnum


class Contender(StrEnum):
    """A way from archive A to archive B with a change of identity between; the value is its name for ``--only``."""

    ADIT = "adit"
    ENGINE = "engine"
    ENGINE_WADO = "engine-wado"
    DCMTK = "dcmtk"
    DCMTK_NODELAY = "dcmtk-nodelay"
    ORTHANC = "orthanc"

    @property
    def label(self) -> str:
        """What stands in tables."""
        return _LABELS[self]


_LABELS = {
    Contender.ADIT: "ADIT: the flow through Prefect",
    Contender.ENGINE: "ADIT's engine without Prefect",
    Contender.ENGINE_WADO: "ADIT's engine without Prefect, WADO-RS for C-GET",
    Contender.DCMTK: "DCMTK getscu + dcmodify + storescu",
    Contender.DCMTK_NODELAY: "DCMTK the same with TCP_NODELAY=1",
    Contender.ORTHANC: "Orthanc anonymize + store",
}
