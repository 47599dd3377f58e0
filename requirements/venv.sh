#!/usr/bin/env bash
# Creates or updates .venv from hash-locked lists: requirements/venv.sh LIST..., of deploy, run, gcp, text, kubernetes,
# signing, openvino, sentence-transformers and dev. Takes a moment if nothing changed (see install.py).
set -euo pipefail
cd "$(dirname "$0")/.."

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

[[ $# -gt 0 ]] || die "usage: requirements/venv.sh LIST..., for example: requirements/venv.sh run"
if ! .venv/bin/python -c 'import sys; sys.exit(sys.version_info < (3, 10))' 2>/dev/null; then
    python=$(find_python)
    echo "making .venv with $("$python" --version)" >&2
    rm -rf .venv
    "$python" -m venv .venv 2>/dev/null ||
        die "$python cannot make virtual environments; on Debian and Ubuntu: apt-get install python3-venv"
fi
exec .venv/bin/python requirements/install.py "$@"
