"""The store of samples and reviewed labels: Parquet in a folder or an S3-compatible store, in parts that never change.

``<address>/kind=<sample|label>/day=<YYYY-MM-DD>/part-<digest>.parquet``. What belongs to the store stands in its newest manifest
(``manifests/<number>.json``), with the SHA-256 of every part: nothing else is read, and a part that is not what the manifest says is refused.
Whoever changes the store writes parts first and then the next manifest, which only one writer can: the other begins again from there.

The day is that of the message's receipt for samples, of the decision for labels (UTC).
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from types import ModuleType
from typing import Final

import msgspec

from schemas.errors import ConfigurationError, StoreUnavailable
from schemas.labels import ReviewedLabel
from schemas.samples import Sample
from training.label_store.files import StoreFiles
from training.label_store.rows import KINDS, Kind, Row

FORMAT: Final = 1
_ATTEMPTS: Final = 8
_MANIFESTS: Final = "manifests"
#: So many manifests before the newest stay for readers that have just found one of them.
_OLD: Final = 3
#: A part that no manifest names is another writer's that is not done yet, or one that never came to its end; after this long, the latter.
_ORPHAN: Final = timedelta(hours=1)
#: By topic and partition, the offset from which to go on.
Offsets = dict[str, dict[int, int]]


class Part(msgspec.Struct, frozen=True):
    path: str
    sha256: str
    rows: int

    @property
    def kind(self) -> str:
        return self.path.partition("/")[0].removeprefix("kind=")


class Trained(msgspec.Struct, frozen=True, kw_only=True):
    """A bundle that learned from labels of this store. ``bundle``: digest by which it is released; ``store``: the store's digest then;
    ``ids``: file of the labels' ids with its SHA-256; ``erased``: patients whose labels it saw and who were erased since, by token, with the
    time of the erasure."""

    bundle: str
    name: str
    version: str
    time: str
    store: str
    labels: int
    ids: Part
    erased: dict[str, str] = {}


class Manifest(msgspec.Struct, frozen=True, kw_only=True):
    """``removed``: ids of samples and labels that were taken out, by patient token; ``erased``: erased tokens with the time: nothing of them comes
    in again; ``trained`` by bundle digest."""

    format: int = FORMAT
    parts: tuple[Part, ...] = ()
    offsets: Offsets = {}
    removed: dict[str, tuple[str, ...]] = {}
    erased: dict[str, str] = {}
    trained: dict[str, Trained] = {}

    @property
    def digest(self) -> str:
        """SHA-256 over the parts' paths and digests: what a recipe or a bundle can name as its data."""
        lines = sorted(f"{part.path} {part.sha256}\n" for part in self.parts)
        return hashlib.sha256("".join(lines).encode()).hexdigest()


@dataclass(frozen=True, slots=True)
class Erased:
    """What an erasure took out, and the models that have seen the patient."""

    samples: int
    labels: int
    models: tuple[Trained, ...]


@dataclass(slots=True)
class _Change:
    """A manifest in the making; ``obsolete`` parts are removed once it stands."""

    manifest: Manifest
    obsolete: list[Part]


