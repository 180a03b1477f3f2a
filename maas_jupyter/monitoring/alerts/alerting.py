"""Rules at work: pending, firing and cleared, as Prometheus has them."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from time import monotonic

from maas_jupyter.errors import MaasError, NotFound, nearest
from maas_jupyter.monitoring.alerts import rulefile
from maas_jupyter.monitoring.alerts.conditions import Windows, find
from maas_jupyter.monitoring.alerts.eventlog import EventLog
from maas_jupyter.monitoring.alerts.rules import Rule, RuleKey
from maas_jupyter.monitoring.background import in_thread
from maas_jupyter.monitoring.feed import in_words
from maas_jupyter.monitoring.history import Key, Reading
from maas_jupyter.monitoring.rows import AlertChange, AlertEvent, AlertRow, AlertState, EndpointRow

#: Seconds that a look at the endpoints waits for the history to be written.
_BRIEF = 1.0

#: What tells one state of a file from another.
_Stamp = tuple[int, int, int] | None


@dataclass(frozen=True)
class _Status:
    state: AlertState = "inactive"
    since: float | None = None
    value: float | None = None
    reason: str = ""


@dataclass(frozen=True)
class FileLook:
    """What was read of the rules' file.

    Attributes
    ----------
    number : int
        How often the rules had been changed from here when it was read.
    rules : list of Rule or None
        None where the file has not changed.
    firing : dict
        When each alert fired that had not cleared when the server before this one ended.
    """

    number: int
    stamp: _Stamp
    rules: list[Rule] | None
    firing: dict[RuleKey, AlertEvent]


class Alerts:
    """The rules of a home, their states, and their history.

    All but `read`, which may block, is called on the event loop's thread.

    Parameters
    ----------
    path : Path
        File of the rules, beside which the history is kept in ``alerts.jsonl``; made with the first rule.
    clock : callable
        Epoch seconds.

    Attributes
    ----------
    on_change : callable
        Called when rules came or went.
    """

    def __init__(self, path: Path, clock: Callable[[], float] = time.time) -> None:
        self.path = path
        self.on_change: Callable[[], None] = lambda: None
        self._log = EventLog(path.with_name("alerts.jsonl"))
        self._clock = clock
        self._rules: dict[RuleKey, Rule] = {}
        self._ruled: set[Key] = set()
        self._statuses: dict[RuleKey, _Status] = {}
        self._windows = Windows()
        self._stamp: _Stamp = None
        self._number = 0
        self._known = False
        self._seen: Collection[Key] | None = None
        self._unwritten: list[AlertEvent] = []
        # Whether something that fired before this server started may not have been written down as cleared.
        self._leftover = False
        self._changing = asyncio.Lock()
        self._keeping: asyncio.Task[None] | None = None
        self._kept_since = 0.0
        self._writing = threading.Lock()
        self.trouble = ""

    @property
    def known(self) -> bool:
        """Whether the file has been read."""
        return self._known

    @property
    def empty(self) -> bool:
        """Whether there are no rules."""
        return not self._rules

    def rows(self) -> list[AlertRow]:
        """Return the rules with their states, by endpoint."""
        return [self._row(key) for key in sorted(self._rules)]

    def read(self) -> FileLook:
        """Read the rules if their file has changed, and at first also what fires since before.

        Raises
        ------
        InvalidInput
            If the file is not understood.
        Unavailable
            If it cannot be read.
        """
        number, known = self._number, self._known
        with self._writing:
            stamp = _stamp(self.path)
            if known and stamp == self._stamp:
                return FileLook(number, stamp, None, {})
            rules = rulefile.read(self.path)
        newest = {} if known else {(e.target, e.name, e.kind): e for e in self._log.read()}
        return FileLook(number, stamp, rules, {key: e for key, e in newest.items() if e.change == "fired"})

    def take(self, look: FileLook) -> None:
        """Take over what was read, unless the rules were changed from here meanwhile."""
        if look.rules is None or look.number != self._number:
            return
        if not self._known:
            self._leftover = bool(look.firing)
            ruled = {rule.key for rule in look.rules}
            for key, event in look.firing.items():
                # One whose rule was removed while nobody looked is written down as cleared by whoever writes.
                if key in ruled:
                    self._statuses[key] = _Status("firing", event.time, event.value, event.reason)
        self._stamp, self._known = look.stamp, True
        self._replace(look.rules)

    async def put(self, rule: Rule) -> AlertRow:
        """Add a rule, or change the one of that kind that the endpoint has: one that fires goes on firing.

        Raises
        ------
        NotFound
            If there is no such endpoint.
        InvalidInput, Unavailable
            If the file is not understood, or cannot be written.
        """
        await self.catch_up()
        target, name, _ = rule.key
        # A target that does not answer has one row for all its endpoints: then nobody knows which there are.
        missing = self._seen is not None and not {(target, name), (target, "*")} & set(self._seen)
        if self._seen is not None and missing and rule.key not in self._rules:
            names = [each for where, each in self._seen if where == target]
            hint = nearest(name, names, what="endpoints", otherwise="Publish a model: %maas publish NAME")
            raise NotFound(f"The target '{target}' has no endpoint '{name}'.", hint=hint)
        async with self._changing, rulefile.alone(self.path):
            await self.catch_up()
            await self._write({**self._rules, rule.key: rule})
        return self._row(rule.key)

    async def remove(self, key: RuleKey) -> AlertRow:
        """Remove a rule, and return what its row was; if it fires, it clears.

        Raises
        ------
        NotFound
            If there is none.
        InvalidInput, Unavailable
            If the file is not understood, or cannot be written.
        """
        await self.catch_up()
        self._require(key)
        async with self._changing, rulefile.alone(self.path):
            await self.catch_up()
            self._require(key)
            row = self._row(key)
            await self._write({each: rule for each, rule in self._rules.items() if each != key})
        await self._keep_events()
        return row

    def _require(self, key: RuleKey) -> None:
        if key not in self._rules:
            kinds = [kind for target, name, kind in self._rules if (target, name) == key[:2]]
            raise NotFound(
                f"The endpoint '{key[1]}' of '{key[0]}' has no alert of the kind '{key[2]}'.",
                hint=f"It has: {', '.join(kinds)}." if kinds else "It has none.",
            )

    async def catch_up(self) -> None:
        """Read the file if it has changed.

        Raises
        ------
        InvalidInput, Unavailable
            If it is not understood, or cannot be read.
        """
        self.take(await in_thread(self.read))

    def close(self) -> None:
        """Let another server of the home write the history."""
        self._log.close()

    async def history(self) -> list[AlertEvent]:
        """Return what fired and cleared, newest first.

        Raises
        ------
        Unavailable
            If it cannot be read.
        """
        return (await in_thread(self._log.read))[::-1]

    def add(self, key: Key, reading: Reading) -> None:
        """Keep a reading of an endpoint, if that has rules."""
        if key in self._ruled:
            self._windows.add(key, reading)

    async def evaluate(self, endpoints: Iterable[EndpointRow], unknown: Collection[str] = ()) -> None:
        """Compare all rules with what is known of the endpoints, and write down what fired and what cleared.

        Parameters
        ----------
        endpoints : iterable of EndpointRow
            All endpoints.
        unknown : collection of str
            Targets that have not been looked at yet: their rules stay as they are.
        """
        now = self._clock()
        rows = {(row.target, row.name): row for row in endpoints}
        if not unknown:
            self._seen = rows.keys()
        counted = {}
        for endpoint in self._ruled:
            if endpoint[0] not in unknown and (endpoint not in rows or rows[endpoint].state != "ready"):
                self._windows.forget(endpoint)
            counted[endpoint] = self._windows.counted(endpoint)
        for key, rule in self._rules.items():
            if rule.target not in unknown:
                finding = find(rule, rows, counted[key[:2]])
                if finding.holds is not None:
                    self._step(rule, now, finding.holds, finding.value, finding.reason)
        await self._keep_events()

    def _step(self, rule: Rule, now: float, holds: bool, value: float | None, reason: str) -> None:
        status = self._statuses.get(rule.key, _Status())
        if not holds:
            if status.state == "firing":
                self._statuses[rule.key] = _Status("inactive", now)
                self._happened(rule, now, "cleared", value, "")
            elif status.state == "pending":
                self._statuses[rule.key] = _Status()
            return
        if status.state == "firing":
            return
        if status.state == "inactive" or status.since is None or status.since > now:
            status = _Status("pending", now, value, reason)
        if now - (status.since or now) >= rule.for_seconds:
            status = _Status("firing", now, value, reason)
            self._happened(rule, now, "fired", value, reason)
        self._statuses[rule.key] = status

    def _happened(self, rule: Rule, now: float, change: AlertChange, value: float | None, reason: str) -> None:
        self._unwritten.append(self._event(rule, now, change, value, reason))

    @staticmethod
    def _event(rule: Rule, now: float, change: AlertChange, value: float | None, reason: str) -> AlertEvent:
        return AlertEvent(
            now, change, rule.target, rule.name, rule.kind, rule.threshold, rule.for_seconds, value, reason
        )

    async def _keep_events(self) -> None:
        """Write down what happened, one at a time, and wait for it; not for long, as the disk may hang."""
        if self._keeping is None and self._is_to_write:
            self._keeping, self._kept_since = asyncio.ensure_future(self._write_events()), monotonic()
            self._keeping.add_done_callback(self._kept)
        if self._keeping is not None:
            await asyncio.wait([self._keeping], timeout=max(0.0, self._kept_since + _BRIEF - monotonic()))

    @property
    def _is_to_write(self) -> bool:
        return self._known and bool(self._unwritten or self._leftover or (self._rules and not self._log.is_writer))

    def _kept(self, keeping: asyncio.Task[None]) -> None:
        self._keeping = None
        if not keeping.cancelled():
            keeping.result()

    async def _write_events(self) -> None:
        await self._write_unwritten()
        # What happened while that was written.
        while self._unwritten and not self.trouble:
            await self._write_unwritten()

    async def _write_unwritten(self) -> None:
        events, self._unwritten = self._unwritten, []
        firing = {
            key: self._event(self._rules[key], status.since or 0.0, "fired", status.value, status.reason)
            for key, status in self._statuses.items()
            if status.state == "firing"
        }
        try:
            if not self._log.is_writer:
                # Another server of the home sees the same and writes it; or it did, and has ended.
                events = await in_thread(self._log.take_over, firing, self._clock())
            if events:
                await in_thread(self._log.append, events)
            self.trouble, self._leftover = "", False
        except MaasError as error:
            # Tried again the next time; a disk that is full for a week must not fill the memory too.
            self._unwritten = [*events, *self._unwritten][-1000:]
            self.trouble = in_words(error)

    async def _write(self, rules: dict[RuleKey, Rule]) -> None:
        def work() -> _Stamp:
            with self._writing:
                rulefile.write(self.path, (rules[key] for key in sorted(rules)))
                return _stamp(self.path)

        self._stamp = await in_thread(work)
        self._number += 1
        self._replace(rules.values())

    def _replace(self, rules: Iterable[Rule]) -> None:
        before = self._rules
        self._rules = {rule.key: rule for rule in rules}
        now = self._clock()
        for key in self._statuses.keys() - self._rules.keys():
            status = self._statuses.pop(key)
            if status.state == "firing" and key in before:
                self._happened(before[key], now, "cleared", None, "")
        for key, status in self._statuses.items():
            # Its condition is another one now, so that its time begins anew.
            if status.state == "pending" and before.get(key) != self._rules[key]:
                self._statuses[key] = replace(status, state="inactive", since=None)
        self._ruled = {key[:2] for key in self._rules}
        self._windows.keep(self._ruled)
        if before.keys() != self._rules.keys():
            self.on_change()

    def _row(self, key: RuleKey) -> AlertRow:
        rule, status = self._rules[key], self._statuses.get(key, _Status())
        return AlertRow(
            target=rule.target,
            name=rule.name,
            kind=rule.kind,
            threshold=rule.threshold,
            for_seconds=rule.for_seconds,
            state=status.state,
            since=status.since,
            value=status.value,
            reason=status.reason,
        )


def _stamp(path: Path) -> _Stamp:
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_mtime_ns, found.st_size, found.st_ino
