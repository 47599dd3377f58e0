#!/usr/bin/env bash
# Makes .venv, or brings it up to date, from a hash-locked list: requirements/venv.sh deploy|run|gcp|text|dev. Seconds when nothing changed.
set -euo pipefail
cd "$(dirname "$0")/.."
list=requirements/${1:?deploy, run, gcp, text or dev}.txt

die() {
    echo "$*" >&2
    exit 2
}

find_python() {
    local candidate
    for candidate in "${PYTHON:-python3}" python3 python3.14 python3.13 python3.12 python3.11 python3.10; do
        if "$candidate" -c 'import sys; sys.exit(sys.version_info < (3, 10))' 2>/dev/null; then
            echo "$candidate"
            return
        fi
    done
    die "Python 3.10 or later is needed and not found; install it, or say where it is: PYTHON=/path/to/python3"
}

if ! .venv/bin/python -c 'import sys; sys.exit(sys.version_info < (3, 10))' 2>/dev/null; then
    python=$(find_python)
    echo "making .venv with $("$python" --version)" >&2
    rm -rf .venv
    "$python" -m venv .venv 2>/dev/null ||
        die "$python cannot make virtual environments; on Debian and Ubuntu: apt-get install python3-venv"
fi

# The state is the list's own content. dev holds all, gcp and text all of run, and run all of deploy: the smaller one has nothing
# to do then.
state=$(cat "$list" pyproject.toml | cksum)
if [[ -f .venv/.installed-$1 && $(<".venv/.installed-$1") == "$state" ]] ||
    [[ $1 != dev && -f .venv/.installed-dev ]] || [[ $1 == run && (-f .venv/.installed-gcp || -f .venv/.installed-text) ]] ||
    [[ $1 == deploy && (-f .venv/.installed-run || -f .venv/.installed-gcp || -f .venv/.installed-text) ]]; then
    exit 0
fi
echo "installing $(grep -c == "$list") locked packages (about a minute the first time)" >&2
install=(.venv/bin/python -m pip install --quiet --disable-pip-version-check)
"${install[@]}" --require-hashes --requirement requirements/pip.txt
"${install[@]}" --require-hashes --requirement "$list"
# setuptools warns of every editable installation; of anything else it still may.
PYTHONWARNINGS="ignore:Editable installation" "${install[@]}" --no-deps --no-build-isolation --editable .
rm -f .venv/.installed-*
echo "$state" >".venv/.installed-$1"
