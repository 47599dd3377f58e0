"""Hosts in network namespaces: each pod has its own address, as on Kubernetes, and nothing leaves this machine.

A namespace in the middle holds a bridge. The test itself enters it (`inside`) to start emulators and to look at tables.
"""

from __future__ import annotations

import ctypes
import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from uuid import uuid4

_CLONE_NEWNET = 0x40000000  # linux/sched.h
_FOLDER = Path("/run/netns")


class Network:
    """A private network of at most 250 hosts; the test is host 1.

    Attributes:
        address: Of the test, inside.
    """

    address = "10.231.0.1"

    def __init__(self) -> None:
        self._id = f"pcc{uuid4().hex[:6]}"
        self._hosts = 1
        self._namespaces: list[str] = []
        self._middle = self._namespace("middle")
        self._ip("-n", self._middle, "link", "add", "bridge", "type", "bridge")
        self._ip("-n", self._middle, "addr", "add", f"{self.address}/24", "dev", "bridge")
        self._ip("-n", self._middle, "link", "set", "bridge", "up")

    def host(self) -> Host:
        """Another host."""
        self._hosts += 1
        name, port = self._namespace(str(self._hosts)), f"port{self._hosts}"
        address = f"{self.address.rpartition('.')[0]}.{self._hosts}"
        self._ip("-n", self._middle, "link", "add", port, "type", "veth", "peer", "name", "eth0", "netns", name)
        self._ip("-n", self._middle, "link", "set", port, "master", "bridge", "up")
        self._ip("-n", name, "addr", "add", f"{address}/24", "dev", "eth0")
        self._ip("-n", name, "link", "set", "eth0", "up")
        return Host(_FOLDER / name, address)

    @contextmanager
    def inside(self) -> Iterator[None]:
        """What this thread opens meanwhile, and the processes that it starts, are in the network and nowhere else."""
        with _namespace_of("/proc/thread-self/ns/net") as before, _namespace_of(_FOLDER / self._middle) as middle:
            _enter(middle)
            try:
                yield
            finally:
                _enter(before)

    def close(self) -> None:
        """Remove it; what still runs inside loses its network."""
        for name in reversed(self._namespaces):
            subprocess.run(["ip", "netns", "delete", name], check=False)

    def _namespace(self, name: str) -> str:
        full = f"{self._id}-{name}"
        self._ip("netns", "add", full)
        self._namespaces.append(full)
        self._ip("-n", full, "link", "set", "lo", "up")
        return full

    @staticmethod
    def _ip(*arguments: str) -> None:
        subprocess.run(["ip", *arguments], check=True)


class Host:
    """One host: its network namespace as a file, and its address."""

    def __init__(self, namespace: Path, address: str) -> None:
        self.namespace = namespace
        self.address = address

    def listening(self) -> set[tuple[str, int]]:
        """Address and port of all that listens there."""
        command = ["nsenter", f"--net={self.namespace}", "ss", "--listening", "--tcp", "--numeric", "--no-header"]
        lines = subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines()
        found = (line.split()[3].rpartition(":") for line in lines)
        return {(address.strip("[]").removeprefix("::ffff:"), int(port)) for address, _, port in found}


@contextmanager
def _namespace_of(path: str | Path) -> Iterator[int]:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def _enter(namespace: int) -> None:
    if ctypes.CDLL(None, use_errno=True).setns(namespace, _CLONE_NEWNET) != 0:
        raise OSError(ctypes.get_errno(), "setns")
