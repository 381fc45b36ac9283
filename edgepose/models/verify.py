"""Verifies that a .tflite file is complete and valid, before a runtime loads it.

A .tflite file is a flatbuffer: tables that refer to each other by byte offsets. Some
runtimes do not check that offsets lie within the file, and crash the process. So every
offset is checked here first. The time is proportional to the number of tables, a few
thousand, and independent of the weights: only their length is checked.
"""

import struct
from collections.abc import Iterator, Mapping, Sequence
from typing import Final, NamedTuple, NoReturn

from edgepose.errors import ModelError

IDENTIFIER: Final = b"TFL3"

ENTRIES_AT_MOST: Final = 100_000
"""Maximum number of vector entries; bounds the time on damaged files. Pose networks have
less than 4,000."""

FOREIGN: Final[Mapping[bytes, str]] = {
    b"\x89PNG": "a PNG picture",
    b"\xff\xd8\xff": "a JPEG picture",
    b"PK\x03\x04": "a zip archive",
    b"\x1f\x8b": "a gzip archive",
    b"\x7fELF": "a program",
    b"version https://git-lfs": "a git-lfs pointer, not the file it points to",
    b"<": "a web page",
    b"{": "JSON",
}
"""Other file formats by their first bytes."""

SCHEMA: Final[Mapping[str, str]] = {
    "model": "4 *operator_code *subgraph s *buffer v4 *metadata *signature",
    "operator_code": "1 s 4 4",
    "subgraph": "*tensor v#tensor v#tensor *operator s 4",
    "tensor": "v4 1 #buffer s quantisation 1 sparsity v4 1 *variant",
    "quantisation": "v4 v4 v4 v8 1 |details 4",
    "custom_quantisation": "v1",
    "sparsity": "v4 v4 *dimension",
    "dimension": "1 4 1 |sparse_indices 1 |sparse_indices",
    "indices_4": "v4",
    "indices_2": "v2",
    "indices_1": "v1",
    "variant": "v4 1 1",
    "operator": "#operator_code v#tensor v#tensor 1 |options v1 1 v1 v#tensor @ 8 1 |options_2 4",
    "buffer": "v1 @ 8",
    "metadata": "s #buffer",
    "signature": "*tensor_map *tensor_map s - #subgraph",
    "tensor_map": "s 4",
    "scalars": "",
    "concat_embeddings": "4 v4 v4",
    "new_shape": "v4",
    "composite": "s 4 v1 1 4",
    "hlo_1": "v8",
    "hlo_3": "v8 v8 v8",
    "hlo_convolution": "v8 v8 v8 v8 v1 8 8 v8 8 8 v8 8 8 v8 8 8 v4",
    "hlo_custom_call": "s 1 s 4 v4 v1",
    "hlo_scatter": "1 v8 v8 v8 8 1 4",
    "hlo_dot": "v8 v8 v8 v8 v4",
    "hlo_reduce_window": "v8 v8 v8 v8 v8 4",
    "hlo_gather": "v8 v8 v8 8 v8 1",
}
"""Fields of each table, in the order of TFLite's `schema.fbs`.

A digit is a value of that many bytes, ``s`` a string, ``v4`` a vector of 4-byte values,
``name`` a table, ``*name`` a vector of tables, ``|name`` a union whose type is the preceding
field, ``#name`` the index of a table, ``v#name`` a vector of indices (-1: none), ``-`` no
field. ``@`` is the offset of data after the flatbuffer, in files above 2 GB; its length is
the next field."""

UNIONS: Final[Mapping[str, Mapping[int, str]]] = {
    "details": {1: "custom_quantisation"},
    "sparse_indices": {1: "indices_4", 2: "indices_2", 3: "indices_1"},
    "options": {3: "concat_embeddings", 17: "new_shape", 30: "new_shape", 115: "new_shape"},
    "options_2": {
        2: "hlo_1",
        3: "hlo_3",
        4: "hlo_convolution",
        5: "hlo_custom_call",
        6: "hlo_1",
        7: "hlo_scatter",
        9: "hlo_1",
        10: "hlo_3",
        12: "hlo_dot",
        13: "hlo_reduce_window",
        16: "hlo_gather",
        17: "hlo_1",
        21: "composite",
    },
}
"""Types of each union that contain references; all others contain scalars only."""

