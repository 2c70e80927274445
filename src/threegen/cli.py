"""The command line: thin. Each command parses, calls one function and prints what it returned.

Exit code 0: done; 2: something that the user can mend (one sentence says what); 130: Ctrl-C; 1: a bug of ours.
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from threegen.errors import Interrupted, ThreegenError, WorkerError

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    help="Three generations of neural networks: train each by the rule of its paper, see what each answer costs.",
)
data_app = typer.Typer(no_args_is_help=True, help="Data sets: what there is, fetch, import, check, preview.")
app.add_typer(data_app, name="data")

Json = Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")]
Seed = Annotated[int, typer.Option(help="Drives weights, order of the data and every random draw.")]
DataName = Annotated[str, typer.Option("--data", help="A known name (threegen data list), a CSV file or a folder.")]
Quiet = Annotated[bool, typer.Option("--quiet", help="No progress bars.")]
Root = Annotated[Path | None, typer.Option(help="The folder of the data sets; THREEGEN_DATA sets it too.")]


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line and exit; `arguments` default to those of the process."""
    sys.exit(run(sys.argv[1:] if arguments is None else list(arguments)))


def run(arguments: list[str]) -> int:
    """Run one command and return its exit code."""
    if _is_helper():
        sys.stdout = Path(os.devnull).open("w")  # noqa: SIM115  # of several processes the first one alone speaks
    try:
        app(arguments, standalone_mode=True)
    except SystemExit as stop:
        return stop.code if isinstance(stop.code, int) else 0
    except Interrupted as stop:
        where = f"go on with: threegen train --resume --out {stop.folder}" if stop.folder else "nothing was saved"
        if not _is_helper():
            _complain(f"interrupted; the last batch was finished; {where}")
        _wait_for_the_first()
        return 130
    except KeyboardInterrupt:
        _complain("interrupted")
        return 130
    except ThreegenError as problem:
        if not _is_helper() or isinstance(problem, WorkerError):  # where the first has died, another must say so
            _complain(f"{type(problem).__name__}: {problem}")
        else:
            _wait_for_the_first()
        return 2
    return 0


def _wait_for_the_first() -> None:
    """Let the first process say what went wrong and save: torchrun ends all others when one has ended."""
    if _is_helper():
        time.sleep(10)


def _is_helper() -> bool:
    """Return whether this is not the first of several processes that torchrun started."""
    return int(os.environ.get("WORLD_SIZE") or 1) > 1 and os.environ.get("RANK", "0") != "0"


def _complain(sentence: str) -> None:
    Console(stderr=True, soft_wrap=True, highlight=False, markup=False).print(sentence)


def _print(text: str) -> None:
    Console(soft_wrap=True, highlight=False, markup=False).print(text)


def _print_json(value: Any) -> None:
    sys.stdout.write(json.dumps(value, indent=2, ensure_ascii=False) + "\n")


def _print_table(rows: Sequence[dict[str, Any]], title: str = "") -> None:
    table = Table(title=title or None, title_justify="left")
    for name in rows[0] if rows else []:
        numeric = all(isinstance(row[name], int | float) for row in rows)
        table.add_column(name, justify="right" if numeric else "left", overflow="fold")
    for row in rows:
        table.add_row(*(_cell(value) for value in row.values()))
    Console().print(table)


def _cell(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:,.4g}"
    return f"{value:,}" if isinstance(value, int) and not isinstance(value, bool) and value > 9999 else str(value)


@app.command()
def history(
    data: DataName = "mnist",
    quick: Annotated[bool, typer.Option("--quick", help="A few minutes (the default).")] = False,
    full: Annotated[bool, typer.Option("--full", help="Longer training, better figures.")] = False,
    out: Annotated[Path, typer.Option(help="Where runs, results.json and report.html go.")] = Path("runs/history"),
    seed: Seed = 0,
    only: Annotated[list[str] | None, typer.Option(help="Train only this model; may be given several times.")] = None,
    device: Annotated[str | None, typer.Option(help="auto, cpu or cuda.")] = None,
    quiet: Quiet = False,
    as_json: Json = False,
) -> None:
    """Train the whole lineage, evaluate it once on the test split, and write results.json and report.html."""
    from threegen.report.history import make_history

    if quick and full:
        raise typer.BadParameter("choose --quick or --full, not both")
    mode = "full" if full else "quick"
    command = f"threegen history --data {data} --{mode} --out {out} --seed {seed}"
    for name in only or []:
        command += f" --only {name}"
    result, page = make_history(
        data, mode=mode, out=out, seed=seed, only=only, device=device, progress=not quiet, command=command
    )
    if as_json:
        _print_json(result.as_dict())
        return
    _print_table([_summary(model.as_dict()) for model in result.models], f"{result.mode}, seed {result.seed}")
    _print(f"report: {page}")


