"""Each option is known to both halves, checked, and its default is that of the native half."""

from __future__ import annotations

import inspect
from typing import Any

import pytest

from hussh import (
    AsyncConnection,
    AsyncConnectionPool,
    Connection,
    ConnectionOptions,
    ConnectionPool,
    InvalidArgumentError,
    PoolOptions,
)

# What each may be, and what it may not.
SAMPLES: dict[str, tuple[Any, Any]] = {
    "keepalive_interval": (5, -1),
    "keepalive_count_max": (2, 0),
    "host_keys": ("strict", "nobody"),
    "must_record_host_keys": (True, "yes"),
    "connect_timeout": (2.5, -1),
    "passphrase": (None, 5),
    "strict_key_modes": (False, 0),
    "required_rsa_size": (2048, 512),
    "hash_known_hosts": (True, "yes"),
    "update_host_keys": (False, 1),
    "revoked_host_keys": (["/nowhere/revoked"], "/nowhere/revoked"),
    "known_hosts_command": (["/bin/echo", "%H"], "/bin/echo"),
    "methods": (["password", "publickey"], ["telepathy"]),
    "crypto": ({"policy": "modern", "ciphers": "+aes128-ctr"}, {"cipher": "x"}),
    "pickle_secrets": (True, 1),
    "max_connections": (3, 0),
    "channels_per_connection": (2, 0),
    "min_idle": (0, -1),
    "acquire_timeout": (None, -1),
    "idle_timeout": (0, float("inf")),
    "max_lifetime": (60, "long"),
    "check_timeout": (1, 0),
    "check_after_idle": (None, -1),
    "max_connecting": (1, 0),
    "max_waiters": (None, 0),
    "fail_fast": (False, None),
    "order": ("fifo", "random"),
    "slow_acquire": (1.5, -1),
    "leak_after": (60, -1),
    "limit_recovery": (1, 0),
    "reset_timeout": (0.5, 0),
    "close_timeout": (0.5, 0),
    "max_closing": (1, 0),
    "max_maintaining": (1, 0),
    "jitter": (0.25, 0.75),
    "backoff_base": (0.1, 0),
    "backoff_max": (1, 0),
    "breaker_delay": (2, 0),
}


@pytest.mark.parametrize("name", PoolOptions.__annotations__)
@pytest.mark.parametrize("kind", [ConnectionPool, AsyncConnectionPool])
def test_each_option_reaches_the_native_half_and_nonsense_does_not(kind: Any, name: str) -> None:
    good, bad = SAMPLES[name]
    # Nothing is opened before somebody borrows; the settings are told to the native half at once.
    kind("server.invalid", username="u", password="p", **{name: good})
    with pytest.raises((TypeError, ValueError), match=rf"`{name}|must be a pin|fingerprint"):
        kind("server.invalid", username="u", password="p", **{name: bad})


def test_what_a_pool_makes_no_sense_of_is_named_as_it_was_given() -> None:
    with pytest.raises(InvalidArgumentError, match="`min_idle` must be at most max_connections"):
        ConnectionPool("server.invalid", password="p", max_connections=1, min_idle=2)
    with pytest.raises(InvalidArgumentError, match="`backoff_max` must be at least backoff_base"):
        ConnectionPool("server.invalid", password="p", backoff_base=2, backoff_max=1)


@pytest.mark.parametrize("kind", [Connection, ConnectionPool, AsyncConnectionPool, AsyncConnection])
def test_an_unknown_keyword_is_refused_as_by_any_function(kind: Any) -> None:
    problem = rf"{kind.__name__}\.__init__\(\) got an unexpected keyword argument 'keep_alive'"
    with pytest.raises(TypeError, match=problem):
        kind("server.invalid", keep_alive=3)


def test_what_only_pools_have_is_refused_by_connections() -> None:
    only_pools = set(PoolOptions.__annotations__) - set(ConnectionOptions.__annotations__)
    for name in only_pools:
        with pytest.raises(TypeError, match=f"unexpected keyword argument '{name}'"):
            AsyncConnection("server.invalid", **{name: SAMPLES[name][0]})  # type: ignore[arg-type]


def test_what_runs_commands_is_called_in_the_same_way_whatever_it_is() -> None:
    parameters = list(inspect.signature(Connection.execute).parameters)
    for kind in (ConnectionPool, AsyncConnection, AsyncConnectionPool):
        assert list(inspect.signature(kind.execute).parameters) == parameters
