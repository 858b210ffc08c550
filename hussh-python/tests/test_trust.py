"""Whom connections believe, and by what they log in."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

import hussh
from conftest import Server, eventually
from hussh import Connection, ConnectionPool


def recorded(server: Server, home: Path) -> list[str]:
    lines = (home / ".ssh" / "known_hosts").read_text().splitlines()
    return [line for line in lines if line.startswith(f"[{server.host}]:{server.port} ")]


def test_revoked_host_keys_are_refused(own_sshd: Server, home: Path, tmp_path: Path) -> None:
    revoked = tmp_path / "revoked"
    with pytest.raises(hussh.SSHError, match="revoked"):
        Connection(**own_sshd.key, revoked_host_keys=[revoked]).execute("true")
    revoked.write_text("# nobody\n")
    assert Connection(**own_sshd.key, revoked_host_keys=[revoked]).execute("true").status == 0
    key = recorded(own_sshd, home)[0].split(" ", 1)[1]
    revoked.write_text(f"{key}\n")
    with pytest.raises(hussh.HostKeyError, match="is revoked by"):
        Connection(**own_sshd.key, revoked_host_keys=[revoked])
    # A pool asks the file at each dial.
    pool = ConnectionPool(**own_sshd.key, revoked_host_keys=[str(revoked)])
    with pytest.raises(hussh.HostKeyError, match="is revoked by"):
        pool.execute("true")
    revoked.write_text("")

    def works() -> bool:
        # For a while behind a refusal the pool tells of that, and asks nobody.
        try:
            return pool.execute("true").status == 0
        except hussh.HostKeyError:
            return False

    eventually(works)


def test_a_command_says_whom_to_believe(own_sshd: Server, home: Path, tmp_path: Path) -> None:
    Connection(**own_sshd.key).execute("true")
    line = recorded(own_sshd, home)[0]
    own_sshd._forget_who_was_there()
    known = tmp_path / "known"
    known.write_text(line + "\n")
    strict: dict[str, Any] = {**own_sshd.key, "host_keys": "strict"}
    with pytest.raises(hussh.HostKeyError, match="unknown host key"):
        Connection(**strict)
    told = Connection(**strict, known_hosts_command=["/bin/cat", str(known)])
    assert told.execute("true").status == 0
    with pytest.raises(hussh.SSHError, match="KnownHostsCommand"):
        Connection(**strict, known_hosts_command=["/bin/false"])
    with pytest.raises(hussh.InvalidArgumentError, match="absolute path"):
        Connection(**strict, known_hosts_command=["cat", str(known)])


def test_names_are_recorded_as_hashes_where_that_is_wanted(own_sshd: Server, home: Path) -> None:
    known = home / ".ssh" / "known_hosts"
    before = known.read_text() if known.exists() else ""
    Connection(**own_sshd.key, hash_known_hosts=True).execute("true")
    new = known.read_text().removeprefix(before)
    assert new.startswith("|1|")
    assert own_sshd.host not in new
    assert Connection(**own_sshd.key, host_keys="strict").execute("true").status == 0
    known.write_text(before)


def test_only_the_methods_that_are_named_are_used(sshd: Server) -> None:
    with pytest.raises(hussh.AuthenticationError, match="not allowed here"):
        Connection(**sshd.key, methods=["password"])
    both = {**sshd.password, "private_key": sshd.identity}
    assert Connection(**both, methods=["password"]).execute("true").status == 0
    with pytest.raises(hussh.InvalidArgumentError, match="telepathy"):
        Connection(**sshd.key, methods=["telepathy"])


def test_keys_are_sent_by_their_types(sshd: Server) -> None:
    with pytest.raises(hussh.SSHError, match="pubkey_accepted_algorithms"):
        Connection(**sshd.key, crypto={"pubkey_accepted_algorithms": "rsa-sha2-*"})
    crypto = {"pubkey_accepted_algorithms": "ssh-ed25519", "rekey_limit": "1G 1h"}
    assert Connection(**sshd.key, crypto=crypto).execute("true").status == 0
    with pytest.raises(hussh.InvalidArgumentError, match="rekey_limit"):
        Connection(**sshd.key, crypto={"rekey_limit": "often"})
