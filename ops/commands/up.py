"""``wardstream up``: the local stack until Ctrl-C."""

from __future__ import annotations

import signal
import threading
from pathlib import Path
from types import FrameType
from typing import Literal

import click
from rich.console import Console


@click.command()
@click.option("--broker", type=click.Choice(["embedded", "kafka"]), default="embedded", show_default=True)
@click.option("--root", type=click.Path(file_okay=False, path_type=Path), default=Path("var/up"), show_default=True)
@click.option("--workers", type=click.IntRange(1, 16), default=1, show_default=True, help="Processes per stage.")
def command(broker: Literal["embedded", "kafka"], root: Path, workers: int) -> None:
    """Run broker, store, gateway and all stages on this machine until Ctrl-C."""
    from ops.stack import run_stack

    console = Console()
    asked = threading.Event()

    def stop(number: int, frame: FrameType | None) -> None:
        asked.set()

    signal.signal(signal.SIGINT, stop)
    signal.signal(signal.SIGTERM, stop)
    with (
        console.status("starting") as status,
        run_stack(root, broker, workers=workers, progress=lambda step: status.update(f"starting: {step}")) as stack,
    ):
        status.stop()
        console.print(f"MLLP      127.0.0.1:{stack.doors.mllp_port}")
        console.print(f"FHIR      {stack.doors.http_url}/fhir   token in {root / 'secrets' / 'http.token'}")
        console.print(f"Kafka     {stack.broker.address}")
        console.print(f"metrics   {stack.doors.http_url}/metrics and one port per worker, see {stack.logs}")
        console.print("\nin another terminal:")
        for name in ("WARDSTREAM_KAFKA__BOOTSTRAP", "WARDSTREAM_REDIS__URL"):
            console.print(f"  export {name}={stack.env[name]}")
        console.print(f"  wardstream send ops/samples/mllp --mllp 127.0.0.1:{stack.doors.mllp_port}")
        console.print("  wardstream results --from-beginning")
        console.print("\nCtrl-C stops everything.")
        while not asked.wait(1.0):
            for child in (stack.gateway, *stack.workers):
                if not child.running:
                    console.print(
                        f"[red]{child.name} ended with {child.process.returncode}, see {child.log}; starting it again[/]"
                    )
                    stack.restart(child)
        console.print("stopping")
