"""Many asyncio tasks share one pool. A task that is cancelled ends its command."""

import argparse
import asyncio

from hussh import AsyncConnectionPool, SSHError

parser = argparse.ArgumentParser(description=__doc__)
parser.add_argument("host")
parser.add_argument("--port", type=int, default=22)
parser.add_argument("--username", default="root")
parser.add_argument("--private-key")
options = parser.parse_args()


async def main() -> None:
    async with AsyncConnectionPool(
        options.host,
        options.port,
        options.username,
        private_key=options.private_key,
        max_connections=4,
    ) as pool:
        results = await asyncio.gather(*(pool.execute(f"echo {n}") for n in range(20)))
        print([int(result.stdout) for result in results])

        def show(stream: str, data: bytes) -> None:
            print(f"{stream}: {data!r}")

        async with pool.connection() as conn:
            await conn.execute("for n in 1 2 3; do echo $n; sleep 0.1; done", on_output=show)

        try:
            await asyncio.wait_for(pool.execute("sleep 60"), 0.5)
        except (asyncio.TimeoutError, TimeoutError):
            print("given up, and ended on the server")

        try:
            await pool.execute("exit 3", check=True)
        except SSHError as error:
            print(error)


asyncio.run(main())
