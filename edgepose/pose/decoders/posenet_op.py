"""Removes Coral's `PosenetDecoderOp`, so that every runtime can run the model.

The operator is the last one of the graph and does the work of `posenet.decode_multi`;
no stock runtime has it. Its three inputs become the outputs of the graph. The file is
patched in place without moving data, so that operators compiled for the Edge TPU keep
their alignment.
"""

import struct
from typing import Any, Final

from edgepose.errors import ModelError
from edgepose.models import flatbuffer
from edgepose.models import info as models
from edgepose.models.info import ModelInfo
from edgepose.pose.decoders import Loaded
from edgepose.pose.decoders.posenet import PoseNetDecoder, PoseNetOptions

OP: Final = "PosenetDecoderOp"

HEADS: Final = 3
"""Heatmap, short offsets and displacements; the fourth, for segmentation, is not used."""

OUTPUTS_SLOT: Final = 8
"""Vtable offset of `SubGraph.outputs` in TFLite's `schema.fbs`."""

OPERATORS_SLOT: Final = 10
"""Vtable offset of `SubGraph.operators` in TFLite's `schema.fbs`."""


def load(content: bytes, info: ModelInfo) -> Loaded:
    """Return the model without the operator, and a decoder with the operator's options."""
    content, info, options = cut(content, info)
    decoder = PoseNetDecoder.recognise(info)
    if decoder is None:
        found = ", ".join(f"{list(t.shape)} {t.dtype}" for t in info.outputs)
        msg = f"model {info.name}: {OP} takes {found}; expected 17, 34 and 64 channels of one grid"
        raise ModelError(msg)
    return Loaded(content, info, decoder.with_options(options))


def cut(content: bytes, info: ModelInfo) -> tuple[bytes, ModelInfo, PoseNetOptions]:
    """Return the file without the operator, its description, and the operator's options.

    Raises
    ------
    ModelError
        If the operator is not the last one, or its options are invalid.
    """
    model = flatbuffer.root(content)
    graph = model.Subgraphs(0)
    last = graph.OperatorsLength() - 1
    heads = inputs_of_op(model, graph, last, info)
    options = read_options(graph.Operators(last), info)
    patched = bytearray(content)
    outputs = vector_at(graph, OUTPUTS_SLOT)
    struct.pack_into("<I", patched, vector_at(graph, OPERATORS_SLOT), last)
    struct.pack_into(f"<I{HEADS}i", patched, outputs, HEADS, *heads)
    without = bytes(patched)
    return without, models.read(without, info.name), options


def inputs_of_op(model: Any, graph: Any, last: int, info: ModelInfo) -> list[int]:
    """Return the operator's input tensors; raises `ModelError` unless it can be removed."""
    code = model.OperatorCodes(graph.Operators(last).OpcodeIndex()) if last >= 0 else None
    heads = models.whole_numbers(graph.Operators(last).InputsAsNumpy()) if code else []
    if (
        code is None
        or models.text(code.CustomCode()) != OP
        or model.SubgraphsLength() > 1
        or not HEADS <= len(heads) <= graph.OutputsLength()
        or min(heads) < 0
    ):
        msg = (
            f"model {info.name}: {OP} is not the last operator, or takes {len(heads)} tensors;"
            f" expected it last, with {HEADS}, as in Coral's files; choose another model"
        )
        raise ModelError(msg)
    return heads[:HEADS]


def vector_at(graph: Any, slot: int) -> int:
    """Return the byte offset of a vector of the graph; its length comes first."""
    table = graph._tab
    return int(table.Vector(table.Offset(slot))) - 4


def read_options(operator: Any, info: ModelInfo) -> PoseNetOptions:
    """Return the operator's options, read from a flexbuffer map."""
    from flatbuffers import flexbuffers

    raw = operator.CustomOptionsAsNumpy()
    try:
        found = flexbuffers.Loads(bytes(raw))
        options = PoseNetOptions(
            stride=int(found["stride"]),
            score_threshold=float(found["score_threshold"]),
            nms_radius_px=float(found["nms_radius"]),
            max_detections=int(found["max_detections"]),
        )
    except Exception as error:
        # flexbuffers does not validate its input, so damaged data may raise any exception.
        msg = f"model {info.name}: the options of {OP} cannot be read; download the file again"
        raise ModelError(msg) from error
    if (
        not 1 <= (options.stride or 0) <= 128
        or not 0 < options.score_threshold < 1
        or not 0 < options.nms_radius_px < 1000
        or not 1 <= options.max_detections <= 1000
    ):
        msg = f"model {info.name}: {OP} has {options}, which is invalid; download it again"
        raise ModelError(msg)
    return options
