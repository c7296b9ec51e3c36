"""Rhodes for Python: call functions of other resources, and serve your own, through this program's agent.

    import rhodes

    with rhodes.open() as session:
        tcp = session.bind("service/tcp")
        connection = tcp.connect("10.0.0.2", 80, timeout=2)

What is refused is an exception below rhodes.Error, one class per verdict; what breaks is OSError.
"""
from . import _verdicts
from ._record import Record
from ._rhodes import Function
from ._session import Resource, Session, open
from ._verdicts import *  # noqa: F403

__all__ = ["Function", "Record", "Resource", "Session", "open", *_verdicts.__all__]
