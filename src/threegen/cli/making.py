"""Commands that train: history, train, reproduce, study."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from threegen.cli.printing import (
    LARGEST_SEED,
    DataName,
    Json,
    Quiet,
    Seed,
    app,
    parse_frames,
    parse_settings,
    print_json,
    print_table,
    print_text,
)


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
        print_json(result.as_dict())
        return
    print_table([_summary(model.as_dict()) for model in result.models], f"{result.mode}, seed {result.seed}")
    print_text(f"report: {page}")


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
def train(
    model: Annotated[str | None, typer.Argument(help="A name from `threegen models`.")] = None,
    data: Annotated[
        str | None, typer.Option("--data", help="A known name (threegen data list), a table or a folder; mnist.")
    ] = None,
    epochs: Annotated[int | None, typer.Option(help="Replaces the plan's number of epochs.")] = None,
    lr: Annotated[float | None, typer.Option(help="Replaces the plan's learning rate.")] = None,
    batch_size: Annotated[int | None, typer.Option(help="Replaces the plan's number of examples per update.")] = None,
    optimizer: Annotated[str | None, typer.Option(help="sgd, momentum, adam, ...; replaces the plan's.")] = None,
    options: Annotated[
        list[str] | None,
        typer.Option("--set", help="An option of the model, such as hidden=[300,100] or dropout=.2; repeatable."),
    ] = None,
    plan: Annotated[str | None, typer.Option(help="quick, full (the default) or another of the model.")] = None,
    seed: Annotated[
        int | None, typer.Option(min=0, max=LARGEST_SEED, help="Drives weights, order and every random draw; 0.")
    ] = None,
    size: Annotated[int | None, typer.Option(help="Pictures of your own: their side in pixels.")] = None,
    channels: Annotated[int | None, typer.Option(help="Pictures of your own: 1 (grey) or 3 (colour).")] = None,
    scale: Annotated[float | None, typer.Option(help="Tables: divide the values by this number.")] = None,
    label: Annotated[str | None, typer.Option(help="Tables: the label's column, by name or position.")] = None,
    test_share: Annotated[float | None, typer.Option(help="The share held out if there is no test split.")] = None,
    frames: Annotated[
        str | None, typer.Option(help="Event data: how many frames, or the milliseconds between them: 0,103,206,310.")
    ] = None,
    milliseconds: Annotated[float | None, typer.Option(help="Event data: the time that is split into frames.")] = None,
    binary: Annotated[bool, typer.Option("--binary", help="Event data: frames of 0 and 1, not of counts.")] = False,
    on_disk: Annotated[bool, typer.Option("--on-disk", help="Pictures: decoded batch by batch, never all.")] = False,
    on_error: Annotated[
        str | None, typer.Option(help="Pictures on disk that cannot be read: raise (the default) or skip.")
    ] = None,
    workers: Annotated[int | None, typer.Option(help="Pictures on disk: processes that decode.")] = None,
    cache: Annotated[str | None, typer.Option(help="Pictures on disk: a folder for the decoded ones.")] = None,
    start_from: Annotated[
        str | None, typer.Option(help="A run of the same model, or a name whose weights ship, to fine-tune.")
    ] = None,
    out: Annotated[Path | None, typer.Option(help="The run's folder; runs/MODEL by default.")] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Continue from the newest checkpoint in --out.")] = False,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Discard the run that --out holds.")] = False,
    holdout: Annotated[int | None, typer.Option(help="Keep this many training examples for validation.")] = None,
    checkpoint_every: Annotated[int | None, typer.Option(help="Also save after this number of batches.")] = None,
    device: Annotated[str, typer.Option(help="auto, cpu or cuda.")] = "auto",
    quiet: Quiet = False,
    as_json: Json = False,
) -> None:
    """Train a model of the registry and leave a run: a folder with its weights, log and checkpoints."""
    from threegen.runs.train import train_run

    of_data: dict[str, Any] = {"size": size, "channels": channels, "scale": scale, "label": label}
    of_data |= {"test_share": test_share, "frames": parse_frames(frames)}
    of_data |= {"milliseconds": milliseconds, "binary": binary or None}
    of_data |= {"on_disk": on_disk or None, "on_error": on_error, "workers": workers, "cache": cache}
    done = train_run(
        model,
        data,
        mode=plan,
        epochs=epochs,
        batch_size=batch_size,
        optimizer=optimizer,
        lr=lr,
        options=parse_settings(options),
        seed=seed,
        holdout=holdout,
        data_options={name: value for name, value in of_data.items() if value is not None} or None,
        out=out or (None if resume or model is None else Path("runs") / model),
        resume=resume,
        overwrite=overwrite,
        device=device,
        progress=not quiet,
        checkpoint_every=checkpoint_every,
        start=start_from,
    )
    if as_json:
        print_json({"folder": str(done.folder), **done.facts})
        return
    print_table(done.log.epochs)
    if done.log.stopped:
        print_text(f"stopped early: {done.log.stopped}")
    print_text(f"run: {done.folder}  (threegen evaluate {done.folder})")


@app.command()
def reproduce(
    name: Annotated[str | None, typer.Argument(help="A published figure; without a name, list them.")] = None,
    out: Annotated[Path, typer.Option(help="The folder of the results.")] = Path("reproduction"),
    seed: Annotated[
        list[int] | None,
        typer.Option(
            min=0,
            max=LARGEST_SEED,
            help="Run only this seed; repeatable. A seed outside the figure's own list is printed but not recorded.",
        ),
    ] = None,
    add: Annotated[
        bool, typer.Option("--add", help="Keep the seeds of the existing record; run only those that it lacks.")
    ] = False,
    parts: Annotated[Path, typer.Option(help="Folder for the value of each seed until all seeds are done.")] = Path(
        "runs/reproduce"
    ),
    quiet: Quiet = False,
    as_json: Json = False,
) -> None:
    """Reproduce a published figure and write reproduction/NAME.json.

    Several processes can run seeds in parallel: each with its own --seed, all with the same --parts.
    """
    from threegen.figures.reproduce import figure_table, reproduce_figure

    if name is None:
        rows = figure_table(out)
        if as_json:
            print_json(rows)
        else:
            print_table(
                [
                    {key: row[key] for key in ("figure", "published", "ours", "seeds", "differs", "minutes")}
                    for row in rows
                ]
            )
        return
    record = reproduce_figure(name, out, seeds=seed, add=add, parts=parts, progress=not quiet)
    if as_json:
        print_json(record)
    elif record is not None and not record.get("written", True):
        print_table([{"seed": one, "ours": value} for one, value in zip(record["seeds"], record["ours"], strict=True)])
        print_text("not written: the record holds other seeds")
    elif record is None:
        print_text(f"kept in {parts / name}; {out / name}.json is written once all seeds are done")
    else:
        print_table([{"field": field, "value": str(value)} for field, value in record.items()])


@app.command()
def study(
    name: Annotated[str | None, typer.Argument(help="A study, or all; without a name, list them.")] = None,
    data: Annotated[str, typer.Option("--data", help="The data set, for a study that supports several.")] = "",
    quick: Annotated[bool, typer.Option("--quick", help="At most about half a minute per study.")] = False,
    out: Annotated[Path, typer.Option(help="Each study's results.json and drawings go to a folder in here.")] = Path(
        "runs/studies"
    ),
    seed: Seed = 0,
    quiet: Quiet = False,
    as_json: Json = False,
) -> None:
    """Run a textbook experiment; write its figures to results.json and its drawings as PNG and SVG."""
    from threegen.studies.registry import all_studies, run_all_studies, run_study, summary

    if name is None:
        rows = [{"name": one.name, "title": one.title, "about": one.about} for one in all_studies().values()]
        print_json(rows) if as_json else print_table(rows)
        return

    def show(result: dict[str, Any]) -> None:
        if as_json:
            return
        if "skipped" in result:
            print_text(f"{result['title']}: left out; {result['skipped']}")
            return
        print_table(summary(result["figures"]), f"{result['title']} ({result['seconds']} s)")
        print_text(f"{result['about']}\ndrawings: {out / (result['study'] + (f'-{data}' if data else ''))}")

    if name == "all":
        if data:
            raise typer.BadParameter("--data is for one study; name it")
        results = run_all_studies(quick=quick, out=out, seed=seed, progress=not quiet, done=show)
        if as_json:
            print_json(results)
        return
    folder = out / (f"{name}-{data}" if data else name)
    result = run_study(name, quick=quick, out=folder, seed=seed, progress=not quiet, data=data)
    print_json(result) if as_json else show(result)
