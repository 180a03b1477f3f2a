"""Every route that there is: who may ask, and from which page."""

from __future__ import annotations

import re

import pytest
from jupyter_server.auth import Authorizer
from tornado.httputil import HTTPHeaders
from traitlets.config import Config

from maas_jupyter.server_extension.handlers.base import MaasHandler

CHANGES = ("POST", "PUT", "PATCH", "DELETE")
#: A page of another site can make a browser send the cookie, but can neither read nor set the token beside it.
XSRF = "00112233445566778899aabbccddeeff"


class OnlyReading(Authorizer):
    def is_authorized(self, handler, user, action, resource):
        return action == "read"


@pytest.fixture
def jp_server_config(jp_server_config):
    server = {**jp_server_config.ServerApp, "authorizer_class": OnlyReading}
    return Config({**jp_server_config, "ServerApp": server})


def example(pattern):
    """Return a path that a route's pattern matches."""
    path = re.sub(r"\(\[\^/\]\+\)", "x", pattern.removesuffix("$"))
    path = re.sub(r"\(([\w-]+)\|[^()]*\)", r"\1", path).replace("\\", "")
    assert re.fullmatch(pattern, path), pattern
    return path


@pytest.fixture
def routes(jp_serverapp, jp_fetch):
    """Return a function that gives every method of every path, as the server has them once one was asked for."""
    return lambda: every_route(jp_serverapp, jp_fetch)


async def every_route(jp_serverapp, jp_fetch):
    await jp_fetch("maas-jupyter", "snapshot")
    rules = [rule for group in jp_serverapp.web_app.default_router.rules for rule in getattr(group.target, "rules", [])]
    ours = [rule for rule in rules if isinstance(rule.target, type) and issubclass(rule.target, MaasHandler)]
    found = [
        (method, example(rule.matcher.regex.pattern))
        for rule in ours
        for method in ("GET", *CHANGES)
        if getattr(rule.target, method.lower()) is not getattr(MaasHandler, method.lower())
    ]
    assert len(found) >= 20
    assert {method for method, _ in found} >= {"GET", "POST", "PUT", "DELETE"}
    return found


@pytest.fixture
def ask(http_server_client):
    """Return a function that asks with any headers and gives the status and the words of the answer."""

    async def ask(method, path, **headers):
        given = HTTPHeaders({name.replace("_", "-"): value for name, value in headers.items()})
        body = None if method in ("GET", "DELETE") else "{}"
        answer = await http_server_client.fetch(path, method=method, headers=given, body=body, raise_error=False)
        return answer.code, answer.body.decode()

    return ask


async def cookie_of(http_server_client, jp_base_url, jp_auth_header):
    """Return what a browser sends by itself once its user has logged in."""
    answer = await http_server_client.fetch(f"{jp_base_url}api/me", headers=jp_auth_header)
    return "; ".join(each.partition(";")[0] for each in answer.headers.get_list("Set-Cookie"))


@pytest.mark.parametrize("authorization", ["", "token wrong"])
async def test_the_anonymous_get_nothing_and_change_nothing(routes, ask, maas_home, authorization):
    for method, path in await routes():
        # Also not from a page of this server.
        code, said = await ask(method, path, Authorization=authorization, Cookie=f"_xsrf={XSRF}", X_XSRFToken=XSRF)
        assert (code, "Forbidden" in said) == (403, True), (method, path)
    assert not maas_home.exists()


async def test_another_sites_page_changes_nothing_in_the_name_of_who_is_logged_in(
    routes, ask, http_server_client, jp_base_url, jp_auth_header, maas_home
):
    cookie = await cookie_of(http_server_client, jp_base_url, jp_auth_header)
    for method, path in await routes():
        if method in CHANGES:
            code, said = await ask(method, path, Cookie=cookie)
            assert (code, "_xsrf" in said) == (403, True), (method, path)
            code, said = await ask(method, path, Cookie=f"{cookie}; _xsrf={XSRF}", X_XSRFToken="ff" * 16)
            assert (code, "XSRF" in said) == (403, True), (method, path)
            # With the token it is the authorizer that has something against it.
            code, said = await ask(method, path, Cookie=f"{cookie}; _xsrf={XSRF}", X_XSRFToken=XSRF)
            assert (code, "is not authorized" in said) == (403, True), (method, path)
    assert not maas_home.exists()


async def test_who_may_only_read_changes_nothing(routes, ask, jp_auth_header, maas_home):
    for method, path in await routes():
        if method in CHANGES:
            code, said = await ask(method, path, **jp_auth_header)
            assert (code, "is not authorized" in said) == (403, True), (method, path)
    assert not maas_home.exists()
