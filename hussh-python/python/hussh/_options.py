"""What connections and pools can be told by keyword: each option once, with its check.

What is not given is left to the native half, whose defaults these are.
"""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Literal, TypedDict

from ._errors import InvalidArgumentError

__all__ = ["ConnectionOptions", "PoolOptions"]

HostKeys = str | list[str] | tuple[str, ...]
"""The name of a policy, a pin, or several pins."""

POLICIES = ("accept-new", "strict", "danger-accept-any")
CRYPTO_LISTS = (
    "kex_algorithms",
    "host_key_algorithms",
    "ciphers",
    "macs",
    "ca_signature_algorithms",
    "pubkey_accepted_algorithms",
    "rekey_limit",
)
METHODS = ("publickey", "password", "keyboard-interactive")

Crypto = str | Mapping[str, str]
"""What may be agreed on with a server: "default", "modern" or "compatible", or a dict with one of
them as "policy" and lists as in `ssh_config` ("+aes128-cbc") by the names in `CRYPTO_LISTS`;
"rekey_limit" is a size and a time, as in "1G 1h"."""

Paths = Iterable[str | os.PathLike[str]]


class SessionOptions(TypedDict, total=False):
    """What every connection can be told, a pool's too. Times are in seconds."""

    keepalive_count_max: int
    """After so many without an answer the connection is dead: 1 and up, default 3."""
    host_keys: HostKeys
    """A policy, "accept-new", the default, "strict" or "danger-accept-any"; or a pin, or pins."""
    must_record_host_keys: bool
    """Whether connecting fails where a new host's key cannot be recorded; default false."""
    hash_known_hosts: bool
    """Whether names of new hosts are recorded as hashes; default false."""
    update_host_keys: bool
    """Whether other keys that a known server proves to have are recorded; default true."""
    revoked_host_keys: Paths
    """Files of keys that are refused whatever else is said; one that cannot be read refuses all.
    Default: none."""
    known_hosts_command: Iterable[str] | None
    """A program, by its absolute path, and its arguments, that says what else is known of the host
    (OpenSSH's `KnownHostsCommand`); one that fails refuses all. Default `None`."""
    methods: Iterable[str]
    """By which methods to log in, in this order: "publickey", "password" and
    "keyboard-interactive". Default: all, the private key first."""
    connect_timeout: float
    """How long looking the name up, connecting and logging in may take together, those of jump
    hosts included; default 10, which 0 is, too."""
    passphrase: str | None
    """What the private key is encrypted with; without one, `password` opens it."""
    strict_key_modes: bool
    """Whether a key file that others may read is refused; default true."""
    required_rsa_size: int
    """The fewest bits of an RSA key, a server's or yours: 1024 and up, default 1024."""
    crypto: Crypto
    """What may be agreed on with the server; default "default", as strict as OpenSSH."""
    pickle_secrets: bool
    """Whether a password or passphrase may be pickled; default false."""


class ConnectionOptions(SessionOptions, total=False):
    """What connections and pools can be told by keyword. Times are in seconds."""

    keepalive_interval: float | None
    """After this long without anything received the server is asked for a sign of life; `None` or
    0 asks never. Default 30 for pools, `None` for a connection."""


