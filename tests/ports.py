"""Ports for servers of the tests' own."""

import random
import socket

# Below those that systems hand out to connections (32768 and above on Linux, 49152 on others): what is free when it is
# looked at is then still free when the server that gets it has started.
_FIRST, _END = 20_000, 32_000


def free_ports(n: int) -> int:
    """The first of n consecutive free ports."""
    chance = random.SystemRandom()  # hypothesis seeds the other one, alike in each process
    for _ in range(100):
        first = chance.randrange(_FIRST, _END - n)
        if all(_is_free(port) for port in range(first, first + n)):
            return first
    raise RuntimeError("no free ports")


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
        return True
