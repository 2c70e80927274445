# Written by scripts/public_names.py from the table in names.py; do not edit.
from threegen.conversion.convert import ConversionWarning as ConversionWarning
from threegen.conversion.convert import ConvertedNet as ConvertedNet
from threegen.conversion.convert import convert as convert
from threegen.conversion.nir_read import import_nir as import_nir
from threegen.conversion.nir_write import NirFile as NirFile
from threegen.conversion.nir_write import export_nir as export_nir
from threegen.conversion.onnx import OnnxFile as OnnxFile
from threegen.conversion.onnx import export_onnx as export_onnx
from threegen.conversion.report import ConversionReport as ConversionReport

__all__ = [
    "ConversionReport",
    "ConversionWarning",
    "ConvertedNet",
    "NirFile",
    "OnnxFile",
    "convert",
    "export_nir",
    "export_onnx",
    "import_nir",
]
