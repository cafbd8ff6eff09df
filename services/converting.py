"""What the gateway and jobs have in common where they convert to NIfTI: series that are staged in the spool before."""

from dataclasses import replace
from pathlib import Path

from dicom.deid.identity import heading_of
from dicom.deid.streams import opened
from dicom.files import layout
from dicom.files.spool import Spool, Workspace
from dicom.files.trouble import writing
from dicom.part10 import file_of
from models.domain.errors import Unreadable
from models.domain.instances import EncodedInstance
from models.settings import Settings

WITHOUT_VOLUMES = frozenset({"SR", "KO", "PR", "RTSTRUCT", "RTPLAN", "ECG", "DOC"})
"""Modalities that are not fetched at all: dcm2niix finds nothing in them. It does in segmentations and doses."""

_DEFLATED, _EXPLICIT_LITTLE = "1.2.840.10008.1.2.1.99", "1.2.840.10008.1.2.1"


class StagedSeries:
    """Instances in a workspace of the spool, those of each series in a directory of their own. For one thread.

    ``places`` holds the directory by Series Instance UID, in the order in which their first instances came, and
    ``sop_uids`` what is in it. The workspace is who gave it's to remove.
    """

    def __init__(self, spool: Spool, workspace: Workspace, settings: Settings) -> None:
        self.workspace = workspace
        self.places: dict[str, Path] = {}
        self.sop_uids: dict[str, set[str]] = {}
        self._spool = spool
        self._reserve_bytes = settings.spool_reserve_mb * 1_000_000

    def add(self, instance: EncodedInstance) -> None:
        """Write an instance as a file that dcm2niix can read; one that was written before is replaced.

        Raises NoSpace when the spool's disk is nearly full, Unreadable when the instance does not tell its series.
        """
        self._spool.check_room(instance.size_bytes, self._reserve_bytes)
        series_uid = heading_of(instance).series_uid
        if not series_uid:
            raise Unreadable("An instance does not tell its series.")
        _, pieces = file_of(_readable(instance))
        with writing(self._spool.root, "spool"):
            if series_uid not in self.places:
                place = self.workspace.path / f"{len(self.places) + 1:03d}"
                place.mkdir(mode=0o700)
                self.places[series_uid], self.sop_uids[series_uid] = place, set()
            with (self.places[series_uid] / layout.instance_file(instance.sop_uid)).open("wb") as file:
                file.writelines(pieces)
        self.sop_uids[series_uid].add(instance.sop_uid)

    def check_room(self) -> None:
        """Raise NoSpace when the disk is nearly full: dcm2niix itself leaves nothing of it to others."""
        self._spool.check_room(0, self._reserve_bytes)


def _readable(instance: EncodedInstance) -> EncodedInstance:
    """The instance as dcm2niix can read it: it inflates nothing."""
    if instance.transfer_syntax_uid != _DEFLATED:
        return instance
    data, _ = opened(instance.parts, instance.transfer_syntax_uid)
    return replace(instance, transfer_syntax_uid=_EXPLICIT_LITTLE, parts=(data,))
