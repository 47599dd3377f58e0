"""The daily run in Airflow 3, in two forms; keep the one that fits, and copy the file into the folder of the DAGs.

Needs apache-airflow-providers-standard, and for pcc_daily_on_kubernetes apache-airflow-providers-cncf-kubernetes.
"""

from __future__ import annotations

import datetime as dt

from airflow.providers.cncf.kubernetes.operators.pod import KubernetesPodOperator
from airflow.providers.standard.operators.bash import BashOperator
from airflow.sdk import DAG

# The day before the schedule's: a task that is cleared and run again later scores the same day.
PARTITION = "{{ macros.ds_format(macros.ds_add(ds, -1), '%Y-%m-%d', '%Y%m%d') }}"
# Airflow tries again whatever the exit code. That is safe: a day that is published twice has its rows once, and one
# that was refused (3), or whose settings are wrong (2), ends in the same way again.
DAILY = {
    "schedule": "0 2 * * *",
    "start_date": dt.datetime(2026, 11, 1, tzinfo=dt.timezone.utc),
    "catchup": False,
    "max_active_runs": 1,
    "default_args": {
        "retries": 2,
        "retry_delay": dt.timedelta(minutes=10),
        "execution_timeout": dt.timedelta(hours=3),
    },
}

with DAG("pcc_daily", **DAILY) as daily:
    BashOperator(
        task_id="run",
        append_env=True,
        bash_command=(
            "/opt/beam-pcc/.venv/bin/beam-pcc run --config /etc/beam-pcc/run.toml --log_format json "
            f"--partition {PARTITION} --summary_file /var/lib/beam-pcc/{PARTITION}.json"
        ),
    )

with DAG("pcc_daily_on_kubernetes", **DAILY) as daily_on_kubernetes:
    KubernetesPodOperator(
        task_id="submit",
        name="pcc-launcher",
        namespace="pcc-system",
        image="ACCOUNT.dkr.ecr.REGION.amazonaws.com/beam-pcc@sha256:DIGEST",
        service_account_name="pcc-launcher",
        cmds=["beam-pcc", "submit"],
        # --attach: a retry follows the run of the task before instead of starting another.
        arguments=[f"--partition={PARTITION}", "--wait", "--attach", "--log_format=json"],
        security_context={"runAsNonRoot": True, "runAsUser": 9999, "seccompProfile": {"type": "RuntimeDefault"}},
        container_security_context={"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}},
        on_finish_action="delete_succeeded_pod",
    )
