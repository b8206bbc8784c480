"""Checks the directory at the end of a zip file before Python's zipfile reads it.

zipfile makes an object of a kilobyte from each entry, and copies the extra fields of an entry once
for each of them.
"""

import mmap
import struct
import zipfile
from typing import BinaryIO, Union

# One record for each of the most tensors of a file, and what torch writes beside them.
MAX_RECORDS = 210_000
MAX_NAME_BYTES = 4096
MAX_EXTRA_BYTES = 1024
_END = struct.Struct("<4s4H2LH")
_END_SIGNATURE = b"PK\x05\x06"
_ENTRY = struct.Struct("<4s6H3L5H2L")
_ENTRY_SIGNATURE = b"PK\x01\x02"
_LOCATOR_BYTES = 20
_LOCATOR_SIGNATURE = b"PK\x06\x07"
_ZIP64 = struct.Struct("<4sQ2H2L4Q")
_ZIP64_SIGNATURE = b"PK\x06\x06"
_MAX_COMMENT = 2**16


def checked_zip(file: BinaryIO) -> zipfile.ZipFile:
    """Returns the open zip file in `file` after `check_directory`. Raises what zipfile raises."""
    with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
        check_directory(data)
    return zipfile.ZipFile(file)


def check_directory(data: Union[bytes, mmap.mmap]) -> None:
    """Raises `zipfile.BadZipFile` for too many records, or for long names or extra fields.

    Everything else is left to zipfile, which looks for the directory at the same place.
    """
    end = data.rfind(_END_SIGNATURE, max(len(data) - _MAX_COMMENT - _END.size, 0))
    if end < 0 or end + _END.size > len(data):
        return
    size, stop = _END.unpack_from(data, end)[5], end
    zip64 = end - _LOCATOR_BYTES - _ZIP64.size
    if zip64 >= 0 and data[end - _LOCATOR_BYTES : end - _LOCATOR_BYTES + 4] == _LOCATOR_SIGNATURE:
        signature, *_, zip64_size, _ = _ZIP64.unpack_from(data, zip64)
        if signature == _ZIP64_SIGNATURE:
            size, stop = zip64_size, zip64
    _check_entries(data, stop - size, stop)


def _check_entries(data: Union[bytes, mmap.mmap], position: int, stop: int) -> None:
    number = 0
    while 0 <= position <= stop - _ENTRY.size:
        fields = _ENTRY.unpack_from(data, position)
        name, extra, comment = fields[10:13]
        if fields[0] != _ENTRY_SIGNATURE:
            return
        number += 1
        if number > MAX_RECORDS:
            raise zipfile.BadZipFile(f"more than {MAX_RECORDS} records")
        if name > MAX_NAME_BYTES:
            raise zipfile.BadZipFile(f"a name of more than {MAX_NAME_BYTES} bytes")
        if extra > MAX_EXTRA_BYTES:
            raise zipfile.BadZipFile(f"extra fields of more than {MAX_EXTRA_BYTES} bytes")
        position += _ENTRY.size + name + extra + comment
