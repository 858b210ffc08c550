from typing import Final, TypeAlias, TypedDict, final

from typing_extensions import Required

__all__ = [
    "File",
    "Mailbox",
    "Operation",
    "Pool",
    "Session",
    "__version__",
    "connect",
    "log_level",
    "log_take",
    "log_waiting",
    "not_recorded_take",
    "open_pool",
]

__version__: Final[str]

class _CommandSettings(TypedDict):
    command: bytes
    stdin: bytes | None
    env: list[tuple[str, str]]
    pty: tuple[str, int, int] | None
    timeout: float | None
    keep_output: bool
    max_output: int | None

class _FileSettings(TypedDict, total=False):
    verb: Required[str]
    path: bytes
    other: bytes
    local: str
    content: bytes
    offset: int
    length: int
    mode: int | None
    owner: tuple[int, int]
    times: tuple[float, float] | None
    flags: list[str]
    at_once: int | None
    timeout: float | None
    idle_timeout: float | None
    max_bytes: int | None

_News: TypeAlias = tuple[bool, bytes] | tuple[int, int]

@final
class File:
    def files(self, call: _FileSettings) -> Operation | None: ...

@final
class Mailbox:
    def __new__(cls, bell: bool) -> Mailbox: ...
    def fileno(self) -> int: ...
    def take(self) -> list[int]: ...
    def wait(self) -> list[int]: ...

@final
class Operation:
    def wait(self) -> _News | None: ...
    def news(self) -> _News | None: ...
    def notify(self, mailbox: Mailbox, token: int) -> None: ...
    def done(self) -> bool: ...
    def outcome(self) -> tuple[str, object]: ...
    def cancel(self) -> None: ...

@final
class Session:
    def execute(self, command: _CommandSettings, stream: bool) -> Operation | None: ...
    def files(self, call: _FileSettings) -> Operation | None: ...
    def is_alive(self) -> bool: ...
    def close(self) -> None: ...

@final
class Pool:
    def acquire(self) -> Operation: ...
    def execute(self, command: _CommandSettings, stream: bool) -> Operation: ...
    def files(self, call: _FileSettings) -> Operation: ...
    def close(self) -> Operation: ...
    def stats(self) -> dict[str, int]: ...

def connect(settings: dict[str, object]) -> Operation: ...
def open_pool(settings: dict[str, object]) -> tuple[str, object]: ...
def log_level(level: int) -> None: ...
def log_waiting() -> bool: ...
def not_recorded_take() -> list[tuple[str, str]]: ...
def log_take() -> list[tuple[int, str, str]]: ...
