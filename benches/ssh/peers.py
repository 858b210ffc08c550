"""Runs commands over other clients, for a program that asks on standard input.

A line "asyncssh fresh 10" is answered with the seconds that ten commands took, a connection each;
"held" instead of "fresh" uses one connection that was opened before.
"""

import asyncio
import sys
import time

HOST, PORT, USER, KEY, ROUND_TRIP = sys.argv[1:6]
PORT, ROUND_TRIP = int(PORT), float(ROUND_TRIP)
COMMAND = "true"


def asyncssh_runner():
    import asyncssh

    loop = asyncio.new_event_loop()
    options = dict(host=HOST, port=PORT, username=USER, client_keys=[KEY], known_hosts=None)
    held = None

    async def fresh(count):
        for _ in range(count):
            await asyncio.sleep(ROUND_TRIP)
            async with asyncssh.connect(**options) as connection:
                assert (await connection.run(COMMAND)).exit_status == 0

    async def again(count):
        nonlocal held
        for _ in range(count):
            assert (await held.run(COMMAND)).exit_status == 0

    def run(way, count):
        nonlocal held
        if way == "held" and held is None:
            held = loop.run_until_complete(asyncssh.connect(**options))
        start = time.perf_counter()
        loop.run_until_complete(fresh(count) if way == "fresh" else again(count))
        return time.perf_counter() - start

    return run


def hussh_runner():
    from hussh import Connection

    def connect():
        return Connection(HOST, port=PORT, username=USER, private_key=KEY)

    held = None

    def run(way, count):
        nonlocal held
        if way == "held" and held is None:
            held = connect()
        start = time.perf_counter()
        for _ in range(count):
            if way == "fresh":
                time.sleep(ROUND_TRIP)
            connection = connect() if way == "fresh" else held
            assert connection.execute(COMMAND).status == 0
            if way == "fresh":
                connection.close()
        return time.perf_counter() - start

    return run


RUNNERS = {"asyncssh": asyncssh_runner, "hussh 0.3.3": hussh_runner}


def main():
    runners = {}
    for line in sys.stdin:
        client, way, count = line.rstrip("\n").rsplit(" ", 2)
        if client not in runners:
            runners[client] = RUNNERS[client]()
        print(runners[client](way, int(count)), flush=True)


main()
