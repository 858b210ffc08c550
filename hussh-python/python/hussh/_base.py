"""What connections and pools, for threads and for tasks, have in common."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ._errors import ConnectionClosedError
from ._process import PerProcess

if TYPE_CHECKING:
    from . import _native
    from ._config import Config


class Reached:
    """Whatever talks to one host as one user."""

    _config: Config

    @property
    def host(self) -> str:
        """The host's name or address."""
        return self._config.host

    @property
    def port(self) -> int:
        """The TCP port."""
        return self._config.port

    @property
    def username(self) -> str:
        """The user to log in as."""
        return self._config.username

    def __repr__(self) -> str:
        return f"{type(self).__name__}(host={self.host}, port={self.port}, {self._more()})"

    def _more(self) -> str:
        return f"username={self.username}, password=*****"


class Own(Reached):
    """What opens sessions of its own. Pickled, it is its configuration."""

    _native: PerProcess[Any]
    _unopened: str | None = None
    """What is false of an unpickled one."""

    def __getstate__(self) -> dict[str, Any]:
        if self._config.has_secrets and not self._config.pickle_secrets:
            raise TypeError(
                f"a {type(self).__name__} with a password or passphrase is not pickled, since its "
                "secret would be readable wherever the pickle goes; log in with a key file or the "
                "agent, or say pickle_secrets=True"
            )
        state = self.__dict__.copy()
        del state["_native"]
        if self._unopened is not None:
            state[self._unopened] = False
        return state

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self._native = PerProcess()


class Lent(Reached):
    """A session on loan."""

    def __init__(self, session: _native.Session, config: Config) -> None:
        self._session = session
        self._config = config

    def is_alive(self) -> bool:
        """Whether nothing is known that makes the connection unusable. Never waits."""
        return self._session.is_alive()

    def _begin(self, settings: _native._CommandSettings, stream: bool) -> _native.Operation:
        return begin(self._session, self._config, settings, stream)

    def _begin_files(self, told: _native._FileSettings) -> _native.Operation:
        return begun(self._session.files(told), self._config)

    def __reduce__(self) -> tuple[Any, ...]:
        raise TypeError("a connection on loan cannot be pickled; pickle its pool")

    def _more(self) -> str:
        return f"username={self.username}"


def begin(
    session: _native.Session, config: Config, settings: _native._CommandSettings, stream: bool
) -> _native.Operation:
    """Starts a command on a session."""
    return begun(session.execute(settings, stream), config)


def begun(operation: _native.Operation | None, config: Config) -> _native.Operation:
    """What was started on a session, if that is there still."""
    if operation is None:
        raise closed(config, "the connection is closed")
    return operation


def closed(config: Config, why: str) -> ConnectionClosedError:
    """The error for using what was closed or given back."""
    host, port, username = config.target
    return ConnectionClosedError(
        f"{username}@{host}: {why}", host=host, port=port, username=username
    )
