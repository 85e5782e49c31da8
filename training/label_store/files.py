"""Files of a store through fsspec: a local folder or an S3-compatible store. Every file is written once and never changed."""

from __future__ import annotations

import os
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from typing import Any

import fsspec  # type: ignore[import-untyped]
from fsspec.implementations.local import LocalFileSystem  # type: ignore[import-untyped]

from schemas.errors import ConfigurationError, StoreUnavailable

_WHERE = "labels.store"


class StoreFiles:
    """Paths are relative to ``address``. Methods raise StoreUnavailable where the store does not answer."""

    def __init__(self, address: str) -> None:
        """Raises ConfigurationError: no address, or no driver for its kind is installed."""
        if not address:
            raise ConfigurationError(path=_WHERE, detail="no store is set")
        try:
            files, root = fsspec.core.url_to_fs(address)
        except (ImportError, ValueError):
            raise ConfigurationError(
                path=_WHERE, detail="no driver for this kind of address is installed: install the extra store"
            ) from None
        self._files: Any = files
        self._root = str(root).rstrip("/")

    def read(self, path: str) -> bytes:
        """Raises FileNotFoundError."""
        with _errors():
            content: bytes = self._files.cat_file(self._at(path))
            return content

    def write(self, path: str, content: bytes) -> None:
        """Put the file there whole, or not at all; one that is there is replaced."""
        with _errors():
            if isinstance(self._files, LocalFileSystem):
                os.replace(self._beside(path, content), self._at(path))
            else:
                self._files.pipe_file(self._at(path), content)

    def create(self, path: str, content: bytes) -> None:
        """The same, but for a file that must not be there: raises FileExistsError, whoever was first."""
        with _errors():
            if isinstance(self._files, LocalFileSystem):
                made = self._beside(path, content)
                try:
                    os.link(made, self._at(path))
                finally:
                    os.unlink(made)
            else:
                try:
                    self._files.pipe_file(self._at(path), content, mode="create")
                except FileExistsError:
                    raise
                except OSError as error:
                    if "PreconditionFailed" in repr(error) or "PreconditionFailed" in repr(error.__cause__):
                        raise FileExistsError(path) from None
                    raise

    def names(self, folder: str) -> list[str]:
        """Names of what lies in the folder, sorted; nothing for a folder that is not there."""
        with _errors():
            self._files.invalidate_cache()
            try:
                found = self._files.ls(self._at(folder), detail=False)
            except FileNotFoundError:
                return []
            return sorted(str(each).rstrip("/").rpartition("/")[2] for each in found)

    def below(self, folder: str) -> dict[str, datetime]:
        """Every file below the folder with the time of its writing."""
        with _errors():
            self._files.invalidate_cache()
            found = self._files.find(self._at(folder))
            return {str(each)[len(self._root) + 1 :]: self._files.modified(each) for each in found}

    def remove(self, path: str) -> None:
        """Remove the file; one that is not there is removed."""
        with _errors():
            try:
                self._files.rm_file(self._at(path))
            except FileNotFoundError:
                return

    def _at(self, path: str) -> str:
        return f"{self._root}/{path}"

    def _beside(self, path: str, content: bytes) -> str:
        target = self._at(path)
        os.makedirs(os.path.dirname(target), exist_ok=True)
        made = f"{target}.{uuid.uuid4().hex}.part"
        with open(made, "xb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        return made


@contextmanager
def _errors() -> Iterator[None]:
    """Drivers raise what their libraries raise; their texts can quote an address."""
    try:
        yield
    except (FileNotFoundError, FileExistsError):
        raise
    except Exception as error:
        raise StoreUnavailable(path=_WHERE, detail=type(error).__name__) from None