class PoolOptions(ConnectionOptions, total=False):
    """What pools can be told besides."""

    max_connections: int
    """The most connections open at once: 1 and up, default 10."""
    channels_per_connection: int
    """How many borrowers share a connection at most: 1 and up, default 1."""
    min_idle: int
    """How many connections are kept ready though nobody uses them: default 0."""
    acquire_timeout: float | None
    """How long a borrower waits; `None` or 0 waits for ever. Default 30."""
    idle_timeout: float | None
    """Connections that nobody used for this long are closed, down to `min_idle`; `None` or 0 keeps
    them. Default 600."""
    max_lifetime: float | None
    """Connections older than this are replaced once nobody uses them; `None` or 0 keeps them.
    Default 1800."""
    check_timeout: float
    """How long a connection that was idle may take to answer before it is lent: above 0, default
    5."""
    check_after_idle: float | None
    """A connection unused for longer than this is asked for a sign of life before it is lent; 0
    asks every time, `None` never. Default 1."""
    max_connecting: int
    """How many connections are opened at once: 1 and up, default 2."""
    max_waiters: int | None
    """How many borrowers may wait: one more gets an error at once. `None`, the default, is no
    limit."""
    fail_fast: bool
    """Whether a pool that has never had a connection says at once that nobody listens at the port,
    instead of trying until the borrower's time is up; default true."""
    order: Literal["lifo", "fifo"]
    """Which idle connection is lent first: the one used last, "lifo", the default, or first."""
    slow_acquire: float | None
    """A borrower that waited for longer is logged as a warning; default `None`, none is."""
    leak_after: float | None
    """A connection on loan for longer is logged as a warning, once; default `None`, none is."""
    limit_recovery: float
    """How long no command has to be refused a channel until a connection is believed to carry one
    more again, up to `channels_per_connection`: above 0, default 60."""
    reset_timeout: float
    """How long a command that was given up may take to be over before its connection is closed:
    above 0, default 5."""
    close_timeout: float
    """How long closing a connection, and the pool, may take: above 0, default 5."""
    max_closing: int
    """How many connections are closed at once: 1 and up, default 8."""
    max_maintaining: int
    """How many connections are checked at once, and how many are reset: 1 and up, default 4."""
    jitter: float
    """By which share `idle_timeout` and `max_lifetime` are shortened at random: 0 to 0.5, default
    0.1."""
    backoff_base: float
    """The delay after a failed connect, which doubles with each: above 0, default 0.05."""
    backoff_max: float
    """The longest of these delays: at least `backoff_base`, default 5."""
    breaker_delay: float
    """The delay after an error that will not go away, such as a wrong password: above 0, default
    1."""


def checked(of: type[SessionOptions], whose: str, options: Mapping[str, Any]) -> dict[str, Any]:
    """Options that are known and of the right types and in range, as the native half wants them."""
    unknown = next((name for name in options if name not in of.__annotations__), None)
    if unknown is not None:
        raise TypeError(f"{whose}.__init__() got an unexpected keyword argument {unknown!r}")
    return {name: CHECKS[name](name, value) for name, value in options.items()}


def seconds(name: str, value: float | None, per_second: float = 1) -> float | None:
    """A time span in seconds; `None` for 0 and `None`, which both mean that there is none."""
    return (_span(name, value) or 0) / per_second or None


def _span(name: str, value: float | None) -> float | None:
    """A time span, far enough for everybody and within what the native half can count."""
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise TypeError(f"`{name}` must be a number or None, not {type(value).__name__}")
    if not math.isfinite(value) or value < 0:
        raise InvalidArgumentError(f"`{name}` must be 0 or more, not {value}", parameter=name)
    return min(value, 1e9)


def above_zero(name: str, value: float) -> float:
    """A time span that there is."""
    span = seconds(name, value)
    if span is None:
        raise InvalidArgumentError(f"`{name}` must be above 0, not {value}", parameter=name)
    return span


def policy(name: str, host_keys: HostKeys) -> tuple[str, ...]:
    """The name of a policy, or pins, of which there is one at least."""
    several = (host_keys,) if isinstance(host_keys, str) else host_keys
    if not isinstance(several, (list, tuple)) or not all(isinstance(one, str) for one in several):
        raise TypeError(f"`{name}` must be a str or a list of them, not {host_keys!r}")
    if not several or (len(several) > 1 and any(one in POLICIES for one in several)):
        raise InvalidArgumentError(
            f"`{name}` must be a policy or pins of one key at least", parameter=name
        )
    return tuple(several)


def crypto(name: str, value: Crypto) -> tuple[tuple[str, str], ...]:
    """A policy, and lists by the names that they have in errors."""
    if isinstance(value, str):
        return (("policy", value),)
    if not isinstance(value, Mapping):
        raise TypeError(f"`{name}` must be a str or a dict, not {type(value).__name__}")
    names = ("policy", *CRYPTO_LISTS)
    for part, text in value.items():
        if part not in names:
            problem = f"`{name}` has {part!r}, which is none of {', '.join(names)}"
            raise InvalidArgumentError(problem, parameter=name)
        if not isinstance(text, str):
            raise TypeError(f"`{name}[{part!r}]` must be a str, not {type(text).__name__}")
    # The policy first, whatever the order: the lists change it.
    return tuple((part, value[part]) for part in names if part in value)


