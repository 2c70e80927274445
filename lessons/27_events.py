# %% [markdown]
# # 27. A camera that sends spikes
# **Question.** How does a spiking net process input that already consists of spikes? **Time:** 1 minute.
# **Source:** P. Lichtsteiner, C. Posch and T. Delbruck, IEEE Journal of Solid-State Circuits 43 (2008).
#
# Each pixel of an event camera works independently. When the logarithm of its light has changed by a threshold, it
# sends an event: time, column, row, and ON (brighter) or OFF (darker). If nothing changes, nothing is sent, so a digit
# that does not move is invisible. For N-MNIST the camera was moved: three movements of a tenth of a second each.
# threegen simulates this.

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
# **Movement causes events.** Their number in each 10 ms shows the three movements and the pauses between them.

# %%
profile = tg.datasets.to_frames(events, 30, milliseconds=300).sum((1, 2, 3))
for start, count in enumerate(profile.tolist()):
    print(f"{10 * start:4} ms {'#' * int(count // 10)}")
assert 1 + int(profile[1:29].argmin()) in (9, 10, 19, 20, 21, 22)  # the quietest parts are the pauses

# %% [markdown]
# **Frames.** A spiking net with T time steps needs T inputs. The recording is divided into T intervals. A frame counts
# the events of one interval, ON and OFF separately. No encoder is needed, and no spike is drawn at random.

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
# 1. Train with one frame for each movement: `simulate_data(..., (0, 103, 206, 310), binary=True)`. Is the accuracy
#    higher?
# 2. Play the events backwards: `tg.datasets.flip(events, "time")`. Why are ON and OFF exchanged?
# 3. This one checks itself: the light of a pixel falls from 1 to 0.2. The threshold is 0.25 in the natural logarithm of
#    the light. How many OFF events does the pixel send?

# %%
answer = None  # write your number here


def right(answer):
    light, sent = torch.linspace(1.0, 0.2, 1000).log(), 0
    for value in light:
        sent += value <= -0.25 * (sent + 1)
    return answer == sent


print("not answered yet" if answer is None else "right" if right(answer) else "look again")
