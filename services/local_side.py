"""Our own side of connections to servers: names, and where what arrives is kept for a moment."""

from dicom.files.spool import Spool
from dicom.network.choose import Local
from dicom.network.inbox import Inbox
from dicom.network.scratch import STEP_BYTES
from models.domain.errors import Unsupported
from models.domain.instances import LARGEST_BYTES
from models.settings import Settings


def local_side(settings: Settings) -> Local:
    """Our own names and places, as the network code needs them."""
    spool = Spool(settings.spool_dir)

    def check_room(size_bytes: int) -> None:
        if size_bytes > LARGEST_BYTES:
            raise Unsupported(f"The server has an instance that is larger than {LARGEST_BYTES >> 30} GiB.")
        spool.check_room(STEP_BYTES, settings.spool_reserve_mb * 1_000_000)

    return Local(settings.calling_ae_title, settings.receiver_ae_title, Inbox(spool.inbox), spool.scratch, check_room)
