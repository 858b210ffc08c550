from typing import Final, TypedDict, final

__all__ = [
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

class _Settings(TypedDict):
    host: str
    port: int
    username: str
    password: str | None
    private_key: str | None
    passphrase: str | None
    strict_key_modes: bool
    required_rsa_size: int
    proxy_jump: list[_Settings]
    proxy_command: str | None
    host_keys: list[str]
    must_record_host_keys: bool
    connect_timeout: float
    keepalive_interval: float | None
    keepalive_count_max: int
    crypto: list[tuple[str, str]]

class _PoolSettings(TypedDict):
    max_connections: int
    min_idle: int
    acquire_timeout: float | None
    idle_timeout: float | None
    max_lifetime: float | None
    channels_per_connection: int

class _CommandSettings(TypedDict):
    command: bytes
    stdin: bytes | None
    env: list[tuple[str, str]]
    pty: tuple[str, int, int] | None
    timeout: float | None
    keep_output: bool
    max_output: int | None

@final
class Mailbox:
    def __new__(cls, bell: bool) -> Mailbox: ...
    def fileno(self) -> int: ...
    def take(self) -> list[int]: ...
    def wait(self) -> list[int]: ...

@final
class Operation:
    def wait(self) -> tuple[bool, bytes] | None: ...
    def chunk(self) -> tuple[bool, bytes] | None: ...
    def notify(self, mailbox: Mailbox, token: int) -> None: ...
    def done(self) -> bool: ...
    def outcome(self) -> tuple[str, object]: ...
    def cancel(self) -> None: ...

@final
class Session:
    def execute(self, command: _CommandSettings, stream: bool) -> Operation | None: ...
    def is_alive(self) -> bool: ...
    def close(self) -> None: ...

@final
class Pool:
    def acquire(self) -> Operation: ...
    def execute(self, command: _CommandSettings, stream: bool) -> Operation: ...
    def close(self) -> Operation: ...
    def stats(self) -> dict[str, int]: ...

def connect(settings: _Settings) -> Operation: ...
def open_pool(settings: _Settings, pool: _PoolSettings) -> tuple[str, object]: ...
def log_level(level: int) -> None: ...
def log_waiting() -> bool: ...
def not_recorded_take() -> list[tuple[str, str]]: ...
def log_take() -> list[tuple[int, str, str]]: ...
