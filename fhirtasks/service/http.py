"""The FHIR server over HTTP: a thin front over :meth:`fhirtasks.service.service.Service.request`.

It serves a whole graph, everything visible; what is posted lives in memory until the server stops.
"""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fhirtasks.errors import UserError
from fhirtasks.graph.world import World
from fhirtasks.service.service import Service, Style

if TYPE_CHECKING:
    from starlette.applications import Starlette

PATH = "/fhir/"


def serve(
    graph: Path,
    host: str = "127.0.0.1",
    port: int = 8080,
    style: Style = "compact",
    announce: Callable[[str], None] | None = None,
) -> None:
    """Serves ``graph`` until interrupted (SIGINT, SIGTERM). ``announce`` is called with the base URL once it is bound.

    Port 0 takes a free one. UserError where the extra ``serve`` is not installed, the graph cannot be read, or the
    port is taken.
    """
    uvicorn = _uvicorn()
    world = World.open(graph)
    try:
        with _bound(host, port) as listener:
            base = _base(host, listener)
            service = Service(world, now=None, task_id="serve", style=style, base=base)
            server = uvicorn.Server(_config(uvicorn, application(service)))
            if announce is not None:
                announce(base)
            try:
                server.run(sockets=[listener])
            except KeyboardInterrupt:  # uvicorn raises it again after a clean stop
                return
    finally:
        world.close()


@contextmanager
def serving(service_of: Callable[[str], Service], host: str = "127.0.0.1") -> Iterator[str]:
    """A server on a free port in a thread, for tests: gives its base URL. ``service_of`` makes the service for that
    base."""
    import threading
    import time

    uvicorn = _uvicorn()
    with _bound(host, 0) as listener:
        base = _base(host, listener)
        server = uvicorn.Server(_config(uvicorn, application(service_of(base))))
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]}, daemon=True)
        thread.start()
        try:
            while not server.started and thread.is_alive():
                time.sleep(0.005)
            yield base
        finally:
            server.should_exit = True
            thread.join(timeout=10)


def application(service: Service) -> Starlette:
    """The ASGI application: every path below ``/fhir/`` goes to the service as it came over the wire."""
    from starlette.applications import Starlette
    from starlette.requests import ClientDisconnect, Request
    from starlette.responses import Response as HttpResponse
    from starlette.routing import Route

    async def answer(request: Request) -> HttpResponse:
        path = request.scope.get("raw_path", request.url.path.encode()).partition(b"?")[0].decode("latin-1")
        query = request.scope["query_string"].decode("latin-1")
        try:
            sent = await request.body() if request.method != "GET" else None
        except ClientDisconnect:  # gone before its body was whole: nobody waits for an answer
            return HttpResponse(status_code=400)
        # Undecodable bytes become lone surrogates, which the service refuses as no JSON.
        body = None if sent is None else sent.decode(errors="surrogateescape")
        response = service.request(request.method, f"{path}?{query}" if query else path, body)
        return HttpResponse(response.body, response.status, headers=response.headers)

    methods = ["GET", "POST", "PUT", "PATCH", "DELETE", "HEAD"]
    return Starlette(routes=[Route("/{path:path}", answer, methods=methods)])


def _uvicorn() -> Any:
    try:
        import starlette  # noqa: F401
        import uvicorn
    except ImportError as error:
        raise UserError("Serving needs the extra [serve]; run: pip install 'fhirtasks[serve]'.") from error
    return uvicorn


def _config(uvicorn: Any, app: Starlette) -> Any:
    return uvicorn.Config(
        app, log_level="warning", access_log=False, lifespan="off", server_header=False, date_header=False
    )


@contextmanager
def _bound(host: str, port: int) -> Iterator[socket.socket]:
    if not host:  # to the socket it would mean every interface
        raise UserError("The host is empty; give an address to listen on, such as 127.0.0.1.")
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind((host, port))
            listener.listen(1024)  # from here on a client is not refused, and waits until the server has started
        except OSError as error:
            raise UserError(
                f"Cannot listen on {host}:{port} ({error.strerror}); take another --host or --port (0: a free one)."
            ) from error
        except OverflowError as error:
            raise UserError(f"{port} is no port; take one from 0 to 65535.") from error
        yield listener
    finally:
        listener.close()


def _base(host: str, listener: socket.socket) -> str:
    shown = {"0.0.0.0": "localhost", "::": "localhost"}.get(host, f"[{host}]" if ":" in host else host)
    return f"http://{shown}:{listener.getsockname()[1]}{PATH}"
