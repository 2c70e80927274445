"""Commands that look at models and runs: models, show, evaluate, predict, explain, spikes, report, doctor."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from threegen.cli.printing import (
    Json,
    Module,
    RunOrName,
    Seed,
    app,
    complain,
    print_json,
    print_table,
    print_text,
)

INPUT = "A picture file (a recording for a run on events), or the number of an example of the test split."
UNDECIDED = "undecided: all classes have the same score; the net is silent, or its neurons have no classes yet"


@app.command()
def models(as_json: Json = False) -> None:
    """List all models, with the test accuracy of the weights in the package."""
    from threegen.registry.entry import all_entries
    from threegen.runs.pretrained import pretrained_models

    accuracy = {name: f"{facts['accuracy']:.2%}" for name, facts in pretrained_models().items()}
    rows = [
        {
            "name": e.name,
            "generation": e.generation,
            "year": e.year,
            "rule": e.rule_name,
            "title": e.title,
            "accuracy": accuracy.get(e.name, ""),
        }
        for e in all_entries().values()
    ]
    if as_json:
        print_json(rows)
    else:
        print_table([{"gen." if key == "generation" else key: cell for key, cell in row.items()} for row in rows])


@app.command()
def show(
    model: str,
    as_json: Json = False,
) -> None:
    """Show one model: paper, equations, layers with shapes and parameters, plans."""
    from threegen.runs.show import describe_model

    facts = describe_model(model)
    if as_json:
        print_json(facts)
        return
    print_text(f"{facts['title']} ({facts['name']}), generation {facts['generation']}, {facts['year']}")
    print_text(f"{facts['paper']}\n\n{facts['about']}\n\n{facts['equations']}\n\nlearns by {facts['rule']}\n")
    print_table(facts["layers"], f"{facts['parameters']:,} parameters")
    print_table(facts["plans"])


@app.command()
def evaluate(
    run: RunOrName,
    data: Annotated[str | None, typer.Option("--data", help="Other data than the run was trained on.")] = None,
    ten_crop: Annotated[
        bool, typer.Option("--ten-crop", help="Pictures on disk: the mean over ten windows of each picture.")
    ] = False,
    seed: Seed = 0,
    module: Module = None,
    as_json: Json = False,
) -> None:
    """Evaluate a run on the test split: accuracy with its interval, top-1 and top-5 error, confusion matrix."""
    from threegen.runs.answer import evaluate_run

    found = evaluate_run(run, data=data, seed=seed, module=module, ten_crop=ten_crop)
    if as_json:
        print_json(found.as_dict())
        return
    print_text(str(found))
    print_text(f"top-1 error {found.error(1):.2%}, top-5 error {found.error(5):.2%}")
    print_text(f"answered by {found.source}")
    names = found.classes
    rows = [
        {"truth": names[i], **{name: row[j] for j, name in enumerate(names)}} for i, row in enumerate(found.confusion)
    ]
    print_table(rows, "confusion matrix (rows: truth, columns: answer)")


@app.command()
def predict(
    run: RunOrName,
    image: Annotated[str, typer.Argument(help=INPUT)],
    seed: Seed = 0,
    module: Module = None,
    as_json: Json = False,
) -> None:
    """Classify one picture or recording with a run."""
    from threegen.runs.answer import predict_run

    answer = predict_run(run, image, seed=seed, module=module)
    if as_json:
        print_json(answer)
        return
    truth = "" if answer["truth"] is None else f" (it is {answer['truth']})"
    print_text(f"{answer['answer'] or UNDECIDED}{truth}")
    print_text(f"answered by {answer['source']}")
    print_table(answer["scores"])


@app.command()
def explain(
    run: RunOrName,
    image: Annotated[
        str | None, typer.Argument(help="A picture file, or the number of an image of the test split.")
    ] = None,
    method: Annotated[
        str | None,
        typer.Option(
            help="saliency (the default), occlusion (of nets without a gradient), grad-cam, maximise, summary, ..."
        ),
    ] = None,
    target: Annotated[str | None, typer.Option(help="The class to explain; the answer by default.")] = None,
    layer: Annotated[str | None, typer.Option(help="The layer, for methods that look at one.")] = None,
    modifier: Annotated[str | None, typer.Option(help="guided or deconv, for saliency and grad-cam.")] = None,
    out: Annotated[
        Path | None, typer.Option(help="The .svg, .png or .pdf file; METHOD.svg in the run by default.")
    ] = None,
    overlay: Annotated[bool, typer.Option("--overlay", help="Lay a heat map over its picture.")] = False,
    scale: Annotated[float | None, typer.Option(help="Pixels of the file for one pixel of a heat map.")] = None,
    bar: Annotated[bool, typer.Option("--bar", help="Add a colour bar to a heat map.")] = False,
    colormap: Annotated[
        str | None, typer.Option(help="A colormap of matplotlib for heat maps: viridis, magma.")
    ] = None,
    depth: Annotated[int | None, typer.Option(help="For summary and diagram: fold blocks deeper than this.")] = None,
    seed: Seed = 0,
    module: Module = None,
    as_json: Json = False,
) -> None:
    """Look inside a run: heat maps, what a class wants to see, layers and their cost, a drawing of the net."""
    from threegen.runs.explain import explain_run

    found = explain_run(
        run,
        image,
        method,
        target=target,
        layer=layer,
        modifier=modifier,
        out=out,
        seed=seed,
        options=None if depth is None else {"depth": depth},
        drawing={"overlay": overlay, "scale": scale, "bar": bar, "colormap": colormap},
        module=module,
    )
    if as_json:
        print_json(found)
        return
    if "text" in found:
        print_text(found["text"])
    if "answer" in found:
        print_text(f"answer: {found['answer']}")
    print_text(f"of {found['source']}")
    print_text(f"picture: {found['file']}")


@app.command()
def spikes(
    run: RunOrName,
    image: Annotated[str, typer.Argument(help=INPUT)],
    out: Annotated[Path | None, typer.Option(help="A .html or .gif file; spikes.html in the run by default.")] = None,
    seed: Seed = 0,
    as_json: Json = False,
) -> None:
    """Draw what a spiking run does with one input: raster, membrane potentials, the rate of each layer, and a GIF."""
    from threegen.runs.spikes import spikes_run

    found = spikes_run(run, image, out, seed=seed)
    if as_json:
        print_json(found)
        return
    print_text(f"answer: {found['answer']}")
    print_table(found["layers"])
    for sentence in found["warnings"]:
        print_text(f"warning: {sentence}")
    print_text(f"of {found['source']}")
    print_text(f"picture: {found['file']}")
    if found["animation"] != found["file"]:
        print_text(f"animation: {found['animation']}")


@app.command()
def report(
    run: Path,
    out: Annotated[Path | None, typer.Option(help="The HTML file; report.html in the run's folder by default.")] = None,
    module: Module = None,
    as_json: Json = False,
) -> None:
    """Write the HTML report of one run, or of a folder of runs."""
    from threegen.report.history import report_runs

    page = report_runs(run, out, command=f"threegen report {run}", module=module)
    print_json({"report": str(page)}) if as_json else print_text(f"report: {page}")


@app.command()
def doctor(
    compile_all: Annotated[bool, typer.Option("--compile", help="Compile all kernels now, ahead of use.")] = False,
    as_json: Json = False,
) -> None:
    """Report what this machine has and whether threegen can work well on it."""
    from threegen.runs.doctor import examine

    if compile_all:
        from threegen.runs.compilation import compile_kernels

        done = compile_kernels(lambda name: complain(f"compiling what {name} needs"))
        print_json(done) if as_json else print_text(f"{done['compiled']} functions compiled, in {done['folder']}")
        return

    findings = examine()
    if as_json:
        print_json(findings)
    else:
        print_table(findings)
    if any(row["state"] == "broken" for row in findings):
        raise typer.Exit(2)