FIELDS: Final = {name: tuple(fields.split()) for name, fields in SCHEMA.items()}

WIDTHS: Final = {"1": 1, "4": 4, "8": 8, "@": 8}
"""Bytes of a field within its table; a reference takes four."""

BESIDE: Final = {"|": -1, "@": 1}
"""Relative index of the field with the union's type or the data's length."""

VECTORS: Final = {"v1": 1, "v2": 2, "v4": 4, "v8": 8}

_U32: Final = struct.Struct("<I")
_I32: Final = struct.Struct("<i")
_U16_2: Final = struct.Struct("<HH")
_U64: Final = struct.Struct("<Q")


class _Layout(NamedTuple):
    """Size and references of a table, from its vtable."""

    size: int
    references: tuple[tuple[int, str, int], ...]
    """Byte offset in the table, kind of field, and byte offset of the `BESIDE` field or 0."""


def check(content: bytes, name: str) -> int:
    """Check every offset of a .tflite file; return the number of checked vector entries.

    Raises
    ------
    ModelError
        If the file is empty, of another format, truncated or damaged.
    """
    refuse_foreign(content, name)
    walk = _Verifier(content, name)
    walk.table(_U32.unpack_from(content, 0)[0], "model")
    walk.finish()
    return walk.entries


def refuse_foreign(content: bytes, name: str) -> None:
    """Raise `ModelError` if the content does not begin like a .tflite file."""
    if len(content) >= 8 and content[4:8] == IDENTIFIER:
        return
    kinds = (kind for start, kind in FOREIGN.items() if content.startswith(start))
    if not content:
        found = "is empty"
    elif kind := next(kinds, ""):
        found = f"is {kind}"
    else:
        found = f"begins with the bytes {content[:8].hex(' ')}"
    msg = f"model {name}: the file {found}; expected a .tflite file; copy or download it again"
    raise ModelError(msg)


