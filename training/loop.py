"""The one training loop: accelerate for devices, precision and processes; seeded batches, a curve on disk, states to go on from.

Every process sees the same batches and takes its share of the rows, so that one process or several, on CPUs or GPUs, follow
the same curve within the noise of their arithmetic.
"""

from __future__ import annotations

import json
import platform
import time
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import torch
from accelerate import Accelerator
from accelerate.utils import DistributedDataParallelKwargs, set_seed
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from training.curve import CURVE, MACHINE
from training.recipe import Recipe

Batch = dict[str, Any]
WARM_UP = 0.06
_STATE = "state"
_SMOOTH = 0.98


def accelerator_for(recipe: Recipe) -> Accelerator:
    """Where the machine has no GPU this is the CPU, with gloo between processes."""
    # A batch of one head leaves the others without a gradient, and XLNet has parameters that no task here uses.
    unused = DistributedDataParallelKwargs(find_unused_parameters=True)
    return Accelerator(cpu=not torch.cuda.is_available(), mixed_precision=recipe.precision, kwargs_handlers=[unused])


def _rows(batch: Batch, rank: int, world: int) -> Batch:
    """This process's rows of a batch; entries that are no tensors, and batches of too few rows, are the same for all."""
    if any(len(v) < world for v in batch.values() if isinstance(v, torch.Tensor)):
        return batch
    return {k: v[rank::world] if isinstance(v, torch.Tensor) else v for k, v in batch.items()}


def _optimizer(model: torch.nn.Module, recipe: Recipe) -> torch.optim.Optimizer:
    groups = [
        {"params": [p for p in model.parameters() if p.requires_grad and p.ndim > 1], "weight_decay": recipe.weight_decay},
        {"params": [p for p in model.parameters() if p.requires_grad and p.ndim <= 1], "weight_decay": 0.0},
    ]
    return torch.optim.AdamW(groups, lr=recipe.learning_rate, fused=True)


def fit(
    model: torch.nn.Module,
    epoch: Callable[[int], Iterable[Batch]],
    recipe: Recipe,
    loss_of: Callable[[torch.nn.Module, Batch], torch.Tensor],
    *,
    accelerator: Accelerator | None = None,
) -> torch.nn.Module:
    """Train ``model`` in place and return it in evaluation mode.

    Args:
        epoch: the batches of epoch ``k``; must be the same at each call.
        loss_of: mean loss of one batch, called under autocast with the (possibly wrapped) model.

    An interrupted run with ``save_every`` goes on from its last state when the recipe is unchanged.
    """
    set_seed(recipe.seed)
    accelerator = accelerator or accelerator_for(recipe)
    folder = recipe.checkpoint
    per_epoch = sum(1 for _ in epoch(0))
    total = max(1, round(per_epoch * recipe.epochs))
    optimizer = _optimizer(model, recipe)
    prepared, optimizer = accelerator.prepare(model, optimizer)
    step, curve, running = _resume(accelerator, recipe)
    began = time.monotonic()
    prepared.train()
    folder.mkdir(parents=True, exist_ok=True)
    columns = (TextColumn(recipe.name), BarColumn(), TextColumn("{task.completed}/{task.total} loss {task.fields[loss]}"))
    with Progress(*columns, TimeElapsedColumn(), TimeRemainingColumn(), disable=not accelerator.is_main_process) as bar:
        shown = bar.add_task("", total=total, completed=step, loss="")
        for batch in _from(epoch, step, total):
            rate = recipe.learning_rate * min(1.0, (step + 1) / (WARM_UP * total + 1)) * (1 - step / total)
            for group in optimizer.param_groups:
                group["lr"] = rate
            rows = _rows(batch, accelerator.process_index, accelerator.num_processes)
            with accelerator.autocast():
                loss = loss_of(
                    prepared, {k: v.to(accelerator.device) if isinstance(v, torch.Tensor) else v for k, v in rows.items()}
                )
            optimizer.zero_grad(set_to_none=True)
            accelerator.backward(loss)
            accelerator.clip_grad_norm_(prepared.parameters(), 1.0)
            optimizer.step()
            now = accelerator.gather(loss.detach().float().reshape(1)).mean().item()
            running = now if running is None else _SMOOTH * running + (1 - _SMOOTH) * now
            step += 1
            bar.update(shown, completed=step, loss=f"{running:.4f}")
            if accelerator.is_main_process and not bar.console.is_terminal and (step % 100 == 0 or step == total):
                print(f"{recipe.name} step {step}/{total} loss {running:.4f} {time.monotonic() - began:.0f} s", flush=True)
            if step % 20 == 0 or step == total:
                curve.append(
                    {
                        "step": step,
                        "loss": round(running, 5),
                        "last": round(now, 5),
                        "rate": rate,
                        "seconds": round(time.monotonic() - began, 1),
                    }
                )
            if recipe.save_every and step % recipe.save_every == 0 and step < total:
                _save(accelerator, recipe, step, curve, running)
    if accelerator.is_main_process:
        (folder / CURVE).write_text("".join(json.dumps(row) + "\n" for row in curve), encoding="utf-8")
        (folder / MACHINE).write_text(json.dumps(_machine(accelerator)) + "\n", encoding="utf-8")
    unwrapped: torch.nn.Module = accelerator.unwrap_model(prepared)
    return unwrapped.eval()


def _machine(accelerator: Accelerator) -> dict[str, Any]:
    """What the run was made on: goes with its curve."""
    gpu = torch.cuda.is_available()
    return {
        "device": torch.cuda.get_device_name() if gpu else f"CPU, threads: {torch.get_num_threads()}",
        "processes": accelerator.num_processes,
        "torch": torch.__version__,
        "python": platform.python_version(),
    }


def _from(epoch: Callable[[int], Iterable[Batch]], step: int, total: int) -> Iterator[Batch]:
    """Batches ``step`` to ``total`` of the endless row of epochs."""
    at = number = 0
    while at < total:
        for batch in epoch(number):
            if at >= total:
                return
            if at >= step:
                yield batch
            at += 1
        number += 1


def _save(accelerator: Accelerator, recipe: Recipe, step: int, curve: list[dict[str, float]], running: float) -> None:
    folder = recipe.checkpoint / _STATE
    accelerator.save_state(str(folder))
    if accelerator.is_main_process:
        (folder / "progress.json").write_text(
            json.dumps({"recipe": recipe.digest, "step": step, "curve": curve, "running": running}), encoding="utf-8"
        )


def _resume(accelerator: Accelerator, recipe: Recipe) -> tuple[int, list[dict[str, float]], float | None]:
    path = recipe.checkpoint / _STATE / "progress.json"
    if not recipe.save_every or not path.exists():
        return 0, [], None
    progress = json.loads(path.read_text(encoding="utf-8"))
    if progress["recipe"] != recipe.digest:
        return 0, [], None
    accelerator.load_state(str(path.parent))
    return progress["step"], progress["curve"], progress["running"]
