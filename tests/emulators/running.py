"""Starts BigQuery and Cloud Storage on this machine, on free ports, with credentials that open nothing else."""

from __future__ import annotations

import importlib.util
import json
import os
import signal
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from tests.http_servers import Handler, serving
from tests.ports import free_ports

HERE = Path(__file__).parent
PROJECT = "pcc-test"
BUCKET = "pcc-test-bucket"
_START_SECONDS = 90.0


@dataclass(frozen=True)
class Emulators:
    """Where they listen. `environment` points Google's clients there, in this process or in another."""

    rest: str
    grpc: str
    storage: str
    credentials: Path

    @property
    def environment(self) -> dict[str, str]:
        path = os.pathsep.join([str(HERE / "hooks"), *filter(None, [os.environ.get("PYTHONPATH")])])
        return {
            "BIGQUERY_EMULATOR_HOST": self.rest,
            "BIGQUERY_STORAGE_EMULATOR": self.grpc,
            "STORAGE_EMULATOR_HOST": self.storage,
            "GOOGLE_APPLICATION_CREDENTIALS": str(self.credentials),
            "GOOGLE_CLOUD_PROJECT": PROJECT,
            "PYTHONPATH": path,
        }

    @contextmanager
    def here(self) -> Iterator[None]:
        """Google's clients of this process, and of those it starts, talk to the emulators."""
        before = dict(os.environ)
        os.environ.update(self.environment)
        spec = importlib.util.spec_from_file_location("emulator_hooks", HERE / "hooks" / "sitecustomize.py")
        assert spec
        assert spec.loader
        spec.loader.exec_module(importlib.util.module_from_spec(spec))
        try:
            yield
        finally:
            os.environ.clear()
            os.environ.update(before)


@contextmanager
def running(python: Path, folder: Path, *, stream_rows: int = 500, host: str = "127.0.0.1") -> Iterator[Emulators]:
    """Both emulators, with data and logs in `folder`, until the context ends; `host` for a network of the tests."""
    rest = free_ports(3)
    grpc, storage = rest + 1, rest + 2
    with ExitStack() as stack:
        token = stack.enter_context(_token_server(host))
        emulators = Emulators(
            f"http://{host}:{rest}",
            f"{host}:{grpc}",
            f"http://{host}:{storage}",
            _credentials(folder / "credentials.json", token),
        )
        environment = {
            "HOME": str(folder),
            "PATH": os.environ["PATH"],
            "STORAGE_EMULATOR_HOST": emulators.storage,
        }
        commands = {
            "bigquery": [
                HERE / "serve_bigquery.py",
                host,
                rest,
                grpc,
                folder / "bigquery",
                PROJECT,
                stream_rows,
            ],
            "storage": [
                *("-m", "gcp_storage_emulator", "--data-dir", folder / "storage", "start", "--host", host),
                *("--port", storage, "--default-bucket", BUCKET),
            ],
        }
        addresses = {"bigquery": f"{emulators.rest}/bigquery/v2/projects/{PROJECT}/datasets"}
        addresses["storage"] = f"{emulators.storage}/storage/v1/b/{BUCKET}"
        started = {
            name: stack.enter_context(_process([str(part) for part in (python, *command)], environment, folder / name))
            for name, command in commands.items()
        }
        for name, process in started.items():
            _wait(addresses[name], process, folder / f"{name}.log")
        yield emulators


@contextmanager
def _process(command: list[str], environment: dict[str, str], data: Path) -> Iterator[subprocess.Popen[bytes]]:
    data.mkdir(parents=True, exist_ok=True)
    with data.with_suffix(".log").open("wb") as log:
        process = subprocess.Popen(command, env=environment, stdout=log, stderr=log, cwd=data)
    try:
        yield process
    finally:
        process.terminate()
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _wait(address: str, process: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + _START_SECONDS
    while True:
        try:
            with urllib.request.urlopen(address, timeout=5):
                return
        except OSError as error:
            if process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(f"{address} does not answer ({error}):\n{log.read_text()[-2000:]}") from None
            time.sleep(0.1)


class _Token(Handler):
    def serve(self, method: str) -> None:
        self.send(200, {"access_token": "of-the-tests", "expires_in": 3600, "token_type": "Bearer"})


@contextmanager
def _token_server(host: str) -> Iterator[str]:
    with serving(_Token, host=host) as address:
        yield f"{address}/token"


def _credentials(path: Path, token_uri: str) -> Path:
    """A service account's file with a key made just now."""
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048).private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(
        json.dumps(
            {
                "type": "service_account",
                "project_id": PROJECT,
                "private_key_id": "tests",
                "private_key": key.decode(),
                "client_email": f"tests@{PROJECT}.iam.gserviceaccount.com",
                "token_uri": token_uri,
            }
        )
    )
    return path


if (
    __name__ == "__main__"
):  # by hand: python -m tests.emulators.running EMULATORS_PYTHON FOLDER, then paste what it prints into a shell
    signal.signal(signal.SIGTERM, lambda *_: sys.exit())  # as Ctrl-C: the emulators end too
    with running(Path(sys.argv[1]).absolute(), Path(sys.argv[2]).absolute()) as emulators:
        for name, value in emulators.environment.items():
            print(f"export {name}={value}", flush=True)
        threading.Event().wait()
