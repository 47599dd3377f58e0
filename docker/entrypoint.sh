#!/usr/bin/env bash
# The roles of the image. The Flink operator starts the first three, with these very words; anything else is run as it stands.
set -euo pipefail
case ${1:-} in
standalone-job | jobmanager | taskmanager)
    role=$1
    shift
    exec "$FLINK_HOME/bin/$role.sh" start-foreground "$@"
    ;;
*) exec "$@" ;;
esac
