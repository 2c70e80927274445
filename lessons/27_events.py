# %% [markdown]
# # 27. A camera that sends spikes
# **Question.** What does a spiking net do with input that is spikes already? **Time:** 1 minute.
# **Source:** P. Lichtsteiner, C. Posch and T. Delbruck, IEEE Journal of Solid-State Circuits 43 (2008).
#
# Each pixel of an event camera works alone. When the logarithm of its light has changed by a threshold, it sends an
# event: time, column, row, and ON (brighter) or OFF (darker). Where nothing changes, nothing is sent. A still digit is
# invisible to it, so N-MNIST moved the camera: three short strokes of a tenth of a second. threegen simulates that.

# %%
import torch

import threegen as tg

data = tg.load_data("mnist")
events = tg.datasets.simulate(data.train.inputs[:1])[0]
print(f"{len(events):,} events in {events.duration / 1000:.0f} ms, {events.p.mean():.0%} of them ON")
for event in events.array[:3]:
    print("  ", {name: int(event[name]) for name in "txyp"})
assert (events.t[1:] >= events.t[:-1]).all()

# %% [markdown]
# **Where there is movement there are events.** Their number in each 10 ms shows the three strokes and the pauses.

# %%
profile = tg.datasets.to_frames(events, 30, milliseconds=300).sum((1, 2, 3))
for start, count in enumerate(profile.tolist()):
    print(f"{10 * start:4} ms {'#' * int(count // 10)}")
assert 1 + int(profile[1:29].argmin()) in (9, 10, 19, 20, 21, 22)  # the quietest parts are the pauses

# %% [markdown]
# **Frames.** A spiking net with T steps wants T inputs: events are counted in T parts of the time, ON and OFF apart. No
# encoder is needed, and no spike is drawn at random.

# %%
frames = tg.datasets.to_frames(events, 10, milliseconds=300, binary=True)
print("frames [T, polarity, row, column]:", tuple(frames.shape), f"  {frames.mean():.1%} of the values are spikes")
train = tg.datasets.simulate_data(data.train.take(1000), 10, binary=True)
test = tg.datasets.simulate_data(data.test.take(300), 10, binary=True, first=1000)
net = tg.SpikingMLP([2 * 34 * 34, 100, 10], steps=10, generator=torch.Generator().manual_seed(0))
tg.fit(net, tg.Backprop("mse"), train, optimizer="adam", lr=1e-3, epochs=5, batch_size=50, seed=0)
found = tg.evaluate(net, test)
print(found)
assert found.accuracy > 0.6

# %% [markdown]
# ## Exercises
# 1. Train with one frame for each stroke: `simulate_data(..., (0, 103, 206, 310), binary=True)`. Is it better?
# 2. Play the events backwards: `tg.datasets.flip(events, "time")`. Why do ON and OFF change places?
# 3. This one checks itself: an edge passes a pixel, and its light falls from 1 to 0.2. The threshold is 0.25 in the
#    natural logarithm of the light. How many OFF events does the pixel send?

# %%
answer = None  # write your number here


def right(answer):
    light, sent = torch.linspace(1.0, 0.2, 1000).log(), 0
    for value in light:
        sent += value <= -0.25 * (sent + 1)
    return answer == sent


print("not answered yet" if answer is None else "right" if right(answer) else "look again")
