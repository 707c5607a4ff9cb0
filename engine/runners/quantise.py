"""Makes the encoder in int8 for ONNX Runtime: static quantisation, its ranges taken from rendered crops.

Convolutions become int8, but for the backbone's first stage, nearest to the depth itself, and the head's last one,
which votes for joints: a 256th of the range of either is a millimetre. Ranges leave out a hundred-thousandth of the
values, which lie far from all others.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import redirect_stdout
from io import StringIO
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import onnx
from onnxruntime.quantization import CalibrationDataReader

from engine.methods.gaussian.weights import LoadedEncoder
from engine.runners.export import INPUTS, export_onnx
from engine.runners.int8 import DIGEST_KEY, VERSION_KEY, digest_of
from engine.types import FloatArray, LumbricalError
from engine.whole_file import write_whole

_KEPT_IN_FULL = ("/stem/", "/stages.0/", "/head/output/")


class _Crops(CalibrationDataReader):
    def __init__(self, crops: FloatArray, distances: FloatArray) -> None:
        pairs = ((crops[i : i + 1], distances[i : i + 1]) for i in range(len(crops)))
        self._inputs: Iterator[dict[str, FloatArray]] = (dict(zip(INPUTS, pair, strict=True)) for pair in pairs)

    def get_next(self) -> dict[str, FloatArray] | None:
        return next(self._inputs, None)


def quantise(loaded: LoadedEncoder, crops: FloatArray, distances: FloatArray, path: Path) -> None:
    """Write the encoder in int8, whole or not at all. crops (N, 128, 128), distances (N,) mm: what it will see."""
    from onnxruntime.quantization import CalibrationMethod, QuantFormat, QuantType, quantize_static
    from onnxruntime.quantization.shape_inference import quant_pre_process

    if not (len(crops) == len(distances) > 0 and np.isfinite(crops).all()):
        raise ValueError("there must be crops, finite ones, to take the ranges from")
    with TemporaryDirectory(prefix="lumbrical-") as folder:
        full, prepared, small = (Path(folder) / name for name in ("full.onnx", "prepared.onnx", "int8.onnx"))
        export_onnx(loaded, full)
        quant_pre_process(str(full), str(prepared), skip_symbolic_shape=True)
        kept = [
            node.name
            for node in onnx.load(str(prepared)).graph.node
            if any(part in node.name for part in _KEPT_IN_FULL)
        ]
        logging.getLogger().addFilter(_no_advice)
        try:
            with redirect_stdout(StringIO()):  # the quantiser prints how it gets on
                quantize_static(
                    str(prepared), str(small), _Crops(crops, distances), quant_format=QuantFormat.QDQ,
                    per_channel=True, activation_type=QuantType.QUInt8, weight_type=QuantType.QInt8,
                    op_types_to_quantize=["Conv"], nodes_to_exclude=kept,
                    calibrate_method=CalibrationMethod.Percentile,
                )  # fmt: skip
        finally:
            logging.getLogger().removeFilter(_no_advice)
        model = onnx.load(str(small))
        for key, value in ((VERSION_KEY, loaded.version), (DIGEST_KEY, digest_of(model))):
            entry = model.metadata_props.add()
            entry.key, entry.value = key, value
        try:
            write_whole(path, model.SerializeToString())
        except OSError as error:
            raise LumbricalError(f"{path} cannot be written: {error.strerror or error}") from error


def _no_advice(record: logging.LogRecord) -> bool:
    """The quantiser advises to prepare the model, which it was."""
    return "pre-process" not in record.getMessage()
