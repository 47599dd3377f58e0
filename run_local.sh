#!/usr/bin/env bash
# A first run from a fresh checkout: publishes a partition of synthetic cases, on this machine only.
set -euo pipefail
cd "$(dirname "$0")"

rows=
partition=yesterday
source=
flink=
text=
multilingual=
usage() {
    cat <<'TEXT'
usage: ./run_local.sh [--text [--multilingual]] [--rows N] [--partition YYYYMMDD|today|yesterday] [--source S] [--flink]
                      [more options of beam-pcc run]

Makes .venv from hash-locked requirements, trains a small starter model on synthetic vectors into local/models, scores
one partition and publishes it to local/pcc.duckdb. Run again, it takes seconds and replaces the partition. How it went
is in local/report.html too.

  --text           score messages instead of vectors: trains a starter model on the messages in data/messages into
                   local/text-models, and scores those in data/evaluation, which it has not seen (about three minutes
                   the first time; a --source of yours must have a column text)
  --multilingual   with --text: another encoder, which knows many languages, into local/multilingual-models (its weights
                   are multilingual-e5-small in 4 bits, good for a first look; about ten minutes the first time)
  --rows N         rows of the sample (default: 2000, or each message once)
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
    --text) text=yes && shift ;;
    --multilingual) multilingual=yes && shift ;;
    --rows) need_value "$@" && rows=$2 && shift 2 ;;
    --partition) need_value "$@" && partition=$2 && shift 2 ;;
    --flink) flink=yes && shift ;;
    --source) need_value "$@" && source=$2 && shift 2 ;;
    *) more+=("$1") && shift ;;
    esac
done
[[ ${rows:-1} =~ ^[1-9][0-9]{0,8}$ ]] || {
    echo "run_local.sh: --rows $rows is not a number of rows" >&2
    exit 2
}
[[ -z $multilingual || -n $text ]] || {
    echo "run_local.sh: --multilingual is for --text" >&2
    exit 2
}

if [[ -n $text ]]; then
    models=local/text-models weights=(local/minilm)
    [[ -z $multilingual ]] || models=local/multilingual-models weights=(local/multilingual .venv/bin/python multilingual)
    requirements/venv.sh text
    if ! compgen -G "$models/v*" >/dev/null; then
        published=$(requirements/weights.sh "${weights[@]}")
        .venv/bin/beam-pcc encoder export --from "$published" --to "$models/encoders"
        echo "training a starter model on the messages of data/messages (docs/models.md tells what it can and cannot do)" >&2
        .venv/bin/beam-pcc train --data 'data/messages/*.jsonl' --text_column text --models "$models"
        echo
    fi
    if [[ -z $source ]]; then
        source=local/messages.parquet
        .venv/bin/beam-pcc sample --messages data/evaluation/messages.jsonl --output "$source" \
            --partition "$partition" ${rows:+--rows "$rows"}
    fi
    more+=(--text_column text)
else
    models=local/models
    requirements/venv.sh run
    if ! compgen -G "$models/v*" >/dev/null; then
        echo "training a starter model on synthetic vectors (it knows nothing of real cases)" >&2
        .venv/bin/beam-pcc sample --rows 4000 --labelled --output local/labelled.parquet
        .venv/bin/beam-pcc train --data local/labelled.parquet --models "$models"
        echo
    fi
fi
if [[ -n $flink ]]; then
    flink/cluster.sh up >&2
    # shellcheck disable=SC1091 # cluster.sh wrote it
    . local/flink/cluster.env
    # shellcheck disable=SC2154 # from cluster.env
    more+=(--runner FlinkRunner --flink_master "localhost:$port" --environment_config "localhost:$worker_port")
fi
if [[ -f local/pcc.duckdb ]]; then # it may be an earlier checkout's
    .venv/bin/beam-pcc tables create --warehouse local/pcc.duckdb --add_columns >/dev/null
fi
code=0
[[ -n $source && $source != local/messages.parquet ]] || more=(--min_volume 0 ${more[@]+"${more[@]}"}) # of any --rows
.venv/bin/beam-pcc run --partition "$partition" --source "${source:-sample://${rows:-2000}}" \
    --models "$models" --warehouse local/pcc.duckdb ${more[@]+"${more[@]}"} || code=$?
if [[ $code -eq 0 || $code -eq 3 ]] && [[ -f local/pcc.duckdb ]]; then
    echo
    .venv/bin/beam-pcc report --warehouse local/pcc.duckdb --output local/report.html || true
fi
if [[ -n $flink ]]; then
    printf '\n  Flink       http://localhost:%s, until you end it: flink/cluster.sh down\n' "$port"
fi
exit "$code"