def _summary(model: dict[str, Any]) -> dict[str, Any]:
    low, high = model["interval"]
    return {
        "model": model["name"],
        "year": model["year"],
        "accuracy": f"{model['accuracy']:.2%}",
        "95 %": f"{100 * low:.1f}..{100 * high:.1f}",
        "weights": model["parameters"],
        "seconds": round(model["seconds"], 1),
    }


@app.command()
def models(as_json: Json = False) -> None:
    """List the models that there are."""
    from threegen.recipes.registry import all_entries

    rows = [
        {"name": e.name, "generation": e.generation, "year": e.year, "rule": e.rule_name, "title": e.title}
        for e in all_entries().values()
    ]
    _print_json(rows) if as_json else _print_table(rows)


@app.command()
def show(
    model: str,
    as_json: Json = False,
) -> None:
    """Show one model: paper, equations, layers with shapes and parameters, plans."""
    from threegen.recipes.show import describe_model

    facts = describe_model(model)
    if as_json:
        _print_json(facts)
        return
    _print(f"{facts['title']} ({facts['name']}), generation {facts['generation']}, {facts['year']}")
    _print(f"{facts['paper']}\n\n{facts['about']}\n\n{facts['equations']}\n\nlearns by {facts['rule']}\n")
    _print_table(facts["layers"], f"{facts['parameters']:,} parameters")
    _print_table(facts["plans"])


@app.command()
def train(
    model: Annotated[str | None, typer.Argument(help="A name from `threegen models`.")] = None,
    data: DataName = "mnist",
    epochs: Annotated[int | None, typer.Option(help="Replaces the plan's number of epochs.")] = None,
    plan: Annotated[str, typer.Option(help="quick or full: which settings of the model to take.")] = "full",
    seed: Annotated[int | None, typer.Option(help="Drives weights, order and every random draw; 0.")] = None,
    out: Annotated[Path | None, typer.Option(help="The run's folder; runs/MODEL by default.")] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Go on from the newest checkpoint in --out.")] = False,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Give up the run that --out holds.")] = False,
    holdout: Annotated[int, typer.Option(help="Keep this many training images for validation.")] = 0,
    checkpoint_every: Annotated[int | None, typer.Option(help="Save every so many batches too.")] = None,
    device: Annotated[str, typer.Option(help="auto, cpu or cuda.")] = "auto",
    quiet: Quiet = False,
    as_json: Json = False,
) -> None:
    """Train a model of the registry and leave a run: a folder with its weights, log and checkpoints."""
    from threegen.recipes.train import TrainRequest, train_from_request

    request = TrainRequest(
        model=model,
        data=data,
        epochs=epochs,
        mode=plan,
        seed=seed,
        out=out,
        resume=resume,
        overwrite=overwrite,
        holdout=holdout,
        checkpoint_every=checkpoint_every,
        device=device,
        progress=not quiet,
    )
    done = train_from_request(request)
    if as_json:
        _print_json({"folder": str(done.folder), **done.facts})
        return
    _print_table(done.log.epochs)
    if done.log.stopped:
        _print(f"stopped early: {done.log.stopped}")
    _print(f"run: {done.folder}  (threegen evaluate {done.folder})")


