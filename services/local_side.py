"""Our own side of connections to servers: names, and where what arrives is kept for a moment."""

from collections.abc import Callable

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
    check_room = room_check(spool, settings)
    return Local(settings.calling_ae_title, settings.receiver_ae_title, Inbox(spool.inbox), spool.scratch, check_room)


def room_check(spool: Spool, settings: Settings) -> Callable[[int], None]:
    """What is to be asked while a large instance arrives, with its size so far: whether it may go on growing.

    It raises Unsupported for one that is too large for us, NoSpace where it would take the room that has to stay free.
    """

    def check(size_bytes: int) -> None:
        if size_bytes > LARGEST_BYTES:
            raise Unsupported(f"The server has an instance that is larger than {LARGEST_BYTES >> 30} GiB.")
        spool.check_room(STEP_BYTES, settings.spool_reserve_mb * 1_000_000)

    return check
