"""What taggers, classifiers and generators have in common: a verified bundle, opened for use."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar, Self

from models.bundle import Manifest, Task, load_manifest, refuse_other_task
from models.session import Execution
from models.signature import KEYS


class OpenBundle:
    """One bundle, ready for use. Safe to call from several threads; close it (or use ``with``) to end its threads.

    Args:
        folder: where the bundle lies; its manifest was verified.

    Raises:
        ConfigurationError: the bundle is of another task.
    """

    task: ClassVar[Task]

    def __init__(self, folder: Path, manifest: Manifest, execution: Execution) -> None:
        refuse_other_task(folder, manifest, self.task)
        self.manifest = manifest

    @classmethod
    def load(cls, bundle_dir: Path, *, execution: Execution | None = None, trusted_keys: Path = KEYS) -> Self:
        """Verify and open the bundle in ``bundle_dir``.

        Raises:
            ConfigurationError: the bundle does not verify, or the provider asked for does not come up.
        """
        return cls(bundle_dir, load_manifest(bundle_dir, trusted_keys=trusted_keys), execution or Execution())

    @property
    def version(self) -> str:
        """``name@version#`` and the first 12 digits of the model's SHA-256."""
        return self.manifest.label

    def close(self) -> None:
        """End the threads, where there are any."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()
