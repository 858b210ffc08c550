"""Where secrets go, and where they never do."""

from __future__ import annotations

import asyncio
import pickle
from collections.abc import Iterator
from typing import Any

import pytest

import hussh
from conftest import Server
from hussh import AsyncConnection, AsyncConnectionPool, Connection, ConnectionPool


@pytest.fixture(scope="module")
def password_only() -> Iterator[Server]:
    """A server that offers nothing but `password`."""
    server = Server(
        "sshd", "PubkeyAuthentication no", "KbdInteractiveAuthentication no", "password-user"
    )
    yield server
    server.close()


def refused_passwords(server: Server) -> int:
    return int(server.ask("truth")["failed_authentications"])


async def _open(arguments: dict[str, Any]) -> None:
    async with AsyncConnection(**arguments) as connection:
        await connection.execute("true")


def test_a_passphrase_is_never_sent_as_a_password(password_only: Server, sshd: Server) -> None:
    secret = sshd.facts["passphrase"]
    base = {**password_only.password, "private_key": sshd.facts["encrypted_identity"]}
    del base["password"]
    before = refused_passwords(password_only)
    # As 0.3.3 has it; as it should be said; and a passphrase that is wrong.
    for more in ({"password": secret}, {"passphrase": secret}, {"password": "wrong"}):
        with pytest.raises((hussh.AuthenticationError, hussh.PassphraseError)) as caught:
            Connection(**base, **more)
        assert secret not in str(caught.value)
        with pytest.raises((hussh.AuthenticationError, hussh.PassphraseError)):
            asyncio.run(_open({**base, **more}))
    assert refused_passwords(password_only) == before


def test_a_key_has_a_passphrase_of_its_own_beside_a_password(
    password_only: Server, sshd: Server
) -> None:
    key = {"private_key": sshd.facts["encrypted_identity"], "passphrase": sshd.facts["passphrase"]}
    with Connection(**{**sshd.key, **key}) as connection:
        assert connection.execute("true").status == 0
    # Refused as a key, let in by the password.
    with Connection(**{**password_only.password, **key}) as connection:
        assert connection.execute("true").status == 0
    with pytest.raises(TypeError, match="passphrase"):
        Connection("localhost", passphrase="x")
    with pytest.raises(TypeError, match="passphrase"):
        Connection("localhost", private_key="k", passphrase=3)  # type: ignore[arg-type]


def test_a_password_for_a_key_that_is_not_encrypted_is_a_password(
    password_only: Server, sshd: Server
) -> None:
    with Connection(**password_only.password, private_key=sshd.identity) as connection:
        assert connection.execute("true").status == 0


def owners(server: Server, **more: Any) -> list[Any]:
    kinds = (Connection, ConnectionPool, AsyncConnection, AsyncConnectionPool)
    return [kind(**{**server.password, **more}) for kind in kinds]


def test_no_secret_is_pickled_unless_asked_for(sshd: Server) -> None:
    secret = sshd.facts["password"]
    for owner in owners(sshd):
        with pytest.raises(TypeError, match="pickle_secrets=True"):
            pickle.dumps(owner)
    for owner in owners(sshd, pickle_secrets=True):
        assert secret.encode() in pickle.dumps(owner)
        copy = pickle.loads(pickle.dumps(owner))
        assert repr(copy) == repr(owner)
    # A hop's secrets are secrets.
    through = Connection(**sshd.key, proxy_jump=owners(sshd)[0])
    with pytest.raises(TypeError, match="pickle_secrets=True"):
        pickle.dumps(through)
    # Nothing secret, nothing to ask for.
    assert pickle.loads(pickle.dumps(Connection(**sshd.key))).execute("true").status == 0
