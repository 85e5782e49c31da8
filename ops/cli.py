"""``wardstream``: one module a command; a command is imported when it is called, so that ``--help`` stays quick."""

from __future__ import annotations

import importlib
import sys

import click

from schemas.errors import ConfigurationError, WardstreamError

#: Command -> one line for the list. The module is ``ops.commands.<name>`` (``-`` as ``_``), the click command in it ``command``.
COMMANDS = {
    "annotate": "de-identify, extract and decide offline: JSON Lines in, JSON Lines out",
    "explain": "why this flag and what would change it, which words an entity rests on; offline",
    "serve": "annotate and explain over HTTP, one message a request",
    "demo": "run the whole stream on sample messages and show what happened",
    "up": "run the same stack until Ctrl-C",
    "gateway": "the MLLP and FHIR doors",
    "cds": "the CDS Hooks door",
    "worker": "run stages of the pipeline",
    "topics": "plan, create and list the topics",
    "send": "post message files over MLLP, FHIR HTTP or straight to Kafka",
    "results": "follow the results topics",
    "bulk-export": "published Bundles as NDJSON, one file a resource type, with a Bulk Data manifest",
    "replay": "a range again: in a shadow, compared with what was published, promoted where it differs",
    "rewind": "set a stopped stage back, so that it processes again",
    "dlq": "dead letters: list, show, put back, put aside; audited",
    "trace": "one message's way through the stages: times, versions, outcomes",
    "leakcheck": "canary patients through every door, then a search for them in topics, store, logs, metrics and answers",
    "k-anonymity": "how rare combinations of quasi-identifiers are in the de-identified output",
    "lag": "how far behind each stage is",
    "erase": "destroy what leads from a token back to its patient; audited",
    "reidentify": "who stands behind a token; audited, needs a role and a purpose",
    "decrypt": "what the method encrypt wrote, in clear again; audited, needs a role and a purpose",
    "pretrain": "model factory: the encoder goes on reading medical text",
    "train": "model factory: fine-tune a family on a task",
    "distil": "model factory: a student learns from its teachers",
    "prune": "model factory: fewer heads, narrower layers, a smaller vocabulary",
    "export": "model factory: checkpoint to ONNX, optimized, with a parity report",
    "quantize": "model factory: int8 for CPUs",
    "evaluate": "model factory: score a checkpoint on the development sets",
    "retrain": "labels, drift or a schedule start a training run; its challenger goes to the gate",
    "challenge": "try a bundle against the champion; the signed verdict says why it passed or failed",
    "models": "which models serve: list, show, promote, roll back",
    "bundle": "model factory: gate, card, signature; a bundle for the shelf",
    "deid": "check, explain, compare and import rules of de-identification",
    "rules": "check decision rules, run their tables, try them on messages",
    "vocab": "build a vocabulary index, say what is in one, look a name up",
    "keys": "make the master key, the HTTP token, a model-signing key",
    "config": "the settings in force, secrets redacted",
    "doctor": "what is missing or unreachable, and what to do",
    "review": "the annotation page for samples; Label Studio and doccano in its place; agreement of reviewers",
    "labels": "samples and reviewed labels: collect them into the store, show, export; which models saw whom",
    "drift": "drift by sender and department, calibration, overrides: a baseline, a report, a new beginning",
}

#: Exit codes: 1 the work failed in part or whole, 2 wrong usage (click), 3 configuration.
EXIT_FAILED, EXIT_CONFIGURATION = 1, 3


class _Lazy(click.Group):
    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in COMMANDS:
            return None
        command: click.Command = importlib.import_module(f"ops.commands.{cmd_name.replace('-', '_')}").command
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl(list(COMMANDS.items()))


@click.group(cls=_Lazy, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="wardstream")
def cli() -> None:
    """Streaming clinical NLP: HL7 v2 and FHIR in, de-identified findings, flags and results out."""


def main() -> None:
    try:
        cli(standalone_mode=False)
    except click.exceptions.Abort:
        sys.exit(130)
    except click.ClickException as error:
        error.show()
        sys.exit(error.exit_code)
    except ConfigurationError as error:
        click.echo(f"wardstream: {error}", err=True)
        sys.exit(EXIT_CONFIGURATION)
    except WardstreamError as error:
        click.echo(f"wardstream: {error}", err=True)
        sys.exit(EXIT_FAILED)


if __name__ == "__main__":
    main()