class _Verifier:
    """Visits every table, vector and string of a file once."""

    def __init__(self, content: bytes, name: str) -> None:
        self.content = content
        self.size = len(content)
        self.name = name
        self.seen: set[tuple[int, str]] = set()
        self.entries = 0
        self.counts: dict[str, int] = {}
        self.numbers: dict[str, set[int]] = {}
        self.layouts: dict[tuple[int, str], _Layout] = {}

    def table(self, at: int, kind: str) -> None:
        """Check a table and everything that it refers to, unless already checked."""
        if (at, kind) in self.seen:
            return
        self.seen.add((at, kind))
        if kind == "subgraph":
            self.counts["tensor"] = 0
        layout = self.layout(at, kind)
        if at + layout.size > self.size:
            self.refuse(f"a table ({kind}) at byte {at} ends behind byte {self.size}, its last")
        for field, what, beside in layout.references:
            self.reference(at + field, what, at + beside)

    def finish(self) -> None:
        """Check the table indices that were read before the tables were counted."""
        for kind, numbers in self.numbers.items():
            count = self.counts.get(kind, 0)
            if numbers and max(numbers) >= count:
                self.refuse(f"{kind} {max(numbers)} is used, but there are {count}")

    def layout(self, at: int, kind: str) -> _Layout:
        """Return the layout of a table; cached, since many tables share a vtable."""
        if at % 4 or not 0 < at <= self.size - 4:
            self.refuse(f"a table ({kind}) is said to be at byte {at} of {self.size}")
        vtable = at - _I32.unpack_from(self.content, at)[0]
        known = self.layouts.get((vtable, kind))
        if known is None:
            known = self.layouts[vtable, kind] = self.read_layout(vtable, kind)
        return known

    def read_layout(self, vtable: int, kind: str) -> _Layout:
        """Check a vtable: its length, the table's size, then one offset per field."""
        if vtable % 2 or not 0 < vtable <= self.size - 4:
            self.refuse(f"the layout of a table ({kind}) is said to be at byte {vtable}")
        length, size = _U16_2.unpack_from(self.content, vtable)
        if length % 2 or length < 4 or size < 4 or vtable + length > self.size:
            self.refuse(f"the layout of a table ({kind}) at byte {vtable} makes no sense")
        offsets = struct.unpack_from(f"<{length // 2 - 2}H", self.content, vtable + 4)
        return _Layout(size, tuple(self.references(offsets, size, kind)))

    def references(
        self, offsets: Sequence[int], size: int, kind: str
    ) -> Iterator[tuple[int, str, int]]:
        """Check that the fields lie within their table; yield the references."""
        fields = FIELDS[kind]
        for slot, offset in enumerate(offsets):
            # Unknown fields of newer schemas must lie within the table too.
            what = fields[slot] if slot < len(fields) else "1"
            if not offset or what == "-":
                continue
            width = WIDTHS.get(what[0], 4)
            if offset < 4 or offset + width > size:
                self.refuse(f"a field of a table ({kind}) lies outside of it")
            if what.isdigit():
                continue
            beside = slot + BESIDE.get(what[0], 0)
            if beside == slot:
                yield offset, what, 0
            elif beside < len(offsets) and offsets[beside]:
                yield offset, what, offsets[beside]

    def reference(self, at: int, what: str, beside: int) -> None:
        """Check the target of the offset at byte `at`."""
        target = at + _U32.unpack_from(self.content, at)[0]
        if what == "s":
            self.string(target)
        elif what in VECTORS:
            self.vector(target, VECTORS[what])
        elif what == "@":
            self.appended(at, beside)
        elif what[0] == "#":
            self.numbers.setdefault(what[1:], set()).add(_U32.unpack_from(self.content, at)[0])
        elif what[:2] == "v#":
            self.indices(target, what[2:])
        elif what[0] == "*":
            self.tables(target, what[1:])
        elif what[0] != "|":
            self.table(target, what)
        elif union := self.content[beside]:
            self.table(target, UNIONS[what[1:]].get(union, "scalars"))

    def vector(self, at: int, width: int) -> int:
        """Check that a vector ends within the file; return its length."""
        if at % 4 or at > self.size - 4:
            self.refuse(f"a vector is said to be at byte {at} of {self.size}")
        count: int = _U32.unpack_from(self.content, at)[0]
        if at + 4 + count * width > self.size:
            self.refuse(f"{count * width} bytes from byte {at + 4} on are behind its end")
        return count

    def indices(self, at: int, kind: str) -> None:
        """Check a vector of indices of tables that are already counted."""
        count = self.vector(at, 4)
        self.claim(count)
        numbers = struct.unpack_from(f"<{count}i", self.content, at + 4)
        there = self.counts.get(kind, 0)
        if count and not -1 <= min(numbers) <= max(numbers) < there:
            self.refuse(f"{kind} {max(numbers)} or {min(numbers)} is used of {there}")

    def string(self, at: int) -> None:
        """Check that a string ends within the file, with a terminating zero."""
        end = at + 4 + self.vector(at, 1)
        if end >= self.size or self.content[end]:
            self.refuse(f"a text at byte {at} has no end")

    def tables(self, at: int, kind: str) -> None:
        """Check each table of a vector."""
        count = self.vector(at, 4)
        self.claim(count)
        self.counts[kind] = count
        for index, offset in enumerate(struct.unpack_from(f"<{count}I", self.content, at + 4)):
            self.table(at + 4 + 4 * index + offset, kind)

    def claim(self, count: int) -> None:
        """Count vector entries; limits the time on damaged files, which may repeat vectors."""
        self.entries += count
        if self.entries > ENTRIES_AT_MOST:
            self.refuse(f"its tables have more than {ENTRIES_AT_MOST} parts")

    def appended(self, at: int, length_at: int) -> None:
        """Check the bounds of data after the flatbuffer."""
        start = _U64.unpack_from(self.content, at)[0]
        length = _U64.unpack_from(self.content, length_at)[0]
        if start + length > self.size:
            self.refuse(f"{length} bytes from byte {start} on are behind its end")

    def refuse(self, why: str) -> NoReturn:
        """Raise `ModelError`: the file is damaged."""
        msg = (
            f"model {self.name}: the file is damaged or cut short ({why}); expected a whole"
            f" .tflite file; copy or download it again"
        )
        raise ModelError(msg)
