"""An example for each public name of `tg.conversion`; the first cell belongs to all of them."""

# %% setup
import tempfile
import warnings
from pathlib import Path

import threegen as tg

folder = Path(tempfile.mkdtemp())
data = tg.load_data("mnist")
net = tg.pretrained("lenet-5-modern")
warnings.simplefilter("ignore", tg.conversion.ConversionWarning)  # few images and few steps: quick, and less exact

# %% convert
spiking = tg.conversion.convert(net, calibrate=data.train.take(200), steps=4)
print(tg.evaluate(spiking, data.test.take(200)))

# %% ConvertedNet, ConversionReport
spiking = tg.convert(net, calibrate=data.train.take(200), steps=4)
assert isinstance(spiking, tg.conversion.ConvertedNet)
assert isinstance(spiking.report, tg.conversion.ConversionReport)
print(spiking.report)  # accuracy against T, and what each layer lost

# %% ConversionWarning
with warnings.catch_warnings(record=True) as caught:
    warnings.simplefilter("always", tg.conversion.ConversionWarning)
    tg.convert(net, calibrate=data.train.take(200), steps=1)
print([str(one.message) for one in caught])  # says how much the conversion lost, and where

# %% NirFile, export_nir
net = tg.SpikingMLP([784, 20, 10], steps=4, encoder=tg.Bernoulli())
written = tg.conversion.export_nir(net, folder / "net.nir", inputs=data.test.inputs[:2])
assert isinstance(written, tg.conversion.NirFile)
assert written.agreement == 1.0

# %% import_nir
net = tg.SpikingMLP([784, 20, 10], steps=4, encoder=tg.Bernoulli())
tg.conversion.export_nir(net, folder / "again.nir", inputs=data.test.inputs[:2])
read = tg.conversion.import_nir(folder / "again.nir", steps=4)

# %% OnnxFile, export_onnx
written = tg.conversion.export_onnx(tg.MLP([784, 20, 10]), folder / "net.onnx", example=data.test.inputs[:2])
assert isinstance(written, tg.conversion.OnnxFile)
print(written.difference)
