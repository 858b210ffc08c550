"""Jump hosts and proxy commands."""

from __future__ import annotations

import asyncio
import os
import pickle
import shutil
import signal
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import hussh
from conftest import Server, eventually
from hussh import AsyncConnection, AsyncConnectionPool, Connection, ConnectionPool

RELAY = """
import select, socket, os, sys
peer = socket.create_connection((sys.argv[1], int(sys.argv[2])))
while True:
    for ready in select.select([0, peer], [], [])[0]:
        data = os.read(0, 65536) if ready == 0 else peer.recv(65536)
        if not data:
            sys.exit()
        peer.sendall(data) if ready == 0 else os.write(1, data)
"""


@pytest.fixture
def relay(tmp_path: Path) -> str:
    """A proxy command."""
    program = tmp_path / "relay.py"
    program.write_text(RELAY)
    return f"{sys.executable} {program} %h %p"


@pytest.fixture
def default_key(own_sshd: Server, home: Path) -> Iterator[Server]:
    """A server that the default key opens."""
    key = home / ".ssh" / "id_ed25519"
    shutil.copy(own_sshd.identity, key)
    key.chmod(0o600)
    yield own_sshd
    key.unlink()


def test_a_jump_host_is_a_session_of_our_own(sshd: Server, own_sshd: Server) -> None:
    with Connection(**own_sshd.key) as jump, Connection(**sshd.key, proxy_jump=jump) as conn:
        assert own_sshd.authentications() == 2
        assert conn.execute("echo there").stdout == "there\n"
        jump.close()
        assert conn.execute("echo still").stdout == "still\n"


def test_jump_hosts_are_named_in_every_form(sshd: Server, default_key: Server) -> None:
    host, port, user = default_key.host, default_key.port, default_key.username
    forms: list[Any] = [f"{user}@{host}:{port}", f"{user}@[{host}]:{port}"]
    if user == "root":
        forms += [(host, port), f"{host}:{port}", [f"{host}:{port}", (host, port)]]
    for form in forms:
        with Connection(**sshd.key, proxy_jump=form) as conn:
            assert conn.execute("echo there").stdout == "there\n"


def test_a_proxy_command_is_the_way(sshd: Server, relay: str) -> None:
    with Connection(**sshd.key, proxy_command=relay) as conn:
        assert conn.proxy_command == relay
        assert conn.execute("wc -c", stdin=b"x" * 5_000_000).stdout.strip() == "5000000"
        twin = pickle.loads(pickle.dumps(conn))
        assert twin.execute("echo twin").stdout == "twin\n"
        twin.close()


def test_a_pool_goes_through_a_jump_host(sshd: Server, own_sshd: Server) -> None:
    jump = Connection(**own_sshd.key)
    with ConnectionPool(**sshd.key, proxy_jump=jump, max_connections=2) as pool:
        results = pool.map([f"echo {number}" for number in range(20)], concurrency=4)
        assert [result.stdout for result in results] == [f"{number}\n" for number in range(20)]
    assert own_sshd.authentications() <= 3
    jump.close()


def test_tasks_go_the_same_ways(sshd: Server, own_sshd: Server, relay: str) -> None:
    async def main() -> None:
        jump = AsyncConnection(**own_sshd.key)
        async with AsyncConnection(**sshd.key, proxy_jump=jump) as conn:
            assert (await conn.execute("echo there")).stdout == "there\n"
        async with AsyncConnectionPool(**sshd.key, proxy_command=relay) as pool:
            assert (await pool.execute("echo there")).stdout == "there\n"

    asyncio.run(main())


def test_an_error_on_the_way_names_the_jump_host(sshd: Server, own_sshd: Server) -> None:
    wrong = AsyncConnection(**(own_sshd.key | {"private_key": None}), password="geheim")
    before = sshd.ask("truth")["connections"]
    with pytest.raises(hussh.AuthenticationError) as raised:
        Connection(**sshd.key, proxy_jump=wrong)
    assert raised.value.port == own_sshd.port
    assert "geheim" not in str(raised.value)
    assert "publickey" in raised.value.offered
    assert sshd.ask("truth")["connections"] == before


def test_a_proxy_command_that_fails_says_why_and_not_what_it_was(sshd: Server) -> None:
    with pytest.raises(hussh.ConnectFailedError) as raised:
        Connection(**sshd.key, proxy_command="sh -c 'echo no way >&2; exit 3' --token=geheim")
    assert "no way" in str(raised.value)
    assert "geheim" not in str(raised.value)
    assert raised.value.port == sshd.port


def test_a_session_is_over_when_its_proxy_command_is(sshd: Server, tmp_path: Path) -> None:
    program = tmp_path / "relay.py"
    program.write_text(RELAY)
    number = tmp_path / "number"
    command = f"sh -c 'echo $$ > {number}; exec {sys.executable} {program} %h %p'"
    conn = Connection(**sshd.key, proxy_command=command)
    os.kill(int(number.read_text()), signal.SIGKILL)
    eventually(lambda: not conn.is_alive())
    with pytest.raises(hussh.ConnectionLostError):
        conn.execute("true")
    conn.close()


def test_what_is_no_jump_host_is_refused(sshd: Server) -> None:
    with pytest.raises(TypeError, match="mutually exclusive"):
        Connection(**sshd.key, proxy_jump="jump", proxy_command="nc %h %p")
    wrong: list[Any] = ["jump:ssh", ("jump",), ("jump", "22"), 7, ["jump", 7], object()]
    for jump in wrong:
        with pytest.raises(TypeError, match="proxy_jump"):
            Connection(**sshd.key, proxy_jump=jump)
    with pytest.raises(TypeError, match="proxy_command"):
        Connection(**sshd.key, proxy_command=7)  # type: ignore[arg-type]
    for command in ("", "nc %x"):
        with pytest.raises(hussh.InvalidArgumentError, match="proxy_command"):
            Connection(**sshd.key, proxy_command=command)
    with pytest.raises(hussh.InvalidArgumentError, match="proxy_command"):
        Connection(host="a;b", proxy_command="nc %h %p")
