"""Maps of one image and of 64: ours, Captum's, pytorch-grad-cam's, and the passes that every method needs.

The floor of saliency is one forward pass and one gradient by the input; that of Grad-CAM one forward pass and the
gradient by the last feature maps; that of occlusion one forward pass a window, in chunks of the size that is fastest
here (32 images for the small net, 16 for AlexNet). All give milliseconds per image, on one core by default.
"""

from __future__ import annotations

import torch
from harness import HERE, Contestant, Job, main
from nets_to_explain import NETS, WINDOWS, images, milliseconds, parse

import threegen as tg

JOB_NAMES = [
    *(f"{method}-{net}{batch}" for method in ("saliency", "gradcam") for net in NETS for batch in ("", "-b64")),
    "guided-mnist",
    "occlusion-mnist",
    "occlusion-alexnet",
]
CHUNKS = {"mnist": 32, "alexnet": 16}


class Ours:
    """The call as a user writes it."""

    def __init__(self, job: str) -> None:
        self.job = job

    def __call__(self, quick: bool) -> float:
        """Return milliseconds per image."""
        method, net, batch = parse(self.job)
        look, x = tg.explain(NETS[net][0]()), images(net, batch)
        window, stride = WINDOWS[net]
        work = {
            "saliency": lambda: look.saliency(x),
            "guided": lambda: look.saliency(x, modifier="guided"),
            "gradcam": lambda: look.grad_cam(x, resize=False),
            "occlusion": lambda: look.occlusion(x, window=window, stride=stride),
        }[method]
        return milliseconds(work, batch, quick)


class Floor:
    """Only the passes."""

    def __init__(self, job: str) -> None:
        self.job = job

    def __call__(self, quick: bool) -> float:
        """Return milliseconds per image."""
        method, net, batch = parse(self.job)
        build, shape, last = NETS[net]
        model, x = build(), images(net, batch)
        for weight in model.parameters():
            weight.requires_grad_(False)
        front, back = model[: last + 1], model[last + 1 :]

        def saliency() -> None:
            leaf = x.clone().requires_grad_()
            torch.autograd.grad(model(leaf).max(1).values.sum(), leaf)

        def gradcam() -> None:
            planes = front(x).requires_grad_()
            torch.autograd.grad(back(planes).max(1).values.sum(), planes)

        window, stride = WINDOWS[net]
        positions = ((shape[1] - window) // stride + 1) ** 2
        chunk = CHUNKS[net]

        @torch.inference_mode()
        def occlusion() -> None:
            for start in range(0, positions, chunk):
                model(x.expand(min(chunk, positions - start), *shape))

        work = {"saliency": saliency, "guided": saliency, "gradcam": gradcam, "occlusion": occlusion}[method]
        return milliseconds(work, batch, quick)


def peers(job: str) -> list[Contestant]:
    """Return the other contestants of a job."""
    found = [Contestant("captum", HERE / "peers" / "captum_maps.py", job, "captum")]
    if job.startswith("occlusion"):
        best = f"{job}-b1-best"
        found.append(Contestant("captum at its best", HERE / "peers" / "captum_maps.py", best, "captum"))
    if job.startswith("gradcam"):
        found.append(Contestant("pytorch-grad-cam", HERE / "peers" / "grad_cam_maps.py", job, "grad-cam"))
    return found


JOBS = [
    Job(
        name=name,
        unit=lambda quick: "milliseconds per image",
        ours=Ours(name),
        floor=Floor(name),
        peers=peers(name),
        threads=1,
        packages=("threegen", "torch"),
    )
    for name in JOB_NAMES
]

if __name__ == "__main__":
    main(JOBS, __file__)
