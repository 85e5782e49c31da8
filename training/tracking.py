"""A retraining run in MLflow tracking: parameters, the curve, scores, data digests, artefacts.

    python -m training.tracking begin|end RUN_FOLDER --uri URI

Its own process in the training environment (``mlflow-skinny`` of the extra ``train``). Without an address the runs go into a file store beside
the run folders; MLflow asks to be told that this is meant (``MLFLOW_ALLOW_FILE_STORE``), since its newer features want a database.
No text of a note goes there: the label files stay in the run's folder, their digests go.
"""

from __future__ import annotations

import json
import os
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import click
import msgspec

from models.bundle import MANIFEST, Manifest
from schemas.errors import ConfigurationError
from schemas.runs import TrainingRun
from training.curve import CURVE, curve_of, machine_of
from training.recipe import Recipe, load_recipe
from training.retrain import RECIPE, RUN

EXPERIMENT = "wardstream"
FILE_STORE = "mlruns"
_ARTEFACTS = (CURVE, "report.md", "curve.svg", "scores.json", "parity.md")
_CARD = "MODEL_CARD.md"


def client_of(uri: str, folder: Path) -> Any:
    """MLflow's client of ``uri``, or of the file store beside the run's folder.

    Raises:
        ConfigurationError: MLflow is not installed.
    """
    if find_spec("mlflow") is None:
        raise ConfigurationError(path="retrain.tracking", detail="needs mlflow-skinny: install the extra train")
    if not uri:
        os.environ["MLFLOW_ALLOW_FILE_STORE"] = "true"
        uri = (folder.resolve().parent / FILE_STORE).as_uri()
    from mlflow.tracking import MlflowClient

    return MlflowClient(tracking_uri=uri)


def begin(folder: Path, uri: str) -> str:
    """Open the run: its recipe as parameters, model, trigger and data digests as tags. Returns MLflow's id of it."""
    client, run, recipe = client_of(uri, folder), _run(folder), load_recipe(folder / RECIPE)
    found = client.get_experiment_by_name(EXPERIMENT)
    experiment = found.experiment_id if found else client.create_experiment(EXPERIMENT)
    tags = {
        "wardstream.run": run.id, "model": run.model, "trigger": run.trigger, "champion": run.champion.digest,
        "champion.version": run.champion.version, "labels.learned": str(run.learned), "labels.held": str(run.held),
        **{f"sha256.{name}": digest for name, digest in run.data.items()},
    }  # fmt: skip
    made = client.create_run(experiment, run_name=f"{run.model} {run.began}", tags=tags)
    for name, value in _parameters(recipe).items():
        client.log_param(made.info.run_id, name, value)
    return str(made.info.run_id)


def end(folder: Path, uri: str) -> str:
    """Close the run with what it made, or as failed: curve and scores as metrics, report, card and recipe as artefacts."""
    client, run, recipe = client_of(uri, folder), _run(folder), load_recipe(folder / RECIPE)
    name, checkpoint = run.tracking, recipe.checkpoint
    if (checkpoint / CURVE).exists():
        for row in curve_of(checkpoint):
            for metric in ("loss", "rate"):
                client.log_metric(name, metric, row[metric], step=int(row["step"]))
        for key, value in machine_of(checkpoint).items():
            client.set_tag(name, f"machine.{key}", str(value))
    if run.challenger is not None:
        bundle = folder / "shelf" / run.model / run.challenger.version
        manifest = msgspec.json.decode((bundle / MANIFEST).read_bytes(), type=Manifest)
        client.set_tag(name, "challenger", run.challenger.digest)
        client.set_tag(name, "challenger.version", run.challenger.version)
        for group, figures in manifest.scores.items():
            for figure, value in figures.items():
                client.log_metric(name, f"{group}/{figure}".replace("|", " or "), value)
        for tool, version in manifest.tools.items():
            client.set_tag(name, f"tool.{tool}", version)
        client.log_artifact(name, str(bundle / _CARD))
        client.log_artifact(name, str(bundle / MANIFEST))
    for artefact in (folder / RECIPE, *(checkpoint / file for file in _ARTEFACTS)):
        if artefact.exists():
            client.log_artifact(name, str(artefact))
    client.set_terminated(name, "FINISHED" if run.outcome == "made" else "FAILED")
    return name


def _parameters(recipe: Recipe) -> dict[str, str]:
    found: dict[str, Any] = json.loads(msgspec.json.encode(recipe))
    return {
        name: value if isinstance(value, str) else json.dumps(value)
        for name, value in found.items()
        if value not in (None, {}, [])
    }


def _run(folder: Path) -> TrainingRun:
    return msgspec.json.decode((folder / RUN).read_bytes(), type=TrainingRun)


@click.command()
@click.argument("what", type=click.Choice(["begin", "end"]))
@click.argument("folder", type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.option("--uri", default="")
def main(what: str, folder: Path, uri: str) -> None:
    """Begin or end a run's record; prints MLflow's id of it."""
    click.echo({"begin": begin, "end": end}[what](folder, uri))


if __name__ == "__main__":
    main()
