#!/usr/bin/env bash
# Makes an environment for each engine that beam_pcc is measured against, below local/benchmark/environments (3 GB).
# usage: environments.sh [NAME ...]    default: all; Spark also needs Java 17
set -euo pipefail
cd "$(dirname "$0")"
folder=../../local/benchmark/environments
mkdir -p "$folder"
for list in requirements/*.txt; do
    name=$(basename "$list" .txt)
    [[ $# -eq 0 || " $* " == *" $name "* ]] || continue
    "${PYTHON:-python3}" -m venv "$folder/$name"
    "$folder/$name/bin/pip" install --quiet --disable-pip-version-check --require-hashes -r "$list"
    echo "$name is in $folder/$name"
done
