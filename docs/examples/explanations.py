"""An example for each public name of `tg.explanations`; the first cell belongs to all of them."""

# %% setup
import torch

import threegen as tg

images = tg.load_data("mnist").test.inputs[:2]
net = tg.pretrained("lenet-5-modern")

# %% explain
look = tg.explanations.explain(net)
print(look.summary(images))

# %% Explainer
look = tg.explain(net)
assert isinstance(look, tg.explanations.Explainer)
heat = look.grad_cam(images)

# %% Maps
heat = tg.explain(net).saliency(images)
assert isinstance(heat, tg.explanations.Maps)
assert heat.shape == images.shape

# %% Summary
summary = tg.explain(net).summary(images)
assert isinstance(summary, tg.explanations.Summary)
print(summary.parameters)

# %% trace_model
trace = tg.explanations.trace_model(net, images)
print(trace)

# %% receptive_fields, theta_histogram
model = tg.pretrained("diehl-cook")
picture = tg.explanations.receptive_fields(model, (28, 28), most=25)
assert picture.startswith(b"\x89PNG")
drawing = tg.explanations.theta_histogram(torch.rand(100) * 20)
assert "<svg" in drawing

# %% first_spike_gif, seen_sheet
model = tg.models.Mozafari2019(generator=torch.Generator().manual_seed(0))
animation = tg.explanations.first_spike_gif(model, images[0])  # bytes of a GIF
picture = tg.explanations.seen_sheet(model, "s1")  # bytes of a PNG