@app.command()
def evaluate(
    run: Path,
    data: Annotated[str | None, typer.Option("--data", help="Other data than the run was trained on.")] = None,
    seed: Seed = 0,
    as_json: Json = False,
) -> None:
    """Evaluate a run on the test split: accuracy with its interval, top-k, confusion matrix, the bill."""
    from threegen.recipes.answer import evaluate_run

    found = evaluate_run(run, data=data, seed=seed)
    if as_json:
        _print_json(found.as_dict())
        return
    _print(str(found))
    names = found.classes
    rows = [
        {"truth": names[i], **{name: row[j] for j, name in enumerate(names)}} for i, row in enumerate(found.confusion)
    ]
    _print_table(rows, "confusion matrix (rows: truth, columns: answer)")


@app.command()
def predict(
    run: Path,
    image: Annotated[str, typer.Argument(help="A picture file, or a number: that image of the test split.")],
    seed: Seed = 0,
    as_json: Json = False,
) -> None:
    """Say what a run sees in one picture."""
    from threegen.recipes.answer import predict_run

    answer = predict_run(run, image, seed=seed)
    if as_json:
        _print_json(answer)
        return
    truth = "" if answer["truth"] is None else f" (it is {answer['truth']})"
    _print(f"{answer['answer']}{truth}")
    _print_table(answer["scores"])


@app.command()
def explain(
    run: Path,
    image: Annotated[
        str | None, typer.Argument(help="A picture file, or a number: that image of the test split.")
    ] = None,
    method: Annotated[str, typer.Option(help="saliency, occlusion, grad-cam, maximise, summary, diagram, ...")] = (
        "saliency"
    ),
    target: Annotated[str | None, typer.Option(help="The class to explain; the answer by default.")] = None,
    layer: Annotated[str | None, typer.Option(help="The layer, for methods that look at one.")] = None,
    modifier: Annotated[str | None, typer.Option(help="guided or deconv, for saliency and grad-cam.")] = None,
    out: Annotated[Path | None, typer.Option(help="The .svg or .png file; METHOD.svg in the run by default.")] = None,
    seed: Seed = 0,
    as_json: Json = False,
) -> None:
    """Look inside a run: heat maps, what a class wants to see, layers and their cost, a drawing of the net."""
    from threegen.recipes.look import explain_run

    found = explain_run(run, image, method, target=target, layer=layer, modifier=modifier, out=out, seed=seed)
    if as_json:
        _print_json(found)
        return
    if "text" in found:
        _print(found["text"])
    if "answer" in found:
        _print(f"answer: {found['answer']}")
    _print(f"picture: {found['file']}")


@app.command()
def spikes(
    run: Path,
    image: Annotated[str, typer.Argument(help="A picture file, or a number: that image of the test split.")],
    out: Annotated[Path | None, typer.Option(help="A .html or .gif file; spikes.html in the run by default.")] = None,
    seed: Seed = 0,
    as_json: Json = False,
) -> None:
    """Draw what a spiking run does with one picture: raster, membrane potentials and the rate of each layer."""
    from threegen.recipes.spikes import spikes_run

    found = spikes_run(run, image, out or run / "spikes.html", seed=seed)
    if as_json:
        _print_json(found)
        return
    _print(f"answer: {found['answer']}")
    _print_table(found["layers"])
    _print(f"picture: {found['file']}")


@app.command()
def report(
    run: Path,
    out: Annotated[Path | None, typer.Option(help="The HTML file; report.html in the run's folder by default.")] = None,
    as_json: Json = False,
) -> None:
    """Write the HTML report of one run, or of a folder of runs."""
    from threegen.report.history import report_runs

    page = report_runs(run, out, command=f"threegen report {run}")
    _print_json({"report": str(page)}) if as_json else _print(f"report: {page}")


@app.command()
def reproduce(
    name: Annotated[str | None, typer.Argument(help="A published figure; none lists them.")] = None,
    out: Annotated[Path, typer.Option(help="The folder of the results.")] = Path("reproduction"),
    quiet: Quiet = False,
    as_json: Json = False,
) -> None:
    """Make a published figure anew and write reproduction/NAME.json."""
    from threegen.recipes.reproduce import figure_table, reproduce_figure

    if name is None:
        rows = figure_table(out)
        _print_json(rows) if as_json else _print_table(rows)
        return
    record = reproduce_figure(name, out, progress=not quiet)
    _print_json(record) if as_json else _print_table([{k: str(v) for k, v in record.items()}])


