"""The hosts on the way."""

from __future__ import annotations

import re
from typing import Any

_PLACE = re.compile(
    r"(?:(?P<user>[^@]*(?:@[^@]*)*)@)?(?:\[(?P<v6>[^\]]*)\]|(?P<host>[^:]*))(?::(?P<port>\d+))?"
)
"""`host`, `host:port`, `user@host:port`; an IPv6 address with a port stands in brackets."""


def places(proxy_jump: object) -> list[Any]:
    """What `proxy_jump` names, in order: configurations, or keyword arguments for new ones.

    One host, or a list of them: a connection, whose way to log in is used for a session of our own,
    `(host, port)`, or text as above. Users are `root` where none is given, as ever.
    """
    if proxy_jump is None:
        return []
    many = proxy_jump if isinstance(proxy_jump, list) else [proxy_jump]
    return [_place(one) for one in many]


def _place(one: object) -> Any:
    config = getattr(one, "_config", None)
    if config is not None:
        return config
    if isinstance(one, str):
        return _read(one)
    if isinstance(one, tuple) and len(one) == 2:
        host, port = one
        if isinstance(host, str) and isinstance(port, int) and not isinstance(port, bool):
            return {"host": host, "port": port, "username": "root"}
    raise TypeError(
        "`proxy_jump` must be a connection, (host, port), 'host', 'host:port' or "
        f"'user@host:port', or a list of these, not {type(one).__name__}"
    )


def _read(text: str) -> dict[str, Any]:
    if text.count(":") > 1 and "[" not in text:
        # An address without a port.
        user, at, host = text.rpartition("@")
        return {"host": host, "port": 22, "username": user if at else "root"}
    match = _PLACE.fullmatch(text)
    if match is None:
        raise TypeError(
            f"`proxy_jump` must be 'host', 'host:port' or 'user@host:port', not {text!r}"
        )
    port = match["port"]
    return {
        "host": match["host"] if match["v6"] is None else match["v6"],
        "port": 22 if port is None else int(port),
        "username": "root" if match["user"] is None else match["user"],
    }
