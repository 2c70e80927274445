# Written by scripts/public_names.py from the table in names.py; do not edit.
from threegen.conversion.onnx import OnnxFile as OnnxFile
from threegen.conversion.onnx import export_onnx as export_onnx

__all__ = [
    "OnnxFile",
    "export_onnx",
]
