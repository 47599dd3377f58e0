"""Runs the containers of the rendered FlinkDeployment: a day is published, whichever process dies."""

from __future__ import annotations

import copy
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.containers.conftest import ROWS, Day
from tests.containers.operator import Deployment
from tests.containers.pods import wait_until

# One worker of pytest-xdist runs all of them: image, network and emulators are created once.
pytestmark = [pytest.mark.end_to_end, pytest.mark.xdist_group("containers")]
WORKERS, FLINK = "python-workers", "flink-main-container"


def assert_published(day: Day, run_id: str) -> None:
    (row,) = day.monitoring()
    assert (row["run_id"], row["status"], row["total_cases"]) == (run_id, "success", ROWS)
    published = day.published()
    assert len(published) == row["passed_validation"] > 0.9 * ROWS
    assert len({case[0] for case in published}) == len(published)


def workers_of(resource: dict[str, Any]) -> dict[str, Any]:
    """The sidecar's container in a FlinkDeployment, to be changed."""
    found: dict[str, Any] = next(
        c for c in resource["spec"]["taskManager"]["podTemplate"]["spec"]["containers"] if c["name"] == WORKERS
    )
    return found


def python_workers(run: Deployment) -> list[str]:
    """Processes of Beam's Python workers in the sidecars, by their numbers in there."""
    script = "import os, pathlib; print(*[p.parent.name for p in pathlib.Path('/proc').glob('[0-9]*/cmdline') "
    script += "if b'sdk_worker_main' in p.read_bytes() and p.parent.name != str(os.getpid())])"
    return [
        pid for pod in run.task_managers for pid in pod.execute(WORKERS, "python", "-c", script, check=False).split()
    ]


def test_day_is_published(day: Day) -> None:
    planned = day.plan()
    with day.deployed(planned.resource) as run:
        run.start()
        run.wait_for("FINISHED")
        assert run.ended == []  # no container had to be started again
    assert_published(day, planned.submission.run_id)


def test_nothing_is_written_outside_the_volumes(day: Day) -> None:
    planned = day.plan("dev")
    with day.deployed(planned.resource) as run:
        run.start()
        run.wait_for("FINISHED")
        for pod in run.pods:
            for container in pod.containers:
                log = pod.logs(container)
                assert "Read-only file system" not in log, f"{pod.name} {container}"
                assert pod.execute(container, "sh", "-c", "touch /opt/x /x 2>&1; true").count("Read-only") == 2


def test_worker_pool_is_reachable_from_its_pod_only(day: Day) -> None:
    planned = day.plan("dev")
    with day.deployed(planned.resource) as run:
        run.start()
        wait_until(lambda: python_workers(run), 180, "a Python worker", run.pods)  # by then all servers for them are up
        (task_manager,) = run.task_managers
        listening = {at for at in task_manager.host.listening() if at[1] == 50000}
        others = {at for at in task_manager.host.listening() if at[0] != "127.0.0.1"}
        declared = declared_ports(planned.resource)
    assert listening == {("127.0.0.1", 50000)}
    assert {port for _, port in others} <= declared


def declared_ports(resource: dict[str, Any]) -> set[int]:
    """The ports of TaskManagers that the manifests fix, so that NetworkPolicies can name them."""
    settings = resource["spec"]["flinkConfiguration"]
    return {int(value) for name, value in settings.items() if name.endswith(".port")}


@contextmanager
def at_work(day: Day) -> Iterator[Deployment]:
    """A run whose Python workers work. Whatever is done to it then, the day is published once."""
    planned = day.plan("dev")
    with day.deployed(planned.resource) as run:
        run.start()
        wait_until(lambda: python_workers(run), 180, "a Python worker", run.pods)
        yield run
    assert_published(day, planned.submission.run_id)


def test_killed_worker_is_replaced(day: Day) -> None:
    with at_work(day) as run:
        worker = python_workers(run)[0]
        run.task_managers[0].execute(WORKERS, "python", "-c", f"import os; os.kill({worker}, 9)")
        run.wait_for("FINISHED")


