"""The vault of one process, for offline work and tests: forgotten when the process ends."""

from __future__ import annotations

import os
import random
import threading
from collections.abc import Sequence

from agents.vault.records import Name, PatientRecord, Pseudonyms, Request, name_of, new_epoch, new_token


class MemoryVault:
    """Thread-safe. ``seed`` makes tokens repeatable; without one they are random, as the law wants them."""

    def __init__(self, *, seed: int | None = None) -> None:
        self._random = os.urandom if seed is None else random.Random(seed).randbytes  # noqa: S311 - a seed is asked for in tests only
        self._lock = threading.Lock()
        self._patients: dict[Name, str] = {}
        self._numbers: dict[Name, str] = {}
        self._records: dict[str, PatientRecord] = {}

    async def resolve(self, requests: Sequence[Request]) -> list[Pseudonyms]:
        """See ``Vault.resolve``."""
        return self.resolve_now(requests)

    def resolve_now(self, requests: Sequence[Request]) -> list[Pseudonyms]:
        """The same, for callers without an event loop."""
        with self._lock:
            return [self._resolve(request) for request in requests]

    async def reidentify(self, token: str) -> PatientRecord | None:
        """See ``Vault.reidentify``."""
        with self._lock:
            return self._records.get(token)

    def _resolve(self, request: Request) -> Pseudonyms:
        names = [name_of(identifier) for identifier in request.patient]
        token = next((self._patients[name] for name in names if name in self._patients), None)
        if token is None:
            token = new_token(self._random(14))
            self._records[token] = PatientRecord(token=token, epoch=new_epoch(self._random(8)), person=request.person)
        elif request.person.names and not self._records[token].person.names:
            self._records[token] = PatientRecord(token=token, epoch=self._records[token].epoch, person=request.person)
        for name in names:
            self._patients.setdefault(name, token)
        tokens = dict.fromkeys(names, token)
        for identifier in request.prior:
            tokens[name_of(identifier)] = self._patients.setdefault(name_of(identifier), new_token(self._random(14)))
        for identifier in request.numbers:
            tokens[name_of(identifier)] = self._numbers.setdefault(name_of(identifier), new_token(self._random(14)))
        return Pseudonyms(token, self._records[token].epoch, tokens)
