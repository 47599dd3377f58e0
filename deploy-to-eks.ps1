#!/usr/bin/env pwsh
# From an empty EKS cluster to a daily partition in BigQuery; docs/eks-deployment.md leads there step by step.
# The same as deploy-to-eks.sh, for PowerShell 7 (Windows, macOS, Linux): creates the environment and calls beam-pcc.
Set-StrictMode -Version Latest
$ErrorActionPreference = 'Stop'
$top = $PSScriptRoot
$python = if ($IsWindows) { "$top/.venv/Scripts/python.exe" } else { "$top/.venv/bin/python" }

function Assert-Success([string] $what) {
    if ($LASTEXITCODE -ne 0) {
        [Console]::Error.WriteLine("deploy-to-eks: $what failed; its own lines above say why")
        exit 2
    }
}

if (-not (Test-Path $python)) {
    $systemPython = Get-Command 'python3', 'python' -ErrorAction SilentlyContinue | Select-Object -First 1
    if (-not $systemPython) {
        [Console]::Error.WriteLine('deploy-to-eks: Python 3.10 or later is needed and not found; install it')
        exit 2
    }
    & $systemPython.Source -m venv "$top/.venv" | Out-Host
    Assert-Success 'making the environment'
}
& $python "$top/requirements/install.py" deploy | Out-Host
Assert-Success 'installing the locked packages'
try {
    $env:BEAM_PCC_CALLED_AS = './deploy-to-eks.ps1'
    & $python -m beam_pcc deploy @args
}
finally {
    $env:BEAM_PCC_CALLED_AS = $null
}
exit $LASTEXITCODE
