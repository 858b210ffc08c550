"""Many threads share one pool; `pool.map` does the same without threads of your own."""

import argparse
from concurrent.futures import ThreadPoolExecutor

from hussh import ConnectionPool, SSHResult

parser = argparse.ArgumentParser(description=__doc__)
parser.add_argument("host")
parser.add_argument("--port", type=int, default=22)
parser.add_argument("--username", default="root")
parser.add_argument("--private-key")
options = parser.parse_args()

with ConnectionPool(
    options.host,
    options.port,
    options.username,
    private_key=options.private_key,
    max_connections=4,
) as pool:

    def work(number: int) -> SSHResult:
        with pool.connection() as conn:
            conn.execute("cd /tmp")
            return conn.execute(f"echo {number} && uname", timeout=10, check=True)

    with ThreadPoolExecutor(8) as threads:
        for result in threads.map(work, range(20)):
            print(result.stdout.split())

    results = pool.map([f"echo {number}" for number in range(100)], concurrency=4, progress=True)
    print(sum(int(result.stdout) for result in results))
    print(pool.stats())
