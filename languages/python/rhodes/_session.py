"""Sessions: what a Python program does with its agent."""
from __future__ import annotations

import atexit
import functools
import logging
import math
import os
import threading
import weakref
from collections.abc import Callable
from types import TracebackType
from typing import Any, TypeVar

from . import _rhodes
from ._record import member_name
from ._verdicts import CalleeFailed

_log = logging.getLogger("rhodes")
_sessions: weakref.WeakSet[Session] = weakref.WeakSet()
_Served = TypeVar("_Served", bound=Callable[..., Any])


def open(resource: str | None = None, agent: str | os.PathLike[str] | None = None, *, operator: bool = False,
         timeout: float = 5.0) -> Session:
    """Connects to the agent of this program's resource; `rhodes run` and manifests say where it is (RHODES_AGENT).

    resource: refuse to talk to the agent of another ("service/tcp"). agent: the path of its socket.
    operator: connect as a person's tool instead, to call the resource's own functions (bind "") or others in its name.
    timeout: seconds to look for the agent.
    """
    return Session(resource, agent, operator=operator, timeout=timeout)


class Session:
    """A session with the agent: bind what others provide, serve what this program provides. A context manager."""

    def __init__(self, resource: str | None = None, agent: str | os.PathLike[str] | None = None, *,
                 operator: bool = False, timeout: float = 5.0) -> None:
        if not (math.isfinite(timeout) and 0 < timeout <= 1e9):
            raise ValueError(f"timeout: expected more than 0 and at most 1e9 seconds, not {timeout!r}")
        path = None if agent is None else os.fspath(agent)
        self._session = _rhodes.open(resource, path, operator, max(1, int(timeout * 1e9)))
        _sessions.add(self)

    @property
    def resource(self) -> str:
        """What this program is: "application/httpclient"."""
        return self._session.resource

    @property
    def closed(self) -> bool:
        return self._session.closed

    def bind(self, resource: str, *signatures: str, types: str | None = None) -> Resource:
        """Another resource's functions as attributes: session.bind("service/tcp").connect("10.0.0.2", 80).

        Each of `signatures` ("recv: func(id: u32, max: u32) -> list<u8>", with the definitions that it uses in `types`)
        is bound at once, and refused with TypeMismatch when the resource provides it otherwise. Functions that
        are not named here are bound when they are first used, with the type that the resource declares.
        """
        bound = Resource(self._session, resource)
        for signature in signatures:
            bound._bind(function_name(signature), signature, types)
        return bound

    def serve(self, signature: str, types: str | None = None) -> Callable[[_Served], _Served]:
        """Decorator: serves a function that this resource provides.

            @session.serve("add: func(a: s32, b: s32) -> s32")
            def add(a, b):
                return a + b

        An exception reaches the caller as CalleeFailed with its text, and the log "rhodes" with its traceback;
        raise CalleeFailed yourself to answer with a text alone.
        """
        def decorate(function: _Served) -> _Served:
            if not callable(function):
                raise TypeError(f"serve: expected a function, not {function!r}")
            self._session.serve(signature, types, _logged(function, function_name(signature)))
            return function
        return decorate

    def start(self, threads: int = 1) -> None:
        """Begins to serve on that many threads (1 to 64) and returns at once."""
        self._session.start(threads)

    def wait(self) -> None:
        """Waits until stop() is called or the agent ends the program. ^C raises KeyboardInterrupt here."""
        if threading.current_thread() is not threading.main_thread():
            self._session.wait()
            return
        failure: list[BaseException] = []
        waiter = threading.Thread(target=self._wait_into, args=(failure,), name="rhodes-wait", daemon=True)
        waiter.start()
        try:
            waiter.join()
        except BaseException:
            self._session.stop()
            raise
        if failure:
            raise failure[0]

    def _wait_into(self, failure: list[BaseException]) -> None:
        try:
            self._session.wait()
        except BaseException as error:
            failure.append(error)

    def run(self, threads: int = 1) -> None:
        """Serves until stop() is called or the agent ends the program: start() and wait()."""
        self.start(threads)
        self.wait()

    def stop(self) -> None:
        """Ends wait() and run(). From any thread, a served function too."""
        self._session.stop()

    def close(self) -> None:
        """Stops serving, waits for running calls and served functions, and ends the session."""
        self._session.close()

    def __enter__(self) -> Session:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None,
                 traceback: TracebackType | None) -> None:
        self.close()

    def __repr__(self) -> str:
        return "<rhodes.Session closed>" if self.closed else f"<rhodes.Session of {self.resource}>"


class Resource:
    """The functions of another resource as attributes; kebab-case names in snake_case, or as items: r["set-mtu"]."""

    def __init__(self, session: _rhodes.Session, resource: str) -> None:
        self._session = session
        self._resource = resource

    def _bind(self, name: str, signature: str | None = None, types: str | None = None) -> _rhodes.Function:
        function = self._session.bind(self._resource, name, signature, types)
        self.__dict__[name.replace("-", "_")] = function
        return function

    def __getattr__(self, name: str) -> _rhodes.Function:
        if name.startswith("_"):
            raise AttributeError(name)
        return self[member_name(name).replace("_", "-")]

    def __getitem__(self, name: str) -> _rhodes.Function:
        bound: _rhodes.Function | None = self.__dict__.get(name.replace("-", "_"))
        return bound if bound is not None else self._bind(name)

    def __repr__(self) -> str:
        return f"<rhodes.Resource {self._resource}>"


def function_name(signature: str) -> str:
    """The name before the colon of a signature; librhodes checks the rest."""
    name, colon, _ = signature.partition(":")
    if not colon:
        raise ValueError(f"expected NAME: func(...) -> TYPE, not {signature!r}")
    return name.strip()


def _logged(function: Callable[..., Any], name: str) -> Callable[..., Any]:
    @functools.wraps(function)
    def run(*arguments: Any) -> Any:
        try:
            return function(*arguments)
        except CalleeFailed:
            raise
        except Exception:
            _log.exception("event=function.failed function=%s", name)
            raise
    return run


@atexit.register
def _close_all() -> None:
    """Serving threads must be gone before the interpreter is."""
    for session in list(_sessions):
        session.close()
