#!/usr/bin/env bash
# The Flink operator starts the image with one of the first three arguments; any other command runs unchanged.
set -euo pipefail
case ${1:-} in
standalone-job | jobmanager | taskmanager)
    role=$1
    shift
    exec "$FLINK_HOME/bin/$role.sh" start-foreground "$@"
    ;;
*) exec "$@" ;;
esac
