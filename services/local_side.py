"""Our own side of connections to servers: names, and where what arrives is kept for a moment."""

from dicom.files.spool import Spool
from dicom.network.choose import Local
from dicom.network.inbox import Inbox
from models.settings import Settings


def local_side(settings: Settings) -> Local:
    """Our own names and places, as the network code needs them."""
    spool = Spool(settings.spool_dir)
    return Local(settings.calling_ae_title, settings.receiver_ae_title, Inbox(spool.inbox), spool.scratch)
