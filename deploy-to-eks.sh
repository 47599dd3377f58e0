#!/usr/bin/env bash
# From an empty EKS cluster to a daily partition in BigQuery; docs/eks-deployment.md leads there step by step.
# Creates the environment and calls `beam-pcc deploy` (beam_pcc/deploy). deploy-to-eks.ps1 does the same.
set -euo pipefail
top=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
"$top/requirements/venv.sh" deploy >&2
BEAM_PCC_CALLED_AS=./deploy-to-eks.sh exec "$top/.venv/bin/beam-pcc" deploy "$@"
