# Written by scripts/public_names.py from the table in names.py; do not edit.
from threegen.datasets.augmentation import Augmentation as Augmentation
from threegen.datasets.augmentation import TenCrops as TenCrops
from threegen.datasets.augmentation import principal_colours as principal_colours
from threegen.datasets.augmentation import ten_crops as ten_crops
from threegen.datasets.batches import Batch as Batch
from threegen.datasets.dataset import Data as Data
from threegen.datasets.dataset import Dataset as Dataset
from threegen.datasets.dataset import Split as Split
from threegen.datasets.distortions import Distortions as Distortions
from threegen.datasets.events.aedat2 import read_aedat2 as read_aedat2
from threegen.datasets.events.aedat2 import write_aedat2 as write_aedat2
from threegen.datasets.events.aedat3 import cut_gesture as cut_gesture
from threegen.datasets.events.aedat3 import read_aedat3 as read_aedat3
from threegen.datasets.events.aedat3 import read_gestures as read_gestures
from threegen.datasets.events.aedat3 import write_aedat3 as write_aedat3
from threegen.datasets.events.aedat4 import read_aedat4 as read_aedat4
from threegen.datasets.events.bin40 import read_bin as read_bin
from threegen.datasets.events.bin40 import write_bin as write_bin
from threegen.datasets.events.evt import read_evt as read_evt
from threegen.datasets.events.filters import crop as crop
from threegen.datasets.events.filters import crop_time as crop_time
from threegen.datasets.events.filters import denoise as denoise
from threegen.datasets.events.filters import drop as drop
from threegen.datasets.events.filters import flip as flip
from threegen.datasets.events.filters import jitter as jitter
from threegen.datasets.events.filters import shrink as shrink
from threegen.datasets.events.filters import stabilise as stabilise
from threegen.datasets.events.filters import without_hot_pixels as without_hot_pixels
from threegen.datasets.events.frames import to_frames as to_frames
from threegen.datasets.events.frames import to_sliding_frames as to_sliding_frames
from threegen.datasets.events.frames import to_time_surface as to_time_surface
from threegen.datasets.events.frames import to_voxel_grid as to_voxel_grid
from threegen.datasets.events.prophesee import read_dat as read_dat
from threegen.datasets.events.read import read_events as read_events
from threegen.datasets.events.spike_hdf5 import SpikeFile as SpikeFile
from threegen.datasets.events.stream import Events as Events
from threegen.datasets.events.stream import make_events as make_events
from threegen.datasets.load import load_data as load_data
from threegen.datasets.mnist_form import mnist_form as mnist_form
from threegen.datasets.motions import Loop as Loop
from threegen.datasets.motions import Saccades as Saccades
from threegen.datasets.motions import Stroke as Stroke
from threegen.datasets.picture_dataset import PictureDataset as PictureDataset
from threegen.datasets.saccades import Camera as Camera
from threegen.datasets.saccades import simulate as simulate
from threegen.datasets.simulated import simulate_data as simulate_data
from threegen.datasets.strokes import mnist_form_of_strokes as mnist_form_of_strokes
from threegen.datasets.text import read_text as read_text

__all__ = [
    "Augmentation",
    "Batch",
    "Camera",
    "Data",
    "Dataset",
    "Distortions",
    "Events",
    "Loop",
    "PictureDataset",
    "Saccades",
    "SpikeFile",
    "Split",
    "Stroke",
    "TenCrops",
    "crop",
    "crop_time",
    "cut_gesture",
    "denoise",
    "drop",
    "flip",
    "jitter",
    "load_data",
    "make_events",
    "mnist_form",
    "mnist_form_of_strokes",
    "principal_colours",
    "read_aedat2",
    "read_aedat3",
    "read_aedat4",
    "read_bin",
    "read_dat",
    "read_events",
    "read_evt",
    "read_gestures",
    "read_text",
    "shrink",
    "simulate",
    "simulate_data",
    "stabilise",
    "ten_crops",
    "to_frames",
    "to_sliding_frames",
    "to_time_surface",
    "to_voxel_grid",
    "without_hot_pixels",
    "write_aedat2",
    "write_aedat3",
    "write_bin",
]