def test_killed_task_manager_is_replaced(day: Day) -> None:
    with at_work(day) as run:
        run.task_managers[0].kill(FLINK)
        killed = wait_until(lambda: [ended for ended in run.ended if ended.container == FLINK], 60, "its end", run.pods)
        run.wait_for("FINISHED")
        assert killed[0].code == 137


def test_killed_job_manager_runs_the_job_again(day: Day) -> None:
    with at_work(day) as run:
        run.job_manager.kill(FLINK)
        wait_until(lambda: run.job() == "FINISHED" and run.ended, 240, "the second job", run.pods)


@pytest.mark.parametrize("fault", ["boot cannot write", "boot is killed", "out of memory"])
def test_workers_that_cannot_start_fail_the_job(day: Day, tmp_path: Path, fault: str) -> None:
    planned = day.plan("dev")
    resource = copy.deepcopy(planned.resource)
    # One more try, and a shorter wait for the pool: Flink would go on for some minutes.
    resource["spec"]["flinkConfiguration"] |= {
        "restart-strategy.exponential-delay.attempts-before-reset-backoff": "1",
        "env.java.opts.taskmanager": "-Dbeampcc.pool.seconds=20",
    }
    workers = workers_of(resource)
    if fault == "boot cannot write":
        del workers["workingDir"]  # as it was shipped once
    elif fault == "boot is killed":
        workers["command"] = [*workers["command"][:-1], "--boot=/emulators/killed"]
        program = tmp_path / "killed"
        program.write_text("#!/bin/sh\nkill -9 $$\n")
        program.chmod(0o755)
        day.mounts[program] = "/emulators/killed"
    else:
        workers["resources"]["limits"]["memory"] = "250Mi"  # a pool, but no worker
    with day.deployed(resource) as run:
        run.start()
        started = time.monotonic()
        first = wait_until(lambda: run.ended, 120, "the end of the container", run.pods)[0]
        assert time.monotonic() - started < 120
        wait_until(lambda: run.job() == "FAILED", 300, "the end of the job", run.pods)
        reasons = [ended for ended in run.ended if ended.container == WORKERS]
        failure = run.failure()
    assert first.container == WORKERS
    assert first.code != 0 or first.out_of_memory
    if fault != "out of memory":  # such a worker may die after its first words: then it is its data that Flink misses
        assert "pool of Python workers" in failure
    words = {
        "boot cannot write": "/opt/flink cannot be written",
        "boot is killed": "was ended by SIGKILL",
        "out of memory": "out of memory",
    }
    assert any(words[fault] in reason.log or (fault == "out of memory" and reason.out_of_memory) for reason in reasons)
    assert day.published() == []


def test_job_waits_for_late_workers(day: Day, tmp_path: Path) -> None:
    """The first container dies of memory; the next one has enough."""
    planned = day.plan("dev")
    resource = copy.deepcopy(planned.resource)
    workers = workers_of(resource)
    workers["command"] = [*workers["command"][:-1], "--boot=/emulators/once"]
    program = tmp_path / "once"
    program.write_text('#!/bin/sh\n[ -e /tmp/died ] && exec /opt/apache/beam/boot "$@"\ntouch /tmp/died\nexit 1\n')
    program.chmod(0o755)
    day.mounts[program] = "/emulators/once"
    with day.deployed(resource) as run:
        run.start()
        run.wait_for("FINISHED")
        assert [(ended.container, ended.code) for ended in run.ended] == [(WORKERS, 1)]
    assert_published(day, planned.submission.run_id)


def test_worker_pod_stops_within_seconds(day: Day) -> None:
    planned = day.plan("dev")
    with day.deployed(planned.resource) as run:
        run.start()
        wait_until(lambda: python_workers(run), 180, "a Python worker", run.pods)
        (task_manager,) = run.task_managers
        asked = time.monotonic()
        task_manager.kill(WORKERS, "TERM")
        ended = wait_until(lambda: [e for e in run.ended if e.container == WORKERS], 30, "the end of the pool")[0]
        took = time.monotonic() - asked
    assert ended.code == 0
    assert "stopping: SIGTERM" in ended.log
    assert took < 15  # two seconds by design, and whatever podman takes to see it on a busy machine
