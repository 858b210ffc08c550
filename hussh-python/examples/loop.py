"""Many commands, one after another, on one session: a pool opens it once and keeps it."""

import argparse

from hussh import ConnectionPool

parser = argparse.ArgumentParser(description=__doc__)
parser.add_argument("host")
parser.add_argument("--port", type=int, default=22)
parser.add_argument("--username", default="root")
parser.add_argument("--private-key")
parser.add_argument("--count", type=int, default=100)
options = parser.parse_args()

with ConnectionPool(
    options.host, options.port, options.username, private_key=options.private_key
) as pool:
    total = 0.0
    for number in range(options.count):
        result = pool.execute(f"echo {number}", check=True)
        total += result.duration
    print(f"{options.count} commands, {total / options.count * 1000:.2f} ms each")
    print(f"sessions opened: {pool.stats().connects}")
