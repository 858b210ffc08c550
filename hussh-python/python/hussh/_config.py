"""What connections and pools are made with, checked once, and never shown with its secrets."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from ._hops import places
from ._options import POLICIES, ConnectionOptions, SessionOptions, checked, count, text

OF_THE_WAY = (
    "connect_timeout",
    "hash_known_hosts",
    "must_record_host_keys",
    "required_rsa_size",
    "revoked_host_keys",
    "strict_key_modes",
)
"""The options of a connection that hosts on the way have, too, where they are no connections."""


@dataclass(frozen=True)
class Config:
    """How to reach a host and log in, and for a pool how many connections it may have."""

    host: str
    port: int
    username: str
    password: str | None = field(repr=False)
    """Without a passphrase beside it, also what opens the private key."""
    private_key: str | None
    passphrase: str | None = field(repr=False)
    proxy_command: str | None = field(repr=False)
    hops: tuple[Config, ...]
    """The hosts to go through, in order."""
    defaults_failed: str
    """What to say when the agent and the default keys did not serve."""
    pickle_secrets: bool
    options: Mapping[str, Any]
    """What else was said, as the native half wants it."""

    @classmethod
    def of(
        cls,
        kind: type[SessionOptions],
        whose: str,
        *,
        host: str,
        port: int | None,
        username: str | None,
        password: str | None,
        private_key: str | os.PathLike[str] | None,
        proxy_jump: object,
        proxy_command: str | None,
        defaults_failed: str,
        options: Mapping[str, Any],
    ) -> Config:
        """A configuration whose values are of the right types and in range."""
        if not isinstance(host, str):
            raise TypeError(f"`host` must be a str, not {type(host).__name__}")
        rest = checked(kind, whose, options)
        passphrase = rest.pop("passphrase", None)
        if proxy_jump is not None and proxy_command is not None:
            raise TypeError("`proxy_jump` and `proxy_command` are mutually exclusive")
        if passphrase is not None and private_key is None:
            raise TypeError("`passphrase` is for a `private_key`, and there is none")
        return cls(
            host=host,
            port=22 if port is None else count("port", port, least=1, most=65535),
            username="root" if username is None else str(text("username", username)),
            password=text("password", password),
            private_key=None if private_key is None else os.fspath(private_key),
            passphrase=passphrase,
            proxy_command=text("proxy_command", proxy_command),
            hops=_hops(proxy_jump, rest, defaults_failed),
            defaults_failed=defaults_failed,
            pickle_secrets=rest.pop("pickle_secrets", False),
            options=rest,
        )

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

    def settings(self) -> dict[str, object]:
        """As the native half wants them."""
        key = self.private_key
        return {
            "host": self.host,
            "port": self.port,
            "username": self.username,
            "password": self.password,
            "private_key": None if key is None else os.path.expandvars(os.path.expanduser(key)),
            "passphrase": self.passphrase,
            "proxy_jump": [hop.settings() for hop in self.hops],
            "proxy_command": self.proxy_command,
            **self.options,
        }


def _hops(
    proxy_jump: object, options: Mapping[str, Any], defaults_failed: str
) -> tuple[Config, ...]:
    """The configurations of the hosts on the way."""
    own = {name: options[name] for name in OF_THE_WAY if name in options}
    host_keys = options.get("host_keys", ())
    # A pin is the target's.
    if host_keys and host_keys[0] in POLICIES:
        own["host_keys"] = host_keys
    return tuple(
        place
        if isinstance(place, Config)
        else Config.of(
            ConnectionOptions,
            "proxy_jump",
            **place,
            password=None,
            private_key=None,
            proxy_jump=None,
            proxy_command=None,
            defaults_failed=defaults_failed,
            options=own,
        )
        for place in places(proxy_jump)
    )
