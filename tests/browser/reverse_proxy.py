"""A reverse proxy as stands before a Jupyter server: another address, the same path, WebSockets included."""

from __future__ import annotations

import asyncio
import threading
from contextlib import contextmanager
from urllib.parse import urlsplit

from tornado.httpclient import AsyncHTTPClient, HTTPRequest
from tornado.httpserver import HTTPServer
from tornado.netutil import bind_sockets
from tornado.web import Application, RequestHandler
from tornado.websocket import WebSocketHandler, websocket_connect

#: Of one connection, which a proxy makes itself.
HOP_BY_HOP = {"connection", "content-encoding", "content-length", "keep-alive", "transfer-encoding", "upgrade"}


@contextmanager
def reverse_proxy(url):
    """Stand before the server of a URL; gives the URL to use instead."""
    there, started, stop = urlsplit(url), threading.Event(), threading.Event()
    here = []

    async def serve():
        sockets = bind_sockets(0, "127.0.0.1")
        application = Application([(r".*", _Proxy, {"netloc": there.netloc})])
        server = HTTPServer(application)
        server.add_sockets(sockets)
        here.append(f"{there.scheme}://127.0.0.1:{sockets[0].getsockname()[1]}{there.path}")
        started.set()
        await asyncio.to_thread(stop.wait)
        server.stop()
        await server.close_all_connections()

    thread = threading.Thread(target=asyncio.run, args=[serve()])
    thread.start()
    try:
        assert started.wait(10)
        yield here[0]
    finally:
        stop.set()
        thread.join()


class _Proxy(WebSocketHandler):
    SUPPORTED_METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS")

    def initialize(self, netloc):
        self.netloc, self.upstream = netloc, None

    def check_xsrf_cookie(self):
        """The server behind does."""

    def check_origin(self, origin):
        return True

    def select_subprotocol(self, subprotocols):
        return self.upstream.selected_subprotocol

    async def get(self, *_):
        if self.request.headers.get("Upgrade", "").lower() == "websocket":
            headers = {name: self.request.headers[name] for name in ("Cookie", "Host") if name in self.request.headers}
            wanted = self.request.headers.get("Sec-WebSocket-Protocol", "")
            self.upstream = await websocket_connect(
                HTTPRequest(f"ws://{self.netloc}{self.request.uri}", headers=headers),
                subprotocols=[each.strip() for each in wanted.split(",") if each] or None,
                on_message_callback=self.answer,
            )
            await super().get()
        else:
            await self.forward()

    async def forward(self, *_):
        request = self.request
        headers = {name: value for name, value in request.headers.get_all() if name.lower() not in HOP_BY_HOP}
        answer = await AsyncHTTPClient().fetch(
            HTTPRequest(
                f"http://{self.netloc}{request.uri}",
                method=request.method,
                headers={**headers, "X-Forwarded-For": request.remote_ip, "X-Forwarded-Proto": "http"},
                body=request.body if request.body or request.method in ("POST", "PUT", "PATCH") else None,
                allow_nonstandard_methods=True,
                follow_redirects=False,
                request_timeout=60,
            ),
            raise_error=False,
        )
        self.set_status(answer.code, answer.reason)
        self.clear_header("Content-Type")
        for name, value in answer.headers.get_all():
            if name.lower() not in HOP_BY_HOP:
                self.add_header(name, value)
        if answer.body and answer.code not in (204, 304):
            RequestHandler.write(self, answer.body)
        await RequestHandler.finish(self)

    head = post = put = patch = delete = options = forward

    def on_message(self, message):
        self.upstream.write_message(message, binary=isinstance(message, bytes))

    def answer(self, message):
        if message is None:
            self.close()
        else:
            self.write_message(message, binary=isinstance(message, bytes))

    def on_close(self):
        if self.upstream is not None:
            self.upstream.close()
