#!/usr/bin/env pwsh
# From an empty EKS cluster to a daily partition in BigQuery; docs/eks-deployment.md leads there step by step.
# The same as deploy-to-eks.sh, for PowerShell 7 (Windows, macOS, Linux): it makes the environment, beam-pcc does the rest.
Set-StrictMode -Version Latest
$ErrorActionPreference = 'Stop'
$top = $PSScriptRoot
$python = if ($IsWindows) { "$top/.venv/Scripts/python.exe" } else { "$top/.venv/bin/python" }
$mark = "$top/.venv/.installed-deploy"
$state = (Get-FileHash "$top/requirements/deploy.txt").Hash + (Get-FileHash "$top/pyproject.toml").Hash

function Assert-Success([string] $what) {
    if ($LASTEXITCODE -ne 0) {
        [Console]::Error.WriteLine("deploy-to-eks: $what failed; its own lines above say why")
        exit 2
    }
}

if (-not (Test-Path $python)) {
    $found = Get-Command 'python3', 'python' -ErrorAction SilentlyContinue | Select-Object -First 1
    if (-not $found) {
        [Console]::Error.WriteLine('deploy-to-eks: Python 3.10 or later is needed and not found; install it')
        exit 2
    }
    & $found.Source -m venv "$top/.venv" | Out-Host
    Assert-Success 'making the environment'
}
# An environment that was made for something else has all of this list.
$others = @(Get-ChildItem -Force -Path "$top/.venv" -Filter '.installed-*' | Where-Object { $_.Name -ne '.installed-deploy' })
if ($others.Count -eq 0 -and -not ((Test-Path $mark) -and ((Get-Content -Raw $mark) -eq $state))) {
    foreach ($list in 'pip', 'deploy') {
        & $python -m pip install --quiet --disable-pip-version-check --require-hashes --requirement "$top/requirements/$list.txt" | Out-Host
        Assert-Success 'installing the locked packages'
    }
    & $python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable $top | Out-Host
    Assert-Success 'installing beam-pcc'
    Set-Content -NoNewline -Path $mark -Value $state
}
try {
    $env:BEAM_PCC_CALLED_AS = './deploy-to-eks.ps1'
    & $python -m beam_pcc deploy @args
}
finally {
    $env:BEAM_PCC_CALLED_AS = $null
}
exit $LASTEXITCODE
