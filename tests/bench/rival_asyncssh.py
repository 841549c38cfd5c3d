"""The usual way to watch a server over SSH, for comparison: each poll connects, runs five
commands and reads their output. Called by tests/benches/poll.rs; prints one line of JSON.

    rival_asyncssh.py HOST PORT USER PASSWORD POLLS
"""

import asyncio
import json
import sys
import time

import asyncssh

COMMANDS = [
    "top -bn1 | grep Cpu",
    "free",
    "df -h /",
    "cat /proc/loadavg",
    "ps aux | wc -l",
]


async def poll(host: str, port: int, user: str, password: str) -> None:
    async with asyncssh.connect(
        host, port=port, username=user, password=password, known_hosts=None, client_keys=None, config=None
    ) as connection:
        for command in COMMANDS:
            result = await connection.run(command, check=True)
            assert result.stdout.strip(), command


async def main() -> None:
    host, port, user, password, polls = sys.argv[1], int(sys.argv[2]), sys.argv[3], sys.argv[4], int(sys.argv[5])
    await poll(host, port, user, password)
    walls = []
    cpu = time.process_time()
    for _ in range(polls):
        started = time.perf_counter()
        await poll(host, port, user, password)
        walls.append(time.perf_counter() - started)
    cpu = time.process_time() - cpu
    walls.sort()
    print(json.dumps({"cpu_us": cpu / polls * 1e6, "wall_ms": walls[len(walls) // 2] * 1e3}))


asyncio.run(main())