@app.command()
def study(
    name: Annotated[str | None, typer.Argument(help="A study, or all; none lists them.")] = None,
    quick: Annotated[bool, typer.Option("--quick", help="About half a minute a study at most.")] = False,
    out: Annotated[Path, typer.Option(help="Each study's results.json and drawings go to a folder in here.")] = Path(
        "runs/studies"
    ),
    seed: Seed = 0,
    quiet: Quiet = False,
    as_json: Json = False,
) -> None:
    """Run an experiment of the textbooks: figures as results.json, drawings as PNG and SVG."""
    from threegen.studies.registry import all_studies, run_all_studies, run_study, summary

    if name is None:
        rows = [{"name": one.name, "title": one.title, "about": one.about} for one in all_studies().values()]
        _print_json(rows) if as_json else _print_table(rows)
        return

    def show(result: dict[str, Any]) -> None:
        if as_json:
            return
        if "skipped" in result:
            _print(f"{result['title']}: left out; {result['skipped']}")
            return
        _print_table(summary(result["figures"]), f"{result['title']} ({result['seconds']} s)")
        _print(f"{result['about']}\ndrawings: {out / result['study']}")

    if name == "all":
        results = run_all_studies(quick=quick, out=out, seed=seed, progress=not quiet, done=show)
        if as_json:
            _print_json(results)
        return
    result = run_study(name, quick=quick, out=out / name, seed=seed, progress=not quiet)
    _print_json(result) if as_json else show(result)


@app.command()
def doctor(as_json: Json = False) -> None:
    """Say what this machine has and whether threegen can work well on it."""
    from threegen.recipes.doctor import examine

    findings = examine()
    if as_json:
        _print_json(findings)
    else:
        _print_table(findings)
    if any(row["state"] == "broken" for row in findings):
        raise typer.Exit(2)


@data_app.command("list")
def data_list(root: Root = None, as_json: Json = False) -> None:
    """List the data sets that are known by name and whether they are here."""
    from threegen.datasets.manage import list_data

    rows = [row.as_dict() for row in list_data(root=root)]
    if as_json:
        _print_json(rows)
        return
    shown = ("name", "state", "train", "test", "shape", "title")
    _print_table([{name: row[name] for name in shown} for row in rows])
    for row in rows:
        if row["advice"]:
            _print(f"{row['name']}: {row['advice']}")


@data_app.command("get")
def data_get(name: str, root: Root = None, quiet: Quiet = False, as_json: Json = False) -> None:
    """Download a data set, verify it and move it into place: the only command that touches the network."""
    from threegen.datasets.download import get_data

    folder = get_data(name, root=root, progress=not quiet)
    _print_json({"name": name, "folder": str(folder)}) if as_json else _print(f"{name}: {folder}")


@data_app.command("import")
def data_import(
    name: str,
    path: Annotated[list[Path], typer.Argument(help="Files, a folder or an archive that holds the data set.")],
    root: Root = None,
    as_json: Json = False,
) -> None:
    """Take over a data set that you already have; it is verified like a download."""
    from threegen.datasets.download import import_data

    folder = import_data(name, path, root=root)
    _print_json({"name": name, "folder": str(folder)}) if as_json else _print(f"{name}: {folder}")


@data_app.command("check")
def data_check(name: str, root: Root = None, as_json: Json = False) -> None:
    """Open every file of a data set afresh: sums, counts, labels, balance of the classes."""
    from threegen.datasets.manage import check_data

    found = check_data(name, root=root)
    _print_json(found.as_dict()) if as_json else _print(str(found))
    if not found.ok:
        raise typer.Exit(2)


@data_app.command("preview")
def data_preview(
    name: str = "mnist",
    out: Annotated[Path | None, typer.Option(help="The PNG file; NAME-preview.png by default.")] = None,
    split: Annotated[str, typer.Option(help="train or test.")] = "train",
    root: Root = None,
    as_json: Json = False,
) -> None:
    """Draw a hundred pictures of a data set into a PNG file."""
    from threegen.datasets.manage import preview_data

    picture = preview_data(name, out, root=root, split=split)
    _print_json({"picture": str(picture)}) if as_json else _print(f"picture: {picture}")


if __name__ == "__main__":
    main()
