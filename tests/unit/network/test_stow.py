"""A large instance is sent by STOW-RS without ever being in memory whole."""

import hashlib
from pathlib import Path

from dicom.mapping import give_back
from dicom.network import stow
from models.domain.instances import EncodedInstance
from tests.resident import MOST_BYTES, a_mapped_file, resident_bytes


def test_a_mapped_file_is_never_in_memory_whole_while_it_is_sent(tmp_path: Path) -> None:
    content = a_mapped_file(tmp_path)
    digest = hashlib.sha256(b"head" + content[:1000] + bytes(content) + b"tail").digest()
    give_back((content,))
    instance = EncodedInstance("1.2", "1.2.3", "1.2.840.10008.1.2.1", (bytes(content[:1000]), content))
    before = most = resident_bytes()
    sent = hashlib.sha256()
    for piece in stow._slices(b"head", instance, b"tail"):
        sent.update(piece)
        most = max(most, resident_bytes())
    assert sent.digest() == digest
    assert most - before < MOST_BYTES
