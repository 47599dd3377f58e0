#!/usr/bin/env bash
# From an empty EKS cluster to a daily partition in BigQuery; docs/eks-deployment.md leads there step by step.
# What it does is in beam_pcc/deploy (`beam-pcc deploy`); this makes its environment first. deploy-to-eks.ps1 is the same.
set -euo pipefail
top=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
"$top/requirements/venv.sh" deploy >&2
BEAM_PCC_CALLED_AS=./deploy-to-eks.sh exec "$top/.venv/bin/beam-pcc" deploy "$@"
