#!/usr/bin/env bash
# The newcomer's run: from a fresh checkout to a published partition of synthetic cases, on this machine alone.
set -euo pipefail
cd "$(dirname "$0")"

rows=2000
partition=yesterday
source=
flink=
usage() {
    cat <<'TEXT'
usage: ./run_local.sh [--rows N] [--partition YYYYMMDD|today|yesterday] [--source S] [--flink]
                      [more options of beam-pcc run]

Makes .venv from hash-locked requirements, trains a small starter model on synthetic vectors into local/models, scores
one partition and publishes it to local/pcc.duckdb. Run again, it takes seconds and replaces the partition.

  --rows N         rows of the synthetic sample (default: 2000)
  --partition DAY  the day to score (default: yesterday)
  --source S       your own cases instead of the sample: a path or glob of .parquet or .jsonl, {partition} allowed
  --flink          run on a real Flink on this machine, which is started if it is not up (needs JDK 17 and Maven)
  --help           this text

Needs Python 3.10 or later; PYTHON=/path/to/python3 picks one. Everything it makes is in .venv/ and local/.
TEXT
}
need_value() {
    [[ $# -ge 2 && -n $2 ]] || {
        echo "run_local.sh: $1 needs a value; see ./run_local.sh --help" >&2
        exit 2
    }
}

more=()
while [[ $# -gt 0 ]]; do
    case $1 in
    --rows=* | --partition=* | --source=*) set -- "${1%%=*}" "${1#*=}" "${@:2}" ;;
    esac
    case $1 in
    --help | -h) usage && exit 0 ;;
    --rows) need_value "$@" && rows=$2 && shift 2 ;;
    --partition) need_value "$@" && partition=$2 && shift 2 ;;
    --flink) flink=yes && shift ;;
    --source) need_value "$@" && source=$2 && shift 2 ;;
    *) more+=("$1") && shift ;;
    esac
done
[[ $rows =~ ^[1-9][0-9]{0,8}$ ]] || {
    echo "run_local.sh: --rows $rows is not a number of rows" >&2
    exit 2
}

requirements/venv.sh run
if ! compgen -G "local/models/v*" >/dev/null; then
    echo "training a starter model on synthetic vectors (it knows nothing of real cases)" >&2
    .venv/bin/beam-pcc sample --rows 4000 --labelled --output local/labelled.parquet
    .venv/bin/beam-pcc train --data local/labelled.parquet --models local/models
    echo
fi
if [[ -n $flink ]]; then
    flink/cluster.sh up >&2
    # shellcheck disable=SC1091 # cluster.sh wrote it
    . local/flink/cluster.env
    # shellcheck disable=SC2154 # from cluster.env
    more+=(--runner FlinkRunner --flink_master "localhost:$port" --environment_config "localhost:$worker_port")
fi
code=0
.venv/bin/beam-pcc run --partition "$partition" --source "${source:-sample://$rows}" \
    --models local/models --warehouse local/pcc.duckdb ${more[@]+"${more[@]}"} || code=$?
if [[ -n $flink ]]; then
    printf '\n  Flink       http://localhost:%s, until you end it: flink/cluster.sh down\n' "$port"
fi
exit $code
