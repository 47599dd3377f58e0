#!/usr/bin/env pwsh
# From an empty EKS cluster to a daily partition in BigQuery; docs/eks-deployment.md leads there step by step.
# The same as deploy-to-eks.sh, for PowerShell 7 (Windows, macOS, Linux); a test compares the commands of both.
Set-StrictMode -Version Latest
$ErrorActionPreference = 'Stop'
Set-Location $PSScriptRoot

$OPERATOR_VERSION = '1.15.0'
$CERT_MANAGER_VERSION = 'v1.18.2'
$NAMESPACE = 'pcc-system'
$REPOSITORY = 'beam-pcc'
$MANIFESTS = 'k8s/flink-operator'

$usage = @'
usage: ./deploy-to-eks.ps1 COMMAND [options]

  check                            tools, AWS identity, cluster, operator, OIDC issuer, Google side; changes nothing
  deploy [--overlay dev|prod]      build, push and deploy: ECR repository, cert-manager and operator if missing, manifests
         [--image REF]             ... with this image (NAME@sha256:...) instead of building one
  run --partition D [--replace]    score one day now, and follow it
  backfill --from D --to D [--parallel N]
                                   score each day of a range on the cluster
  status                           what is deployed, what runs
  logs [--partition D] [--of launcher|jobmanager|taskmanager|workers]
                                   (default: the launcher's latest)
  ui --partition D | --session     Flink's UI on http://localhost:8081
  rollback [--model VERSION]       the image that was deployed before; or pin a model version (none: no pin)
  destroy --yes                    everything in the namespace pcc-system; not the operator, not the ECR repository

  --dry-run                        print every command, run none
  --help                           this text

Settings, from the environment:
  AWS_ACCOUNT_ID, AWS_REGION, CLUSTER          where to deploy
  PCC_SOURCE, PCC_WAREHOUSE, PCC_MODELS, PCC_STAGING, PCC_TEMP_DATASET (optional)
                                               as the options of beam-pcc run; bq:// and gs://
  GCP_WORKLOAD_PROVIDER, GCP_SERVICE_ACCOUNT   projects/N/locations/global/workloadIdentityPools/POOL/providers/PROVIDER,
                                               and the e-mail of the Google service account
  GCP_KEY_FILE                                 instead of these two: a key file, where federation is not possible
'@

$script:DryRun = $false
$script:Started = (Get-Date).ToUniversalTime().ToString('yyyyMMddHHmmss')

function Stop-WithUsage([string] $words) {
    [Console]::Error.WriteLine("deploy-to-eks: $words")
    exit 2
}
function Write-Note([string] $words) { [Console]::Error.WriteLine($words) }

function Format-Command([string[]] $words) {
    $quoted = foreach ($word in $words) {
        if ($word -match '^[A-Za-z0-9_./:=@%+,-]+$' -or $word -eq '|') { $word } else { "'" + $word.Replace("'", "''") + "'" }
    }
    return $quoted -join ' '
}
# Prints a command so that it can be copied. Not to the output stream: functions below return values.
function Show-Command([string[]] $words) { [Console]::Out.WriteLine((Format-Command $words)) }

# The values of one command line; Start-Process would join and split them again.
function Invoke-Program([string[]] $words) {
    $program, $arguments = $words
    & $program @arguments
}
# Runs a command that changes something.
function Invoke-Change([string[]] $words) {
    if ($script:DryRun) { Show-Command $words; return }
    Invoke-Program $words | Out-Host
    if ($LASTEXITCODE -ne 0) { [Console]::Error.WriteLine("deploy-to-eks: $($words[0]) ended with $LASTEXITCODE"); exit 1 }
}
# Asks something; with --dry-run the first word is the answer. $null if it failed.
function Get-Answer([string] $instead, [string[]] $words) {
    if ($script:DryRun) { Show-Command $words; return $instead }
    $found = (Invoke-Program $words) -join "`n"
    if ($LASTEXITCODE -ne 0) { return $null }
    return $found.Trim()
}
# Whether a command succeeds; with --dry-run no, so that what would follow is shown.
function Test-Command([string[]] $words) {
    if ($script:DryRun) { Show-Command $words; return $false }
    Invoke-Program $words *> $null
    return $LASTEXITCODE -eq 0
}
function Invoke-Kubectl([string[]] $words) { Invoke-Change (@('kubectl', '--namespace', $NAMESPACE) + $words) }

function Get-Setting([string] $name) { return [Environment]::GetEnvironmentVariable($name) }
function Assert-Settings([string[]] $names) {
    $missing = @($names | Where-Object { -not (Get-Setting $_) })
    if ($missing.Count -gt 0) { Stop-WithUsage "not set: $($missing -join ' '); see ./deploy-to-eks.ps1 --help" }
}
function Assert-Aws {
    Assert-Settings 'AWS_ACCOUNT_ID', 'AWS_REGION', 'CLUSTER'
    if ($env:AWS_ACCOUNT_ID -notmatch '^[0-9]{12}$') {
        Stop-WithUsage "AWS_ACCOUNT_ID is '$env:AWS_ACCOUNT_ID': 12 digits are wanted"
    }
    # A kubeconfig of its own: the current context of yours stays, and is not deployed to by mistake.
    $env:KUBECONFIG = Join-Path $PSScriptRoot "local/kubeconfig-$env:CLUSTER"
}
function Assert-Google {
    Assert-Settings 'PCC_SOURCE', 'PCC_WAREHOUSE', 'PCC_MODELS', 'PCC_STAGING'
    if (Get-Setting 'GCP_KEY_FILE') {
        if (-not (Test-Path $env:GCP_KEY_FILE)) { Stop-WithUsage "GCP_KEY_FILE $env:GCP_KEY_FILE is not there" }
        return
    }
    Assert-Settings 'GCP_WORKLOAD_PROVIDER', 'GCP_SERVICE_ACCOUNT'
    if ($env:GCP_WORKLOAD_PROVIDER -notmatch '^projects/[0-9]+/locations/global/workloadIdentityPools/[^/]+/providers/[^/]+$') {
        Stop-WithUsage 'GCP_WORKLOAD_PROVIDER is not projects/NUMBER/locations/global/workloadIdentityPools/POOL/providers/PROVIDER'
    }
}
function Connect-Cluster {
    Assert-Aws
    if (-not $script:DryRun) { New-Item -ItemType Directory -Force local | Out-Null }
    Invoke-Change @('aws', 'eks', 'update-kubeconfig', '--name', $env:CLUSTER, '--region', $env:AWS_REGION, '--kubeconfig', $env:KUBECONFIG)
}

function Invoke-Check {
    Assert-Aws
    Assert-Google
    if (-not $script:DryRun) {
        foreach ($tool in 'aws', 'kubectl', 'helm', 'docker') {
            if (-not (Get-Command $tool -ErrorAction SilentlyContinue)) { Stop-WithUsage "$tool is not found; install it" }
        }
    }
    $account = Get-Answer $env:AWS_ACCOUNT_ID @('aws', 'sts', 'get-caller-identity', '--query', 'Account', '--output', 'text')
    if (-not $account) { Stop-WithUsage 'AWS does not know you: run aws sso login, or set credentials' }
    if ($account -ne $env:AWS_ACCOUNT_ID) {
        Stop-WithUsage "you are in AWS account $account, and AWS_ACCOUNT_ID is $env:AWS_ACCOUNT_ID"
    }
    Write-Note "AWS account        $account"
    $issuer = Get-Answer 'ISSUER' @('aws', 'eks', 'describe-cluster', '--name', $env:CLUSTER, '--region', $env:AWS_REGION,
        '--query', 'cluster.identity.oidc.issuer', '--output', 'text')
    if (-not $issuer) { Stop-WithUsage "cluster $env:CLUSTER is not in $env:AWS_REGION, or not yours to see" }
    Write-Note "OIDC issuer        $issuer"
    Connect-Cluster
    if ($null -eq (Get-Answer 'ok' @('kubectl', 'get', '--raw', '/readyz'))) {
        Stop-WithUsage "the cluster's API does not answer: VPN, security group, or access entry"
    }
    Write-Note "cluster            $env:CLUSTER answers"
    $operator = Get-Answer '' @('kubectl', 'get', 'deployments', '--all-namespaces', '--selector',
        'app.kubernetes.io/name=flink-kubernetes-operator',
        '--output', 'jsonpath={.items[0].spec.template.spec.containers[0].image}')
    $version = if ($operator) { $operator.Split(':')[-1] } else { '' }
    switch ($version) {
        '' { Write-Note "Flink operator     missing: deploy installs $OPERATOR_VERSION" }
        $OPERATOR_VERSION { Write-Note "Flink operator     $OPERATOR_VERSION" }
        default { Write-Note "Flink operator     ${version}: the manifests are written for $OPERATOR_VERSION, see docs/operations.md" }
    }
    if (Test-Command @('kubectl', 'get', 'crd', 'certificates.cert-manager.io')) { Write-Note 'cert-manager       there' }
    else { Write-Note "cert-manager       missing: deploy installs $CERT_MANAGER_VERSION" }
    if (Test-Command @('kubectl', 'get', 'crd', 'prometheusrules.monitoring.coreos.com')) { Write-Note 'Prometheus         operator there' }
    else { Write-Note 'Prometheus         operator missing: alerts and PodMonitor are left out' }
    if (Get-Setting 'GCP_KEY_FILE') {
        Write-Note "Google             key file $env:GCP_KEY_FILE (federation is safer: docs/security.md)"
    }
    elseif ($script:DryRun -or (Get-Command gcloud -ErrorAction SilentlyContinue)) {
        $trusted = Get-Answer $issuer @('gcloud', 'iam', 'workload-identity-pools', 'providers', 'describe', $env:GCP_WORKLOAD_PROVIDER,
            '--format', 'value(oidc.issuerUri)')
        if (-not $trusted) { $trusted = '(not to be seen)' }
        if ($trusted -eq $issuer) { Write-Note 'Google             the provider trusts this cluster' }
        else {
            Write-Note "Google             the provider trusts $trusted, not this cluster's issuer; see docs/eks-deployment.md"
            exit 1
        }
    }
    else { Write-Note 'Google             not checked: gcloud is not found. The first run will tell' }
}

function Get-Registry { return "$env:AWS_ACCOUNT_ID.dkr.ecr.$env:AWS_REGION.amazonaws.com" }

function Publish-Image {
    $short = @('rev-parse', '--short=12', 'HEAD')
    $tag = & git @short 2>$null
    if (-not $tag) { $tag = $script:Started }
    elseif (& git status --porcelain 2>$null) { $tag = "$tag-$script:Started" }
    if ($script:DryRun) { $tag = 'TAG' }
    if (-not (Test-Command @('aws', 'ecr', 'describe-repositories', '--repository-names', $REPOSITORY, '--region', $env:AWS_REGION))) {
        Invoke-Change @('aws', 'ecr', 'create-repository', '--repository-name', $REPOSITORY, '--region', $env:AWS_REGION,
            '--image-tag-mutability', 'IMMUTABLE', '--image-scanning-configuration', 'scanOnPush=true')
    }
    $registry = Get-Registry
    $password = @('aws', 'ecr', 'get-login-password', '--region', $env:AWS_REGION)
    $login = @('docker', 'login', '--username', 'AWS', '--password-stdin', $registry)
    if ($script:DryRun) { Show-Command ($password + '|' + $login) }
    else {
        Invoke-Program $password | & docker login --username AWS --password-stdin $registry | Out-Host
        if ($LASTEXITCODE -ne 0) { exit 1 }
    }
    Invoke-Change @('docker', 'build', '--platform', 'linux/amd64', '--build-arg', "REVISION=$tag", '--tag', "$registry/${REPOSITORY}:$tag", '.')
    Invoke-Change @('docker', 'push', "$registry/${REPOSITORY}:$tag")
    $digest = Get-Answer 'sha256:DIGEST' @('aws', 'ecr', 'describe-images', '--repository-name', $REPOSITORY, '--region', $env:AWS_REGION,
        '--image-ids', "imageTag=$tag", '--query', 'imageDetails[0].imageDigest', '--output', 'text')
    if (-not $digest) { exit 1 }
    return "$registry/$REPOSITORY@$digest"
}

function Install-Operator {
    if (-not (Test-Command @('kubectl', 'get', 'crd', 'certificates.cert-manager.io'))) {
        Invoke-Change @('helm', 'upgrade', '--install', 'cert-manager', 'cert-manager', '--repo', 'https://charts.jetstack.io',
            '--version', $CERT_MANAGER_VERSION, '--namespace', 'cert-manager', '--create-namespace', '--set', 'crds.enabled=true', '--wait')
    }
    if (-not (Test-Command @('kubectl', 'get', 'crd', 'flinkdeployments.flink.apache.org'))) {
        Invoke-Change @('helm', 'upgrade', '--install', 'flink-kubernetes-operator', 'flink-kubernetes-operator',
            '--repo', "https://archive.apache.org/dist/flink/flink-kubernetes-operator-$OPERATOR_VERSION/",
            '--namespace', 'flink-operator', '--create-namespace', '--wait')
    }
}

# The layer over an overlay that knows this installation: image, addresses, credentials. It is written anew each time.
function Get-Layer([string] $overlay, [string] $image, [string] $before, [bool] $alerts) {
    $name, $digest = $image.Split('@')
    $lines = @"
apiVersion: kustomize.config.k8s.io/v1beta1
kind: Kustomization
namespace: $NAMESPACE
resources: [../overlays/$overlay]
generatorOptions:
  disableNameSuffixHash: true
  labels: {app: pcc-pipeline}
images:
  - name: beam-pcc
    newName: $name
    digest: $digest
configMapGenerator:
  - name: pcc-config
    behavior: merge
    literals:
      - image=$image
      - run.source=$env:PCC_SOURCE
      - run.warehouse=$env:PCC_WAREHOUSE
      - run.models=$env:PCC_MODELS
      - run.staging=$env:PCC_STAGING
      - run.temp_dataset=$env:PCC_TEMP_DATASET

"@
    if (-not (Get-Setting 'GCP_KEY_FILE')) {
        $lines += "  - name: pcc-google`n    files: [credentials.json]`n"
    }
    $lines += @"
patches:
  - target: {kind: CronJob, name: pcc-daily}
    patch: |-
      - {op: add, path: /metadata/annotations, value: {beam-pcc/previous-image: "$before"}}

"@
    if ($overlay -eq 'dev') {
        $lines += @"
  - target: {kind: FlinkDeployment, name: pcc-session}
    patch: |-
      - {op: replace, path: /spec/image, value: "$image"}

"@
    }
    if ($overlay -eq 'prod' -and -not $alerts) {
        $lines += @'
  - patch: |-
      {apiVersion: monitoring.coreos.com/v1, kind: PodMonitor, metadata: {name: pcc-pipeline, namespace: pcc-system}, $patch: delete}
  - patch: |-
      {apiVersion: monitoring.coreos.com/v1, kind: PrometheusRule, metadata: {name: pcc-pipeline, namespace: pcc-system}, $patch: delete}

'@
    }
    return $lines
}

function Get-Credentials {
    $text = Get-Content -Raw "$MANIFESTS/examples/google-federation.json"
    $text = $text.Replace('projects/PROJECT_NUMBER/locations/global/workloadIdentityPools/POOL/providers/PROVIDER', $env:GCP_WORKLOAD_PROVIDER)
    return $text.Replace('SERVICE_ACCOUNT_EMAIL', $env:GCP_SERVICE_ACCOUNT)
}

function Write-File([string] $path, [string] $text) {
    if ($script:DryRun) {
        Show-Command @('write', $path)
        foreach ($line in $text.TrimEnd().Split("`n")) { [Console]::Out.WriteLine("    $line") }
        return
    }
    New-Item -ItemType Directory -Force (Split-Path $path) | Out-Null
    Set-Content -NoNewline -Encoding utf8NoBOM -Path $path -Value $text
}

# The pairs of options that a command was given; it says which it knows.
function Read-Options([string] $command, [string[]] $words, [string[]] $valued, [string[]] $switches) {
    $found = @{}
    for ($i = 0; $i -lt $words.Count; $i++) {
        $word = $words[$i]
        if ($switches -contains $word) { $found[$word] = $true; continue }
        if ($valued -notcontains $word) { Stop-WithUsage "$command does not know $word; see ./deploy-to-eks.ps1 --help" }
        if ($i + 1 -ge $words.Count -or -not $words[$i + 1]) { Stop-WithUsage "$word needs a value; see ./deploy-to-eks.ps1 --help" }
        $i++
        $found[$word] = $words[$i]
    }
    return $found
}

function Invoke-Deploy([string[]] $words) {
    $given = Read-Options 'deploy' $words @('--overlay', '--image') @()
    $overlay = if ($given['--overlay']) { $given['--overlay'] } else { 'prod' }
    $image = $given['--image']
    if ($overlay -notin 'dev', 'prod') { Stop-WithUsage '--overlay is dev or prod' }
    if ($image -and $image -notmatch '@sha256:') { Stop-WithUsage "--image ${image}: name it by digest, NAME@sha256:..." }
    Assert-Aws
    Assert-Google
    Connect-Cluster
    if (-not $image) { $image = Publish-Image }
    Write-Note "image              $image"
    Install-Operator
    $before = Get-Answer '' @('kubectl', '--namespace', $NAMESPACE, 'get', 'cronjob', 'pcc-daily', '--ignore-not-found',
        '--output', 'jsonpath={.spec.jobTemplate.spec.template.spec.containers[0].image}')
    if ($before -eq $image) {
        $before = Get-Answer '' @('kubectl', '--namespace', $NAMESPACE, 'get', 'cronjob', 'pcc-daily',
            '--output', 'jsonpath={.metadata.annotations.beam-pcc/previous-image}')
    }
    $alerts = Test-Command @('kubectl', 'get', 'crd', 'prometheusrules.monitoring.coreos.com')
    Write-File "$MANIFESTS/deployed/kustomization.yaml" (Get-Layer $overlay $image $before $alerts)
    if (-not (Get-Setting 'GCP_KEY_FILE')) { Write-File "$MANIFESTS/deployed/credentials.json" (Get-Credentials) }
    else {
        Invoke-Change @('kubectl', 'apply', '--filename', "$MANIFESTS/base/namespace.yaml")
        $secret = @('kubectl', '--namespace', $NAMESPACE, 'create', 'secret', 'generic', 'pcc-google-key',
            "--from-file=credentials.json=$env:GCP_KEY_FILE", '--dry-run=client', '--output=yaml')
        if ($script:DryRun) { Show-Command ($secret + '|' + @('kubectl', 'apply', '--filename', '-')) }
        else {
            $apply = @('apply', '--filename', '-')
            Invoke-Program $secret | & kubectl @apply | Out-Host
            if ($LASTEXITCODE -ne 0) { exit 1 }
        }
        Invoke-Kubectl @('delete', 'configmap', 'pcc-google', '--ignore-not-found')
    }
    Invoke-Change @('kubectl', 'apply', '--kustomize', "$MANIFESTS/deployed")
    Invoke-Change @('kubectl', '--namespace', 'flink-operator', 'rollout', 'status', 'deployment/flink-kubernetes-operator', '--timeout=300s')
    # The launcher plans tomorrow's work without doing it: image, ConfigMaps and rights are proven.
    $job = "pcc-check-$(Get-Now)"
    Start-DailyLikeJob $job '["beam-pcc","submit"]' '["--partition=yesterday","--dry_run"]'
    if (-not (Test-Follow @('kubectl', '--namespace', $NAMESPACE, 'wait', '--for=condition=complete', '--timeout=300s', "job/$job"))) {
        Stop-WithUsage "the launcher cannot do its work: kubectl --namespace $NAMESPACE logs job/$job"
    }
    Invoke-Kubectl @('delete', 'job', $job)
    Write-Note 'deployed           the daily run is at 02:00 UTC; try ./deploy-to-eks.ps1 run --partition yesterday'
}

function Get-Now { if ($script:DryRun) { return 'TIME' } else { return $script:Started } }

# A Job like that of the daily run, but for command and arguments.
function Start-DailyLikeJob([string] $name, [string] $command, [string] $arguments) {
    $patch = '[{"op":"replace","path":"/spec/template/spec/containers/0/command","value":' + $command +
        '},{"op":"replace","path":"/spec/template/spec/containers/0/args","value":' + $arguments + '}]'
    $create = @('kubectl', '--namespace', $NAMESPACE, 'create', 'job', $name, '--from=cronjob/pcc-daily', '--dry-run=client', '--output=json')
    $alter = @('kubectl', 'patch', '--local', '--filename', '-', '--type=json', '--patch', $patch, '--output=json')
    $submit = @('kubectl', '--namespace', $NAMESPACE, 'create', '--filename', '-')
    if ($script:DryRun) { Show-Command ($create + '|' + $alter + '|' + $submit); return }
    $job = (Invoke-Program $create) -join "`n"
    if ($LASTEXITCODE -ne 0) { exit 1 }
    $null, $arguments = $alter
    $altered = ($job | & kubectl @arguments) -join "`n"
    if ($LASTEXITCODE -ne 0) { exit 1 }
    $null, $arguments = $submit
    $altered | & kubectl @arguments | Out-Host
    if ($LASTEXITCODE -ne 0) { exit 1 }
}

function Watch-Job([string] $name) {
    if (-not (Test-Follow @('kubectl', '--namespace', $NAMESPACE, 'wait', '--for=jsonpath={.status.ready}=1', '--timeout=600s', "job/$name"))) {
        Write-Note 'it has not started, or has ended already'
    }
    Invoke-Kubectl @('logs', '--follow', "job/$name")
    if (-not (Test-Follow @('kubectl', '--namespace', $NAMESPACE, 'wait', '--for=condition=complete', '--timeout=120s', "job/$name"))) {
        Write-Note "the Job $name failed; its last lines are above"
        exit 1
    }
}
function Test-Follow([string[]] $words) {
    if ($script:DryRun) { Show-Command $words; return $true }
    Invoke-Program $words | Out-Host
    return $LASTEXITCODE -eq 0
}

function Assert-Day([string] $option, [string] $day) {
    if ($day -notmatch '^([0-9]{8}|today|yesterday)$') { Stop-WithUsage "$option ${day}: write YYYYMMDD, today or yesterday" }
}

function Invoke-Run([string[]] $words) {
    $given = Read-Options 'run' $words @('--partition') @('--replace')
    Assert-Day '--partition' $given['--partition']
    $replace = if ($given['--replace']) { ',"--replace"' } else { '' }
    Connect-Cluster
    $job = "pcc-manual-$(Get-Now)"
    Start-DailyLikeJob $job '["beam-pcc","submit"]' ('["--partition=' + $given['--partition'] + '","--wait","--attach"' + $replace + ']')
    Watch-Job $job
}

function Invoke-Backfill([string[]] $words) {
    $given = Read-Options 'backfill' $words @('--from', '--to', '--parallel') @()
    Assert-Day '--from' $given['--from']
    Assert-Day '--to' $given['--to']
    $parallel = if ($given['--parallel']) { $given['--parallel'] } else { '1' }
    if ($parallel -notmatch '^[1-9][0-9]?$') { Stop-WithUsage "--parallel ${parallel}: a number from 1 to 99 is wanted" }
    Connect-Cluster
    $job = "pcc-backfill-$(Get-Now)"
    Start-DailyLikeJob $job '["beam-pcc","backfill"]' ('["--on-kubernetes","--from=' + $given['--from'] + '","--to=' + $given['--to'] +
        '","--parallel=' + $parallel + '"]')
    Watch-Job $job
}

function Invoke-Status {
    Connect-Cluster
    Invoke-Kubectl @('get', 'cronjobs,jobs,flinkdeployments,pods', '--output', 'wide')
    Invoke-Kubectl @('get', 'cronjob', 'pcc-daily', '--output',
        'jsonpath={"image     "}{.spec.jobTemplate.spec.template.spec.containers[0].image}{"\nbefore    "}{.metadata.annotations.beam-pcc/previous-image}{"\n"}')
    Invoke-Kubectl @('get', 'configmap', 'pcc-config', '--output', 'jsonpath={"model     "}{.data.run\.model_version}{"\n"}')
}

function Invoke-Logs([string[]] $words) {
    $given = Read-Options 'logs' $words @('--partition', '--of') @()
    $of = if ($given['--of']) { $given['--of'] } else { 'launcher' }
    $partition = $given['--partition']
    if ($of -ne 'launcher' -and $partition -notmatch '^[0-9]{8}$') { Stop-WithUsage "--of $of needs --partition YYYYMMDD" }
    if ($of -notin 'launcher', 'jobmanager', 'taskmanager', 'workers') { Stop-WithUsage '--of is launcher, jobmanager, taskmanager or workers' }
    Connect-Cluster
    switch ($of) {
        'launcher' { Invoke-Kubectl @('logs', '--selector', 'app.kubernetes.io/component=launcher', '--container', 'launcher', '--tail=200', '--prefix') }
        'jobmanager' { Invoke-Kubectl @('logs', '--selector', "app=pcc-$partition,component=jobmanager", '--all-containers', '--tail=-1', '--prefix') }
        'taskmanager' {
            Invoke-Kubectl @('logs', '--selector', "app=pcc-$partition,component=taskmanager", '--container', 'flink-main-container', '--tail=-1', '--prefix')
        }
        'workers' { Invoke-Kubectl @('logs', '--selector', "app=pcc-$partition,component=taskmanager", '--container', 'python-workers', '--tail=-1', '--prefix') }
    }
}

function Invoke-Ui([string[]] $words) {
    $given = Read-Options 'ui' $words @('--partition') @('--session')
    if ($given['--session']) { $of = 'pcc-session' }
    elseif ($given['--partition']) {
        if ($given['--partition'] -notmatch '^[0-9]{8}$') { Stop-WithUsage "--partition $($given['--partition']): write YYYYMMDD" }
        $of = "pcc-$($given['--partition'])"
    }
    else { Stop-WithUsage 'ui needs --partition YYYYMMDD or --session' }
    Connect-Cluster
    Write-Note 'http://localhost:8081 until Ctrl-C'
    Invoke-Kubectl @('port-forward', "service/$of-rest", '8081:8081')
}

function Invoke-Rollback([string[]] $words) {
    $given = Read-Options 'rollback' $words @('--model') @()
    $version = $given['--model']
    if ($version -and $version -notmatch '^v[0-9]{8}_?[0-9]{6}$' -and $version -ne 'none') {
        Stop-WithUsage "--model ${version}: write a version, or none; see beam-pcc models list"
    }
    Connect-Cluster
    if ($version) {
        $pinned = if ($version -eq 'none') { '' } else { $version }
        Invoke-Kubectl @('patch', 'configmap', 'pcc-config', '--type=merge', '--patch', ('{"data":{"run.model_version":"' + $pinned + '"}}'))
        Write-Note "runs from now on use $(if ($pinned) { $pinned } else { "the registry's current version" })"
        return
    }
    $before = Get-Answer 'PREVIOUS' @('kubectl', '--namespace', $NAMESPACE, 'get', 'cronjob', 'pcc-daily',
        '--output', 'jsonpath={.metadata.annotations.beam-pcc/previous-image}')
    if (-not $before) { Stop-WithUsage 'no image was deployed before this one; deploy --image REF takes any' }
    $now = Get-Answer 'CURRENT' @('kubectl', '--namespace', $NAMESPACE, 'get', 'cronjob', 'pcc-daily',
        '--output', 'jsonpath={.spec.jobTemplate.spec.template.spec.containers[0].image}')
    Invoke-Kubectl @('set', 'image', 'cronjob/pcc-daily', "launcher=$before")
    Invoke-Kubectl @('patch', 'configmap', 'pcc-config', '--type=merge', '--patch', ('{"data":{"image":"' + $before + '"}}'))
    Invoke-Kubectl @('annotate', '--overwrite', 'cronjob', 'pcc-daily', "beam-pcc/previous-image=$now")
    Write-Note "image              $before (was $now; rollback again goes back)"
}

function Invoke-Destroy([string[]] $words) {
    $given = Read-Options 'destroy' $words @() @('--yes')
    if (-not $given['--yes']) { Stop-WithUsage "destroy removes the namespace $NAMESPACE with every run in it; say destroy --yes" }
    Connect-Cluster
    # First what the operator has to clean up, while it and the namespace are there.
    Invoke-Kubectl @('delete', 'flinkdeployments', '--all', '--ignore-not-found', '--timeout=300s')
    Invoke-Change @('kubectl', 'delete', 'namespace', $NAMESPACE, '--ignore-not-found', '--timeout=300s')
    Write-Note 'left               the operator (helm uninstall), the ECR repository, everything at Google'
}

$words = @($args | ForEach-Object { "$_" })
if ($words -contains '--help' -or $words -contains '-h') { Write-Output $usage; exit 0 }
if ($words -contains '--dry-run') { $script:DryRun = $true; $words = @($words | Where-Object { $_ -ne '--dry-run' }) }
if ($words.Count -eq 0) { Stop-WithUsage 'say a command; see ./deploy-to-eks.ps1 --help' }
$rest = @($words | Select-Object -Skip 1)
switch ($words[0]) {
    'check' { Invoke-Check }
    'deploy' { Invoke-Deploy $rest }
    'run' { Invoke-Run $rest }
    'backfill' { Invoke-Backfill $rest }
    'status' { Invoke-Status }
    'logs' { Invoke-Logs $rest }
    'ui' { Invoke-Ui $rest }
    'rollback' { Invoke-Rollback $rest }
    'destroy' { Invoke-Destroy $rest }
    default { Stop-WithUsage "unknown command $($words[0]); see ./deploy-to-eks.ps1 --help" }
}
exit 0
