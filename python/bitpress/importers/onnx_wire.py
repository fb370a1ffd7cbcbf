"""Leave the weights of an .onnx file where they are: parse everything but the raw bytes of its initializers.

A model in protocol buffers' wire format (protobuf.dev, "Encoding") is a sequence of fields, each a varint key
(number * 8 + wire type) and a value. What is needed of onnx.proto: ModelProto.graph = 7, GraphProto.initializer = 5,
TensorProto.raw_data = 9. So a model that is larger than memory can be read a tensor at a time.
"""

from __future__ import annotations

from collections.abc import Iterator

from ..errors import FormatError

__all__ = ["LEAST_BYTES", "split"]

LEAST_BYTES = 4096  # shorter raw data is parsed with the rest
_GRAPH, _INITIALIZER, _RAW_DATA = 7, 5, 9
_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5


def split(data: memoryview) -> tuple[bytes, dict[int, tuple[int, int]]]:
    """The model's bytes without its large raw data, and where that is: initializer's number -> (offset, length).

    Raises FormatError where the bytes are not well-formed fields.
    """
    places: dict[int, tuple[int, int]] = {}
    model: list[bytes | memoryview] = []
    count = 0
    for number, start, value, end in _fields(data, 0, len(data)):
        if number != _GRAPH or value is None:
            model.append(data[start:end])
            continue
        graph: list[bytes | memoryview] = []
        for inner, inner_start, inner_value, inner_end in _fields(data, value, end):
            if inner == _INITIALIZER and inner_value is not None:
                tensor, place = _tensor(data, inner_value, inner_end)
                if place is not None:
                    places[count] = place
                graph.append(_message(_INITIALIZER, tensor))
                count += 1
            else:
                graph.append(data[inner_start:inner_end])
        model.append(_message(_GRAPH, b"".join(graph)))
    return b"".join(model), places


def _tensor(data: memoryview, start: int, end: int) -> tuple[bytes, tuple[int, int] | None]:
    kept: list[memoryview] = []
    place = None
    for number, field_start, value, field_end in _fields(data, start, end):
        if number == _RAW_DATA and value is not None and field_end - value >= LEAST_BYTES:
            place = value, field_end - value
        else:
            kept.append(data[field_start:field_end])
    return b"".join(kept), place


def _fields(data: memoryview, at: int, end: int) -> Iterator[tuple[int, int, int | None, int]]:
    """(number, where the field begins, where its bytes begin or None for a number, where it ends) for each field."""
    while at < end:
        start = at
        key, at = _varint(data, at, end)
        number, wire_type = key >> 3, key & 7
        value = None
        if wire_type == _VARINT:
            _, at = _varint(data, at, end)
        elif wire_type in (_FIXED64, _FIXED32):
            at += 8 if wire_type == _FIXED64 else 4
        elif wire_type == _BYTES:
            length, value = _varint(data, at, end)
            at = value + length
        else:
            raise FormatError(f"not an ONNX model (wire type {wire_type} at byte {start})")
        if at > end:
            raise FormatError(f"not an ONNX model (a field at byte {start} ends after byte {end})")
        yield number, start, value, at


def _varint(data: memoryview, at: int, end: int) -> tuple[int, int]:
    value = 0
    for shift in range(0, 70, 7):
        if at >= end:
            raise FormatError(f"not an ONNX model (it ends inside a number at byte {at})")
        byte = data[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, at
    raise FormatError(f"not an ONNX model (a number at byte {at} does not end)")


def _message(number: int, content: bytes) -> bytes:
    return _encoded(number << 3 | _BYTES) + _encoded(len(content)) + content


def _encoded(value: int) -> bytes:
    out = bytearray()
    while value >= 0x80:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)