def texts(name: str, value: Iterable[str]) -> tuple[str, ...]:
    """Several texts, one at least."""
    several = () if isinstance(value, (str, bytes)) else tuple(value)
    if not several or not all(isinstance(one, str) for one in several):
        raise TypeError(f"`{name}` must be a list of str, not {value!r}")
    return several


def paths(name: str, value: Paths) -> tuple[str, ...]:
    """Paths, of which a single one is no list."""
    if isinstance(value, (str, bytes, os.PathLike)):
        raise TypeError(f"`{name}` must be a list of paths, not {type(value).__name__}")
    return tuple(os.path.expanduser(os.fspath(one)) for one in value)


def methods(name: str, value: Iterable[str]) -> tuple[str, ...]:
    """Methods to log in by, each once."""
    several = texts(name, value)
    unknown = next((one for one in several if one not in METHODS), None)
    if unknown is not None:
        problem = f"`{name}` has {unknown!r}, which is none of {', '.join(METHODS)}"
        raise InvalidArgumentError(problem, parameter=name)
    return several


def text(name: str, value: str | None) -> str | None:
    """Text, or none."""
    if value is not None and not isinstance(value, str):
        raise TypeError(f"`{name}` must be a str or None, not {type(value).__name__}")
    return value


def flag(name: str, value: bool) -> bool:
    """Yes or no, and nothing that would be taken for one of them."""
    if not isinstance(value, bool):
        raise TypeError(f"`{name}` must be a bool, not {type(value).__name__}")
    return value


def count(name: str, value: int, *, least: int, most: int = 2**32 - 1) -> int:
    """A whole number in range."""
    if isinstance(value, bool) or not isinstance(value, int):
        raise TypeError(f"`{name}` must be an int, not {type(value).__name__}")
    if not least <= value <= most:
        limit = f"between {least} and {most}" if most < 2**32 - 1 else f"{least} or more"
        raise InvalidArgumentError(f"`{name}` must be {limit}, not {value}", parameter=name)
    return value


def share(name: str, value: float) -> float:
    """A number from 0 to 0.5."""
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise TypeError(f"`{name}` must be a number, not {type(value).__name__}")
    if not 0 <= value <= 0.5:
        raise InvalidArgumentError(f"`{name}` must be 0 to 0.5, not {value}", parameter=name)
    return float(value)


def _from(least: int) -> Callable[[str, Any], int]:
    return lambda name, value: count(name, value, least=least)


def _one_of(known: Iterable[str]) -> Callable[[str, Any], str]:
    def check(name: str, value: Any) -> str:
        if value not in known:
            choice = " or ".join(repr(one) for one in known)
            raise InvalidArgumentError(f"`{name}` must be {choice}, not {value!r}", parameter=name)
        return str(value)

    return check


CHECKS: dict[str, Callable[[str, Any], Any]] = {
    "keepalive_interval": seconds,
    "keepalive_count_max": _from(1),
    "host_keys": policy,
    "must_record_host_keys": flag,
    "connect_timeout": lambda name, value: seconds(name, value) or 10.0,
    "passphrase": text,
    "strict_key_modes": flag,
    "required_rsa_size": _from(1024),
    "hash_known_hosts": flag,
    "update_host_keys": flag,
    "revoked_host_keys": paths,
    "known_hosts_command": lambda name, value: None if value is None else texts(name, value),
    "methods": methods,
    "crypto": crypto,
    "pickle_secrets": flag,
    "max_connections": _from(1),
    "channels_per_connection": _from(1),
    "min_idle": _from(0),
    "acquire_timeout": seconds,
    "idle_timeout": seconds,
    "max_lifetime": seconds,
    "check_timeout": above_zero,
    "check_after_idle": _span,
    "max_connecting": _from(1),
    "max_waiters": lambda name, value: None if value is None else count(name, value, least=1),
    "fail_fast": flag,
    "order": _one_of(("lifo", "fifo")),
    "slow_acquire": seconds,
    "leak_after": seconds,
    "limit_recovery": above_zero,
    "reset_timeout": above_zero,
    "close_timeout": above_zero,
    "max_closing": _from(1),
    "max_maintaining": _from(1),
    "jitter": share,
    "backoff_base": above_zero,
    "backoff_max": above_zero,
    "breaker_delay": above_zero,
}
