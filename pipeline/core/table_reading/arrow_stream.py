"""A table from Arrow's IPC format, stream or file, by whoever wrote it."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import pyarrow as pa

from pipeline.core.errors import RecordError, shorten

FILE_MAGIC = b"ARROW1"
_ROWS_PER_BYTE = 8  # of booleans; only columns without any data have more
TIMES_AS_MUCH_TEXT, FREE_TEXT = 10, 1 << 20  # as the whole stream has bytes; bytes
VIEW_INTEGERS = 4  # of 32 bits: the first is the length
_RECORD_BATCH, _DICTIONARY_BATCH = 3, 2  # of the union MessageHeader in Arrow's Message.fbs
_HEADER_TYPE, _HEADER, _COMPRESSION, _DATA = 1, 2, 3, 1  # numbers of fields there


def table_of_arrow(content: bytes) -> pa.Table:
    """Return the table in an IPC stream or file, with every cell checked.

    Raises:
        RecordError: BAD_ARROW if it is damaged, compressed, or has more rows than its bytes can hold.
    """
    with _damage_refused():
        if content.startswith(FILE_MAGIC):
            content = content[8:]  # a file is a stream between two magic words, and a footer behind
        _refuse_compressed(content)
        batches, rows, text = [], 0, 0
        with pa.ipc.open_stream(pa.py_buffer(content)) as reader:
            if len(set(reader.schema.names)) < len(reader.schema):
                raise _refused("Two columns have the same name")
            for batch in reader:
                rows += batch.num_rows
                if rows > _ROWS_PER_BYTE * len(content):
                    raise _refused("It says that it has more rows than its bytes can hold")
                batch.validate(full=True)
                text += sum(map(_bytes_of_views, batch.columns))
                if text > TIMES_AS_MUCH_TEXT * len(content) + FREE_TEXT:
                    raise _refused("Its columns have the same texts again and again")
                batches.append(batch)
            return _plain(pa.Table.from_batches(batches, reader.schema))


def _bytes_of_views(column: pa.Array) -> int:
    """Return the bytes of the texts in a column of views, of which many may be of one text; 0 for other columns."""
    if not (pa.types.is_string_view(column.type) or pa.types.is_binary_view(column.type)) or not len(column):
        return 0
    views = np.frombuffer(column.buffers()[1], np.int32).reshape(-1, VIEW_INTEGERS)
    return int(views[column.offset : column.offset + len(column), 0].astype(np.int64).sum())


def _plain(table: pa.Table) -> pa.Table:
    """Return a table without views, and without dictionaries of anything but texts."""
    kinds = [pa.field(field.name, _plain_type(field.type)) for field in table.schema]
    return table.cast(pa.schema(kinds))


def _plain_type(kind: pa.DataType) -> pa.DataType:
    if pa.types.is_dictionary(kind) and not pa.types.is_string(kind.value_type):
        kind = kind.value_type
    if pa.types.is_string_view(kind):
        return pa.large_string()
    return pa.large_binary() if pa.types.is_binary_view(kind) else kind


def _refuse_compressed(content: bytes) -> None:
    """Raise if a part is compressed: a few bytes could become any number."""
    reader = pa.ipc.MessageReader.open_stream(pa.py_buffer(content))
    while True:
        try:
            message = reader.read_next_message()
        except StopIteration:
            return
        if message.type in ("record batch", "dictionary") and _is_compressed(message.metadata.to_pybytes()):
            raise _refused("It is compressed", "Write it without compression; the connection may compress it.")


def _is_compressed(metadata: bytes) -> bool:
    """Return whether a message, Arrow's flatbuffer, has a field that says how its body is compressed."""
    try:
        table = struct.unpack_from("<I", metadata)[0]
        kind = metadata[table + _field(metadata, table, _HEADER_TYPE)]
        header = _followed(metadata, table, _HEADER)
        if kind == _DICTIONARY_BATCH:
            header = _followed(metadata, header, _DATA)
        return bool(_field(metadata, header, _COMPRESSION))
    except (struct.error, IndexError):
        raise _refused("A message in it is damaged") from None


def _field(data: bytes, table: int, number: int) -> int:
    """Return where in a flatbuffer's table a field is, from the table on; 0 if it has none."""
    vtable = table - struct.unpack_from("<i", data, table)[0]
    if 4 + 2 * number >= struct.unpack_from("<H", data, vtable)[0]:
        return 0
    return int(struct.unpack_from("<H", data, vtable + 4 + 2 * number)[0])


def _followed(data: bytes, table: int, number: int) -> int:
    """Return where the table is that a field of a flatbuffer's table refers to."""
    at = table + _field(data, table, number)
    return at + int(struct.unpack_from("<I", data, at)[0])


@contextmanager
def _damage_refused() -> Iterator[None]:
    try:
        yield
    except (pa.ArrowException, OSError, UnicodeDecodeError) as error:
        if isinstance(error, MemoryError):
            raise
        raise _refused(f"It is damaged or cut short: {shorten(str(error), 200)}") from None


def _refused(problem: str, hint: str = "Write it again with an Arrow library, and send it whole.") -> RecordError:
    return RecordError("BAD_ARROW", f"This is not an Arrow stream that can be read: {problem}.", hint)
