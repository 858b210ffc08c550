"""What connections and pools are made with, checked once, and never shown with its secrets."""

from __future__ import annotations

import math
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from ._errors import InvalidArgumentError
from ._hops import places

if TYPE_CHECKING:
    from ._native import _PoolSettings, _Settings

StrPath = "str | os.PathLike[str]"

HostKeys = str | list[str] | tuple[str, ...]
"""The name of a policy, a pin, or several pins."""

POLICIES = ("accept-new", "strict", "danger-accept-any")
CRYPTO_LISTS = (
    "kex_algorithms",
    "host_key_algorithms",
    "ciphers",
    "macs",
    "ca_signature_algorithms",
)

Crypto = str | Mapping[str, str]
"""What may be agreed on with a server: "default", "modern" or "compatible", or a dict with one of
them as "policy" and lists as in `ssh_config` ("+aes128-cbc") by the names in `CRYPTO_LISTS`."""


@dataclass(frozen=True)
class Config:
    """How to reach a host and log in."""

    host: str
    port: int
    username: str
    password: str | None = field(repr=False)
    """Without a passphrase beside it, also what opens the private key."""
    private_key: str | None
    keepalive_interval: float | None
    keepalive_count_max: int
    host_keys: tuple[str, ...]
    """The name of a policy, or pins."""
    connect_timeout: float
    defaults_failed: str
    """What to say when the agent and the default keys did not serve."""
    hops: tuple[Config, ...] = ()
    """The hosts to go through, in order."""
    proxy_command: str | None = field(default=None, repr=False)
    passphrase: str | None = field(default=None, repr=False)
    strict_key_modes: bool = True
    required_rsa_size: int = 1024
    must_record_host_keys: bool = False
    pickle_secrets: bool = False
    crypto: tuple[tuple[str, str], ...] = ()
    """A policy and the lists that differ from it, by their names."""

    @property
    def has_secrets(self) -> bool:
        """Whether there is a password or a passphrase in it, be it a hop's."""
        own = self.password is not None or self.passphrase is not None
        return own or any(hop.has_secrets for hop in self.hops)

    @property
    def target(self) -> tuple[str, int, str]:
        return self.host, self.port, self.username

    def login_failed(self, host: object, port: object) -> str | None:
        """What to say before the error of a login that failed there."""
        uses_defaults = self.password is None and self.private_key is None
        here = (host, port) == (self.host, self.port)
        return self.defaults_failed if uses_defaults and here else None

    def settings(self) -> _Settings:
        """As the native half wants them."""
        key = self.private_key
        return {
            "host": self.host,
            "port": self.port,
            "username": self.username,
            "password": self.password,
            "private_key": None if key is None else os.path.expandvars(os.path.expanduser(key)),
            "passphrase": self.passphrase,
            "strict_key_modes": self.strict_key_modes,
            "required_rsa_size": self.required_rsa_size,
            "proxy_jump": [hop.settings() for hop in self.hops],
            "proxy_command": self.proxy_command,
            "host_keys": list(self.host_keys),
            "must_record_host_keys": self.must_record_host_keys,
            "connect_timeout": self.connect_timeout,
            "keepalive_interval": self.keepalive_interval,
            "keepalive_count_max": self.keepalive_count_max,
            "crypto": list(self.crypto),
        }


def checked(
    host: str,
    port: int | None,
    username: str | None,
    password: str | None,
    private_key: str | os.PathLike[str] | None,
    keepalive_interval: float | None,
    keepalive_count_max: int,
    host_keys: HostKeys,
    connect_timeout: float,
    defaults_failed: str,
    proxy_jump: object = None,
    proxy_command: str | None = None,
    *,
    passphrase: str | None = None,
    strict_key_modes: bool = True,
    required_rsa_size: int = 1024,
    must_record_host_keys: bool = False,
    pickle_secrets: bool = False,
    crypto: Crypto = "default",
) -> Config:
    """A configuration whose values are of the right types and in range."""
    if not isinstance(host, str):
        raise TypeError(f"`host` must be a str, not {type(host).__name__}")
    trusted = policy(host_keys)
    texts = (
        ("username", username),
        ("password", password),
        ("passphrase", passphrase),
        ("proxy_command", proxy_command),
    )
    for name, text in texts:
        if text is not None and not isinstance(text, str):
            raise TypeError(f"`{name}` must be a str or None, not {type(text).__name__}")
    if proxy_jump is not None and proxy_command is not None:
        raise TypeError("`proxy_jump` and `proxy_command` are mutually exclusive")
    if passphrase is not None and private_key is None:
        raise TypeError("`passphrase` is for a `private_key`, and there is none")
    limit = seconds("connect_timeout", connect_timeout) or 10.0
    strict = flag("strict_key_modes", strict_key_modes)
    rsa_size = count("required_rsa_size", required_rsa_size, least=1024)
    must_record = flag("must_record_host_keys", must_record_host_keys)
    return Config(
        host=host,
        port=22 if port is None else count("port", port, least=1, most=65535),
        username="root" if username is None else username,
        password=password,
        private_key=None if private_key is None else os.fspath(private_key),
        keepalive_interval=seconds("keepalive_interval", keepalive_interval),
        keepalive_count_max=count("keepalive_count_max", keepalive_count_max, least=1),
        host_keys=trusted,
        connect_timeout=limit,
        defaults_failed=defaults_failed,
        hops=hops(proxy_jump, trusted, limit, defaults_failed, strict, rsa_size, must_record),
        proxy_command=proxy_command,
        passphrase=passphrase,
        strict_key_modes=strict,
        required_rsa_size=rsa_size,
        must_record_host_keys=must_record,
        pickle_secrets=flag("pickle_secrets", pickle_secrets),
        crypto=_crypto(crypto),
    )


