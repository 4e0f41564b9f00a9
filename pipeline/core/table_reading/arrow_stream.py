"""A table from Arrow's IPC format, stream or file, by whoever wrote it."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

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
                text += sum(map(_bytes_of_texts, batch.columns))
                if text > TIMES_AS_MUCH_TEXT * len(content) + FREE_TEXT:
                    raise _refused("Its columns have the same texts again and again")
                batches.append(_plain(batch))
            return pa.Table.from_batches(batches or [_plain(pa.RecordBatch.from_pylist([], reader.schema))])


def _bytes_of_texts(column: pa.Array) -> int:
    """Return the bytes that the cells of a column take in the table, if that may be more than they take in the stream.

    Many views may be of one text, and many cells of a dictionary of one entry.
    """
    if _is_view(column.type):
        return int(_lengths(column).sum())
    if not _is_decoded(column.type):
        return 0
    cells = np.asarray(column.indices.drop_null()).astype(np.int64)
    return int(_lengths(column.dictionary)[cells].sum()) if len(cells) else 0


def _is_view(kind: pa.DataType) -> bool:
    return bool(pa.types.is_string_view(kind) or pa.types.is_binary_view(kind))


def _is_decoded(kind: pa.DataType) -> bool:
    """Return whether a type is a dictionary of anything but plain texts; lists and the like have no role anyway."""
    return bool(
        pa.types.is_dictionary(kind)
        and not pa.types.is_string(kind.value_type)
        and not pa.types.is_nested(kind.value_type)
    )


def _lengths(values: pa.Array) -> np.ndarray:
    """Return the bytes of each value, shape (n,); what a null has counts or not."""
    kind = values.type
    if _is_view(kind):
        views = np.frombuffer(values.buffers()[1] or b"", np.int32).reshape(-1, VIEW_INTEGERS)
        return views[values.offset : values.offset + len(values), 0].astype(np.int64)
    if pa.types.is_large_string(kind) or pa.types.is_binary(kind) or pa.types.is_large_binary(kind):
        return np.asarray(pc.fill_null(pc.binary_length(values), 0)).astype(np.int64)
    return np.full(len(values), values.nbytes // max(len(values), 1) + 1)  # all of one size


def _plain(batch: pa.RecordBatch) -> pa.RecordBatch:
    """Return rows without views, and without dictionaries of anything but texts."""
    return pa.RecordBatch.from_arrays([*map(_plain_column, batch.columns)], names=batch.schema.names)


def _plain_column(column: pa.Array) -> pa.Array:
    if pa.types.is_string_view(column.type):
        return column.cast(pa.large_string())
    if pa.types.is_binary_view(column.type):
        return column.cast(pa.large_binary())
    if not _is_decoded(column.type):
        return column
    return pa.DictionaryArray.from_arrays(column.indices, _plain_column(column.dictionary)).dictionary_decode()


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
