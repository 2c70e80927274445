# Written by scripts/public_names.py from the table in names.py; do not edit.
from threegen.datasets.batches import Batch as Batch
from threegen.datasets.dataset import Data as Data
from threegen.datasets.dataset import Dataset as Dataset
from threegen.datasets.dataset import Split as Split
from threegen.datasets.distortions import Distortions as Distortions
from threegen.datasets.load import load_data as load_data
from threegen.datasets.text import read_text as read_text

__all__ = [
    "Batch",
    "Data",
    "Dataset",
    "Distortions",
    "Split",
    "load_data",
    "read_text",
]