def _crypto(crypto: Crypto) -> tuple[tuple[str, str], ...]:
    """A policy, and lists by the names that they have in errors."""
    if isinstance(crypto, str):
        return (("policy", crypto),)
    if not isinstance(crypto, Mapping):
        raise TypeError(f"`crypto` must be a str or a dict, not {type(crypto).__name__}")
    names = ("policy", *CRYPTO_LISTS)
    for name, value in crypto.items():
        if name not in names:
            known = ", ".join(names)
            problem = f"`crypto` has {name!r}, which is none of {known}"
            raise InvalidArgumentError(problem, parameter="crypto")
        if not isinstance(value, str):
            raise TypeError(f"`crypto[{name!r}]` must be a str, not {type(value).__name__}")
    # The policy first, whatever the order: the lists change it.
    return tuple((name, crypto[name]) for name in names if name in crypto)


def hops(
    proxy_jump: object,
    host_keys: tuple[str, ...],
    connect_timeout: float,
    defaults_failed: str,
    strict_key_modes: bool,
    required_rsa_size: int,
    must_record_host_keys: bool,
) -> tuple[Config, ...]:
    """The configurations of the hosts on the way."""
    return tuple(
        place
        if isinstance(place, Config)
        else checked(
            **place,
            password=None,
            private_key=None,
            keepalive_interval=None,
            keepalive_count_max=3,
            # A pin is the target's.
            host_keys=host_keys if host_keys[0] in POLICIES else "accept-new",
            connect_timeout=connect_timeout,
            defaults_failed=defaults_failed,
            strict_key_modes=strict_key_modes,
            required_rsa_size=required_rsa_size,
            must_record_host_keys=must_record_host_keys,
        )
        for place in places(proxy_jump)
    )


@dataclass(frozen=True)
class PoolConfig:
    """How many connections a pool may have, and for how long."""

    max_connections: int
    min_idle: int
    acquire_timeout: float | None
    idle_timeout: float | None
    max_lifetime: float | None
    channels_per_connection: int

    def settings(self) -> _PoolSettings:
        """As the native half wants them."""
        return {
            "max_connections": self.max_connections,
            "min_idle": self.min_idle,
            "acquire_timeout": self.acquire_timeout,
            "idle_timeout": self.idle_timeout,
            "max_lifetime": self.max_lifetime,
            "channels_per_connection": self.channels_per_connection,
        }


def checked_pool(
    max_connections: int,
    min_idle: int,
    acquire_timeout: float | None,
    idle_timeout: float | None,
    max_lifetime: float | None,
    channels_per_connection: int,
) -> PoolConfig:
    """A pool's configuration whose values are of the right types and in range."""
    return PoolConfig(
        max_connections=count("max_connections", max_connections, least=1),
        min_idle=count("min_idle", min_idle, least=0),
        acquire_timeout=seconds("acquire_timeout", acquire_timeout),
        idle_timeout=seconds("idle_timeout", idle_timeout),
        max_lifetime=seconds("max_lifetime", max_lifetime),
        channels_per_connection=count("channels_per_connection", channels_per_connection, least=1),
    )


def seconds(name: str, value: float | None, per_second: float = 1) -> float | None:
    """A time span in seconds; `None` for 0 and `None`, which both mean that there is none."""
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise TypeError(f"`{name}` must be a number or None, not {type(value).__name__}")
    if not math.isfinite(value) or value < 0:
        raise InvalidArgumentError(f"`{name}` must be 0 or more, not {value}", parameter=name)
    # Far enough for everybody, and within what the native half can count.
    return min(value / per_second, 1e9) or None


def policy(host_keys: HostKeys) -> tuple[str, ...]:
    """The name of a policy, or pins, of which there is one at least."""
    several = (host_keys,) if isinstance(host_keys, str) else host_keys
    if not isinstance(several, (list, tuple)) or not all(isinstance(one, str) for one in several):
        raise TypeError(f"`host_keys` must be a str or a list of them, not {host_keys!r}")
    if not several or (len(several) > 1 and any(one in POLICIES for one in several)):
        raise InvalidArgumentError(
            "`host_keys` must be a policy or pins of one key at least", parameter="host_keys"
        )
    return tuple(several)


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