class LabelStore:
    """Methods raise StoreUnavailable where the store does not answer, and ConfigurationError where it holds something else than it says.

    Args:
        address: fsspec address: a folder, ``s3://bucket/prefix``.

    Raises:
        ConfigurationError: no address, or the extra ``store`` is not installed.
    """

    def __init__(self, address: str) -> None:
        self._files = StoreFiles(address)
        self._tables = _tables()

    def manifest(self) -> Manifest:
        """The newest; an empty one where nothing was stored yet."""
        return self._newest()[1]

    def rows(self, kind: Kind, manifest: Manifest | None = None) -> list[Row]:
        """Everything of a kind, superseded records too, verified."""
        found = manifest or self.manifest()
        return [row for part in found.parts if part.kind == kind for row in self._tables.rows(kind, self._part(part))]

    def samples(self) -> list[Sample]:
        """The newest record of each sample, by id."""
        newest: dict[str, Row] = {}
        for row in sorted(self.rows("sample"), key=lambda row: row.at):
            newest[row.record.id] = row
        return [row.record for _, row in sorted(newest.items()) if isinstance(row.record, Sample)]

    def labels(self, manifest: Manifest | None = None) -> list[ReviewedLabel]:
        """The newest verdict of each reviewer on each sample, by sample and time of decision."""
        newest: dict[tuple[str, str], ReviewedLabel] = {}
        found = [(row.at, row.record) for row in self.rows("label", manifest) if isinstance(row.record, ReviewedLabel)]
        for _, label in sorted(found, key=lambda one: (instant(one[1].decided), one[0], one[1].id)):
            newest[label.sample, label.reviewer] = label
        return sorted(newest.values(), key=lambda label: (label.sample, instant(label.decided), label.id))

    def write(self, rows: Sequence[Row], offsets: Offsets | None = None, withdrawn: Collection[str] = ()) -> int:
        """Take out what has no value in the log any more (``withdrawn``: ids), then add what is not there yet. The same rows again change nothing.

        ``offsets`` are kept with the rows or not at all. Rows of erased patients stay out. Answers how many were added.
        """
        added = 0

        def change(now: Manifest) -> _Change:
            nonlocal added
            left = self._without(now, "id", withdrawn) if withdrawn else _Change(now, [])
            made, added = self._added(left.manifest, [row for row in rows if row.record.subject not in now.erased])
            merged = {topic: dict(each) for topic, each in now.offsets.items()}
            for topic, places in (offsets or {}).items():
                merged.setdefault(topic, {}).update(places)
            return _Change(msgspec.structs.replace(made, offsets=merged), left.obsolete)

        self._update(change)
        return added

    def erase(self, subjects: Collection[str], now: datetime) -> Erased:
        """Take the samples and labels of these patients out, remember by token that nothing of them comes in again, and mark the models that saw
        them. Parts that no manifest names for an hour go too. May be repeated.

        Older versions that the store's own versioning keeps (S3) are not reached.
        """
        before: set[str] = set()

        def change(current: Manifest) -> _Change:
            made = self._without(current, "subject", subjects)
            before.clear()
            before.update(each for ids in current.removed.values() for each in ids)
            time = now.isoformat(timespec="milliseconds")
            erased = current.erased | {each: current.erased.get(each, time) for each in subjects}
            marked = self._marked(msgspec.structs.replace(made.manifest, erased=erased))
            return _Change(marked, made.obsolete)

        after = self._update(change)
        self._sweep(after, now)
        gone = {each for subject in subjects for each in after.removed.get(subject, ())} - before
        labels = {each for each in gone if each.startswith("label:")}
        models = tuple(one for one in after.trained.values() if one.erased.keys() & set(subjects))
        return Erased(len(gone) - len(labels), len(labels), models)

    def record_training(self, bundle: str, labels: Iterable[str], *, name: str, version: str, time: str, digest: str) -> Trained:
        """Keep which labels a bundle saw (ids of labels; ``digest``: the store's then), so that an erasure finds it."""
        ids = sorted(set(labels))
        content = msgspec.json.encode(ids)
        sha256 = hashlib.sha256(content).hexdigest()
        path = f"models/{bundle}-{sha256[:16]}.json"
        self._files.write(path, content)
        made = Trained(
            bundle=bundle, name=name, version=version, time=time, store=digest, labels=len(ids), ids=Part(path, sha256, len(ids))
        )

        def change(now: Manifest) -> _Change:
            return _Change(self._marked(msgspec.structs.replace(now, trained=now.trained | {bundle: made})), [])

        return self._update(change).trained[bundle]

    def _newest(self) -> tuple[int, Manifest]:
        for _ in range(_ATTEMPTS):
            names = self._files.names(_MANIFESTS)
            numbers = [int(name.removesuffix(".json")) for name in names if name.removesuffix(".json").isdigit()]
            if not numbers:
                return 0, Manifest()
            try:
                content = self._files.read(_manifest_path(max(numbers)))
            except FileNotFoundError:
                continue  # others went on and swept it away
            try:
                found = msgspec.json.decode(content, type=Manifest)
            except msgspec.MsgspecError:
                raise ConfigurationError(path="labels.store", detail="the manifest cannot be read") from None
            if found.format != FORMAT:
                raise ConfigurationError(path="labels.store", detail="the manifest is of another format")
            return max(numbers), found
        raise StoreUnavailable(path="labels.store", detail="the manifest keeps changing")

    def _update(self, change: Callable[[Manifest], _Change]) -> Manifest:
        """Raises StoreUnavailable where other writers were first again and again."""
        tried: list[Part] = []
        for _ in range(_ATTEMPTS):
            number, now = self._newest()
            made = change(now)
            if made.manifest != now:
                tried += [part for part in made.manifest.parts if part not in now.parts]
                try:
                    self._files.create(_manifest_path(number + 1), msgspec.json.encode(made.manifest))
                except FileExistsError:
                    continue
            kept = {part.path for part in made.manifest.parts}
            # also what an attempt wrote that came too late: it can hold a patient whom the one before erased
            for path in {part.path for part in (*made.obsolete, *tried)} - kept:
                self._files.remove(path)
            if number > _OLD:
                self._files.remove(_manifest_path(number - _OLD))
            return made.manifest
        raise StoreUnavailable(path="labels.store", detail="other writers were first again and again")

    def _part(self, part: Part) -> bytes:
        try:
            content = self._files.read(part.path)
        except FileNotFoundError:
            raise StoreUnavailable(path=part.path, detail="the part is not there") from None
        if hashlib.sha256(content).hexdigest() != part.sha256:
            raise ConfigurationError(path=part.path, detail="the part is not what the manifest says")
        return content

    def _put(self, folder: str, content: bytes, rows: int) -> Part:
        sha256 = hashlib.sha256(content).hexdigest()
        part = Part(f"{folder}/part-{sha256[:16]}.parquet", sha256, rows)
        self._files.write(part.path, content)
        return part

    def _added(self, now: Manifest, rows: Sequence[Row]) -> tuple[Manifest, int]:
        groups: dict[tuple[Kind, str], dict[str, Row]] = {}
        for row in rows:
            groups.setdefault((row.kind, row.day), {})[self._tables.digest_of(row)] = row
        parts, added = list(now.parts), 0
        for (kind, day), found in sorted(groups.items()):
            folder = f"kind={kind}/day={day}"
            for part in now.parts:
                if part.path.startswith(f"{folder}/"):
                    for sha256 in self._tables.read(self._part(part), ("sha256",))["sha256"].to_pylist():
                        found.pop(sha256, None)
            if found:
                parts.append(self._put(folder, self._tables.encode(kind, list(found.values())), len(found)))
                added += len(found)
        return msgspec.structs.replace(now, parts=tuple(parts)), added

    def _without(self, now: Manifest, column: str, values: Collection[str]) -> _Change:
        """Every part without these rows."""
        parts, obsolete, removed = [], [], {subject: list(ids) for subject, ids in now.removed.items()}
        wanted = frozenset(values)
        for part in now.parts:
            content, gone, left = self._tables.without(self._part(part), column, wanted)
            if not gone:
                parts.append(part)
                continue
            obsolete.append(part)
            if content is not None:
                parts.append(self._put(part.path.rpartition("/")[0], content, left))
            for subject, ids in gone.items():
                removed.setdefault(subject, []).extend(f"{part.kind}:{each}" for each in ids)
        kept = {subject: tuple(sorted(set(ids))) for subject, ids in removed.items()}
        return _Change(msgspec.structs.replace(now, parts=tuple(parts), removed=kept), obsolete)

    def _marked(self, now: Manifest) -> Manifest:
        """Every model that saw a label of an erased patient says so."""
        trained = {}
        for bundle, model in now.trained.items():
            content = self._part(model.ids)
            saw = {f"label:{each}" for each in msgspec.json.decode(content, type=list[str])}
            found = {subject: time for subject, time in now.erased.items() if not saw.isdisjoint(now.removed.get(subject, ()))}
            trained[bundle] = msgspec.structs.replace(model, erased=model.erased | found)
        return msgspec.structs.replace(now, trained=trained)

    def _sweep(self, now: Manifest, time: datetime) -> None:
        named = {part.path for part in now.parts}
        for kind in KINDS:
            for path, written in self._files.below(f"kind={kind}").items():
                if path not in named and written < time - _ORPHAN:
                    self._files.remove(path)


def instant(text: str) -> datetime:
    """An aware instant; one that names no zone is UTC. Raises ValueError."""
    found = datetime.fromisoformat(text)
    return found.replace(tzinfo=UTC) if found.tzinfo is None else found.astimezone(UTC)


def day_of(text: str) -> str:
    """The UTC day of an instant, as partitions are named. Raises ValueError."""
    return instant(text).date().isoformat()


def _manifest_path(number: int) -> str:
    return f"{_MANIFESTS}/{number:010d}.json"


def _tables() -> ModuleType:
    try:
        from training.label_store import tables
    except ImportError:
        raise ConfigurationError(
            path="labels.store", detail="needs Parquet: install the extra store (pip install 'wardstream[store]')"
        ) from None
    return tables
