"""Where released bundles lie: ``<url>/<name>/<digest>/<file>``, through fsspec (a folder, an S3-compatible store, ...).

Nothing in the store is trusted: what comes back must be the manifest of that digest, signed by a trusted key, with the files it names.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import tempfile
from pathlib import Path
from typing import Any, Final

import fsspec  # type: ignore[import-untyped]
import msgspec

from models.bundle import MANIFEST, MAX_FILE_BYTES, SHELF, Manifest, load_manifest, sha256_of
from models.signature import KEYS, SIGNATURE
from schemas.errors import ConfigurationError, StoreUnavailable
from schemas.releases import BundleRef

_MOST_MANIFEST_BYTES: Final = 4 * 1024 * 1024
_HEX: Final = frozenset("0123456789abcdef")


def digest_of(folder: Path) -> str:
    """The digest by which the bundle in ``folder`` is released. Raises OSError when it has no manifest."""
    return sha256_of(folder / MANIFEST)


class BundleStore:
    """``url``: of the store's root; ``shelf``: bundles that ship, looked at first, so that going back to them needs no store;
    ``cache``: local folder of fetched bundles."""

    def __init__(self, url: str, cache: Path | None = None, *, shelf: Path = SHELF, trusted_keys: Path = KEYS) -> None:
        self._url, self._shelf, self._keys = url.rstrip("/"), shelf, trusted_keys
        self._cache = cache or Path(tempfile.gettempdir()) / f"wardstream-models-{os.getuid()}"

    def put(self, folder: Path) -> BundleRef:
        """Verify the bundle and store it; storing it again changes nothing.

        Raises:
            ConfigurationError: it does not verify.
            StoreUnavailable: it was not stored whole.
        """
        manifest = load_manifest(folder, trusted_keys=self._keys)
        ref = BundleRef(manifest.version, digest_of(folder))
        try:
            files, root = self._open()
            target = f"{root}/{manifest.name}/{ref.digest}"
            files.makedirs(target, exist_ok=True)
            # the manifest last: where it lies, the bundle is whole
            for name in (*sorted(manifest.files), SIGNATURE, MANIFEST):
                files.put_file(str(folder / name), f"{target}/{name}")
        except OSError as error:
            raise StoreUnavailable(path="models.store", detail=type(error).__name__) from None
        return ref

    def fetch(self, name: str, ref: BundleRef) -> tuple[Path, Manifest]:
        """Local folder and manifest of the bundle, verified anew on every call.

        Raises:
            ConfigurationError: what lies there is not this bundle, or does not verify.
            StoreUnavailable: the store does not answer, or has no such bundle (yet).
        """
        if len(ref.digest) != 64 or not set(ref.digest) <= _HEX:
            raise ConfigurationError(path="digest", detail="a digest is 64 hexadecimal digits")
        for folder in (self._shelf / name / ref.version, self._cache / name / ref.digest):
            if (folder / MANIFEST).is_file() and digest_of(folder) == ref.digest:
                try:
                    return folder, self._verified(folder, name, ref)
                except ConfigurationError:
                    if folder.is_relative_to(self._shelf):
                        raise
                    shutil.rmtree(folder)  # our own copy was damaged; the store may have a whole one
        target = self._cache / name / ref.digest
        self._cache.mkdir(mode=0o700, parents=True, exist_ok=True)
        if self._cache.stat().st_uid != os.getuid():
            raise ConfigurationError(path="models.cache", detail="the folder belongs to another account")
        target.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=target.parent) as scratch:
            folder = Path(scratch, "bundle")
            folder.mkdir()
            self._download(name, ref, folder)
            manifest = self._verified(folder, name, ref)
            shutil.rmtree(target, ignore_errors=True)
            folder.rename(target)
        return target, manifest

    def _open(self) -> tuple[Any, str]:
        if not self._url:
            raise StoreUnavailable(path="models.store", detail="no store is set")
        try:
            files, root = fsspec.core.url_to_fs(self._url)
        except (ImportError, ValueError) as error:
            raise ConfigurationError(path="models.store", detail="no driver for this kind of address is installed") from error
        return files, str(root)

    def _download(self, name: str, ref: BundleRef, folder: Path) -> None:
        try:
            files, root = self._open()
            source = f"{root}/{name}/{ref.digest}"
            content = self._read(files, f"{source}/{MANIFEST}", _MOST_MANIFEST_BYTES)
            if hashlib.sha256(content).hexdigest() != ref.digest:
                raise ConfigurationError(path=MANIFEST, detail="the store holds something else under this digest")
            (folder / MANIFEST).write_bytes(content)
            try:
                manifest = msgspec.json.decode(content, type=Manifest)
            except msgspec.MsgspecError as error:
                raise ConfigurationError(path=MANIFEST, detail="unreadable manifest") from error
            for file in (SIGNATURE, *manifest.files):
                if Path(file).name != file or file.startswith("."):
                    raise ConfigurationError(path=MANIFEST, detail="file names are plain names")
                (folder / file).write_bytes(self._read(files, f"{source}/{file}", MAX_FILE_BYTES))
        except OSError as error:
            raise StoreUnavailable(path="models.store", detail=type(error).__name__) from None

    @staticmethod
    def _read(files: Any, path: str, most: int) -> bytes:
        with files.open(path, "rb") as file:
            content: bytes = file.read(most + 1)
        if len(content) > most:
            raise ConfigurationError(path="models.store", detail="larger than a bundle's file may be")
        return content

    def _verified(self, folder: Path, name: str, ref: BundleRef) -> Manifest:
        manifest = load_manifest(folder, trusted_keys=self._keys)
        if manifest.name != name or manifest.version != ref.version:
            raise ConfigurationError(path=MANIFEST, detail="the bundle of this digest has another name or version")
        return manifest
