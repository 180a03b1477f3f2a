"""Finding out what kind of server answers at an address."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterator
from contextlib import closing
from pathlib import Path
from time import monotonic

import httpx

from maas_jupyter.errors import Conflict, InvalidInput, Unauthorized, Unavailable, UsageError
from maas_jupyter.monitoring.foreign.asker import Answer, Asker, address, origin, shown
from maas_jupyter.monitoring.foreign.attached import AttachedServer, AttachedServers, token_of
from maas_jupyter.monitoring.foreign.kind import Kind, Place
from maas_jupyter.monitoring.foreign.kinds import KINDS
from maas_jupyter.schema import check_name
from maas_jupyter.serving.client.transport import is_loopback

#: Seconds after which nothing further is asked.
_LONGEST = 8.0

#: What people copy with the address of a server.
_COPIED = re.compile(r"(?:/monitoring/prometheus)?/metrics$|/v2(?:/health/(?:live|ready))?$|/v1(?:/models)?$|/health$")
_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
#: Names of metrics of our own model server.
_OURS = re.compile(r"^(?:# (?:HELP|TYPE) )?maas_", re.MULTILINE)


def attach(
    servers: AttachedServers,
    url: str,
    *,
    name: str = "",
    metrics: str = "",
    token_env: str = "",
    ca_file: str = "",
    insecure: bool = False,
    taken: Collection[str] = (),
    how_to_set: Callable[[str], str],
) -> AttachedServer:
    """Recognise the server at an address and keep it.

    Parameters
    ----------
    servers : AttachedServers
        Where it is kept.
    url : str
        Its address.
    name : str
        What to call it; by default its kind.
    metrics : str
        The address of its Prometheus text, where that is not at its usual place.
    token_env : str
        Name of the environment variable that holds its token, where it wants one.
    ca_file : str
        PEM file of the authority that signed its certificate; by default those that the system trusts.
    insecure : bool
        Send the token to another machine without TLS.
    taken : collection of str
        Names that mean something else already.
    how_to_set : callable
        Given a variable, returns how it is set where errors are shown.

    Raises
    ------
    InvalidInput
        If the address or the name cannot be one, or no kind that is known answers there.
    Conflict
        If the name or the address is there already.
    Unavailable
        If nothing answers.
    Unauthorized
        If it wants a token.
    """
    base = _COPIED.sub("", address(url)).rstrip("/")
    place = _metrics_address(metrics) if metrics else ""
    if token_env and not _VARIABLE.fullmatch(token_env):
        # Whoever mistakes the field types the token itself here: it must not be shown again.
        raise UsageError(
            "What is named is not an environment variable.",
            hint="The token itself is never kept: name the variable that holds it.",
        )
    if token_env and base.startswith("http:") and not is_loopback(base) and not insecure:
        raise UsageError(
            f"Others on the way to {httpx.URL(base).host} could read the token: the address is http.",
            hint="Use https, or say --insecure where the network is trusted.",
        )
    authority = str(Path(ca_file).expanduser().absolute()) if ca_file else ""
    if authority and not Path(authority).is_file():
        raise UsageError(f"There is no file {authority}.", hint="--ca-file names a PEM file on this machine.")
    if name:
        check_name(name, what="watched endpoint")
        _refuse(name, taken)
    servers.check(name, base)
    with closing(Asker(base, token_of(token_env, how_to_set), ca_file=authority)) as ask:
        kind, where = _recognise(ask, place)
    known = {*taken, *servers.read()}
    chosen = name or next(each for each in _names(kind) if each not in known)
    server = AttachedServer(
        name=chosen, url=base, kind=kind.name, metrics=where, token_env=token_env, ca_file=authority
    )
    servers.add(server)
    return server


def _refuse(name: str, taken: Collection[str]) -> None:
    if name in taken:
        raise Conflict(f"'{name}' is the name of a target already.", hint="Choose another name.")


def _names(kind: Kind) -> Iterator[str]:
    """Give names for a server of a kind: triton, triton-2, ..."""
    first = kind.name.lower().replace(" ", "-")
    yield first
    number = 2
    while True:
        yield f"{first}-{number}"
        number += 1


def _metrics_address(url: str) -> str:
    checked = address(url)
    return checked if httpx.URL(checked).path.strip("/") else f"{checked}/metrics"


class _Tried:
    """What was asked and what came of it, for whoever has to find out why nothing was recognised."""

    def __init__(self, ask: Asker) -> None:
        self._ask = ask
        self._until = monotonic() + _LONGEST
        self._answers: dict[str, Answer | None] = {}
        self._told: dict[str, str] = {}
        self.wants_token = False
        self.leads_to = ""
        self.hint = "Is the address right, and the server up?"

    @property
    def answered(self) -> bool:
        """Whether anything came at all."""
        return any(self._answers.values())

    def get(self, path: str, *, again: bool = False) -> Answer | None:
        """Ask once; None where nothing came."""
        if path not in self._answers or again:
            self._answers[path] = self._get(path)
        return self._answers[path]

    def _get(self, path: str) -> Answer | None:
        if monotonic() > self._until:
            self._told[path] = "not tried, the others took too long"
            return None
        try:
            answer = self._ask.get(path)
        except Unavailable as error:
            self.hint = error.hint or self.hint
            self._told[path] = error.message.removeprefix(f"{path} ").removeprefix(f"{self._ask.url}{path} ")
            return None
        self._told[path] = str(answer.status)
        self.wants_token = self.wants_token or answer.status in (401, 403)
        if answer.leads_to:
            self.leads_to = shown(answer.leads_to)
            self._told[path] += f", leads to {self.leads_to}"
        elif answer.ok and path.endswith("/metrics"):
            self._told[path] += ", nothing that is known"
        return answer

    def why_not(self, path: str) -> str:
        """Return why nothing came."""
        return self._told[path].removeprefix("cannot be reached: ")

    def __str__(self) -> str:
        return "; ".join(f"GET {path}: {told}" for path, told in self._told.items())


def _recognise(ask: Asker, metrics: str) -> tuple[Kind, str]:
    """Return the kind of a server and the address of its metrics."""
    tried = _Tried(ask)
    first = tried.get("/v2")
    if first is None and not metrics:
        raise Unavailable(f"Nothing answers at {ask.url}: {tried.why_not('/v2')}", hint=tried.hint)
    named = _named(first)
    v2 = named is not None or _is_metadata(first)
    kinds = sorted(KINDS.values(), key=lambda kind: kind is not named)
    for kind in kinds:
        elsewhere = kind is named or (v2 and named is None)
        for place in [metrics] if metrics else _addresses(kind, ask.url, other_ports=elsewhere):
            answer = tried.get(place)
            if answer and answer.ok and kind.marked(answer.text):
                return kind, answer.url
    # A server of BentoML tells nothing before its first request; a probe is one.
    probe = tried.get("/readyz") if named is None else None
    if probe and probe.status in (200, 503):
        for kind in kinds:
            answer = tried.get(metrics or f"{ask.url}/metrics", again=True)
            if answer and answer.ok and kind.marked(answer.text):
                return kind, answer.url
    raise _unrecognised(ask.url, named, tried)


def _named(answer: Answer | None) -> Kind | None:
    told = answer.json if answer else None
    name = str(told.get("name", "")).lower() if isinstance(told, dict) else ""
    return next((kind for kind in KINDS.values() if kind.server_name and kind.server_name == name), None)


def _is_metadata(answer: Answer | None) -> bool:
    told = answer.json if answer else None
    return isinstance(told, dict) and "extensions" in told


def _addresses(kind: Kind, url: str, *, other_ports: bool) -> list[str]:
    return [_address(place, url) for place in kind.places if place.port is None or other_ports]


def _address(place: Place, url: str) -> str:
    if place.port is None:
        return f"{url}{place.path}"
    return str(httpx.URL(url).copy_with(port=place.port, raw_path=place.path.encode()))


def _unrecognised(
    url: str, named: Kind | None, tried: _Tried
) -> InvalidInput | Unavailable | Unauthorized | UsageError:
    if not tried.answered:
        return Unavailable(f"Nothing answers at {url}. Tried {tried}.", hint=tried.hint)
    if tried.wants_token:
        return Unauthorized(
            f"The server at {url} wants a token. Tried {tried}.",
            hint="Name the environment variable that holds it: --token-env VAR",
        )
    own = tried.get(f"{url}/metrics")
    if own and own.ok and _OURS.search(own.text):
        return UsageError(
            f"At {url} is a model server of this product.", hint=f"%maas connect NAME {url} --token-env VAR"
        )
    if named is not None:
        return Unavailable(
            f"{named.name} answers at {url}, but its metrics were not found. Tried {tried}.",
            hint="Switch its metrics on, or say where they are: --metrics http://HOST:PORT/metrics",
        )
    if tried.leads_to and origin(tried.leads_to) != origin(url):
        return InvalidInput(
            f"The server at {url} leads elsewhere, which is not followed. Tried {tried}.",
            hint=f"Give the address of the server itself; it leads to {tried.leads_to}",
        )
    return InvalidInput(
        f"The server at {url} is of no kind that is known. Tried {tried}.",
        hint=f"Known are {', '.join(KINDS)}. Are its metrics switched on, or elsewhere: "
        "--metrics http://HOST:PORT/metrics?",
    )
