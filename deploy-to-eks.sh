#!/usr/bin/env bash
# From an empty EKS cluster to a daily partition in BigQuery; docs/eks-deployment.md leads there step by step.
# deploy-to-eks.ps1 is the same for PowerShell; a test compares the commands of both.
set -euo pipefail
cd "$(dirname "$0")"

OPERATOR_VERSION=1.15.0
CERT_MANAGER_VERSION=v1.18.2
NAMESPACE=pcc-system
REPOSITORY=beam-pcc
MANIFESTS=k8s/flink-operator

usage() {
    cat <<'TEXT'
usage: ./deploy-to-eks.sh COMMAND [options]

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
TEXT
}

die() {
    echo "deploy-to-eks: $*" >&2
    exit 2
}
say() { echo "$*" >&2; }
# Prints a command so that it can be copied.
show() {
    local word line=
    for word in "$@"; do
        if [[ $word =~ ^[A-Za-z0-9_./:=@%+,-]+$ || $word == '|' ]]; then line+=" $word"; else line+=" '${word//\'/\'\\\'\'}'"; fi
    done
    echo "${line# }" >&3
}
# Runs a command that changes something.
change() {
    if [[ -n $dry_run ]]; then show "$@"; else "$@"; fi
}
# Asks something; with --dry-run the first word is the answer.
ask() {
    local instead=$1
    shift
    if [[ -n $dry_run ]]; then
        show "$@"
        echo "$instead"
    else
        "$@"
    fi
}
# Whether a command succeeds; with --dry-run no, so that what would follow is shown.
succeeds() {
    if [[ -n $dry_run ]]; then
        show "$@"
        return 1
    fi
    "$@" >/dev/null 2>&1
}
value() { [[ $# -ge 2 && -n $2 ]] || die "$1 needs a value; see ./deploy-to-eks.sh --help"; }
need() {
    local name missing=()
    for name in "$@"; do [[ -n ${!name:-} ]] || missing+=("$name"); done
    [[ ${#missing[@]} -eq 0 ]] || die "not set: ${missing[*]}; see ./deploy-to-eks.sh --help"
}
k() { change kubectl --namespace "$NAMESPACE" "$@"; }

need_aws() {
    need AWS_ACCOUNT_ID AWS_REGION CLUSTER
    [[ $AWS_ACCOUNT_ID =~ ^[0-9]{12}$ ]] || die "AWS_ACCOUNT_ID is '$AWS_ACCOUNT_ID': 12 digits are wanted"
    # A kubeconfig of its own: the current context of yours stays, and is not deployed to by mistake.
    export KUBECONFIG=$PWD/local/kubeconfig-$CLUSTER
}
need_google() {
    need PCC_SOURCE PCC_WAREHOUSE PCC_MODELS PCC_STAGING
    if [[ -n ${GCP_KEY_FILE:-} ]]; then
        [[ -f $GCP_KEY_FILE ]] || die "GCP_KEY_FILE $GCP_KEY_FILE is not there"
        return
    fi
    need GCP_WORKLOAD_PROVIDER GCP_SERVICE_ACCOUNT
    [[ $GCP_WORKLOAD_PROVIDER =~ ^projects/[0-9]+/locations/global/workloadIdentityPools/[^/]+/providers/[^/]+$ ]] ||
        die "GCP_WORKLOAD_PROVIDER is not projects/NUMBER/locations/global/workloadIdentityPools/POOL/providers/PROVIDER"
}
connect() {
    need_aws
    [[ -n $dry_run ]] || mkdir -p local
    change aws eks update-kubeconfig --name "$CLUSTER" --region "$AWS_REGION" --kubeconfig "$KUBECONFIG"
}

check() {
    local tool account issuer operator wrong=0
    need_aws
    need_google
    for tool in aws kubectl helm docker; do
        [[ -n $dry_run ]] || command -v "$tool" >/dev/null || die "$tool is not found; install it"
    done
    account=$(ask "$AWS_ACCOUNT_ID" aws sts get-caller-identity --query Account --output text) ||
        die "AWS does not know you: run aws sso login, or set credentials"
    [[ $account == "$AWS_ACCOUNT_ID" ]] || die "you are in AWS account $account, and AWS_ACCOUNT_ID is $AWS_ACCOUNT_ID"
    say "AWS account        $account"
    issuer=$(ask "ISSUER" aws eks describe-cluster --name "$CLUSTER" --region "$AWS_REGION" \
        --query cluster.identity.oidc.issuer --output text) || die "cluster $CLUSTER is not in $AWS_REGION, or not yours to see"
    say "OIDC issuer        $issuer"
    connect
    ask "" kubectl get --raw /readyz >/dev/null || die "the cluster's API does not answer: VPN, security group, or access entry"
    say "cluster            $CLUSTER answers"
    operator=$(ask "" kubectl get deployments --all-namespaces --selector app.kubernetes.io/name=flink-kubernetes-operator \
        --output 'jsonpath={.items[0].spec.template.spec.containers[0].image}' 2>/dev/null) || operator=
    case ${operator##*:} in
    "") say "Flink operator     missing: deploy installs $OPERATOR_VERSION" ;;
    "$OPERATOR_VERSION") say "Flink operator     $OPERATOR_VERSION" ;;
    *) say "Flink operator     ${operator##*:}: the manifests are written for $OPERATOR_VERSION, see docs/operations.md" ;;
    esac
    if succeeds kubectl get crd certificates.cert-manager.io; then say "cert-manager       there"; else
        say "cert-manager       missing: deploy installs $CERT_MANAGER_VERSION"
    fi
    if succeeds kubectl get crd prometheusrules.monitoring.coreos.com; then say "Prometheus         operator there"; else
        say "Prometheus         operator missing: alerts and PodMonitor are left out"
    fi
    if [[ -n ${GCP_KEY_FILE:-} ]]; then
        say "Google             key file $GCP_KEY_FILE (federation is safer: docs/security.md)"
    elif [[ -n $dry_run ]] || command -v gcloud >/dev/null; then
        local trusted
        trusted=$(ask "$issuer" gcloud iam workload-identity-pools providers describe "$GCP_WORKLOAD_PROVIDER" \
            --format 'value(oidc.issuerUri)') || trusted="(not to be seen)"
        if [[ $trusted == "$issuer" ]]; then say "Google             the provider trusts this cluster"; else
            say "Google             the provider trusts $trusted, not this cluster's issuer; see docs/eks-deployment.md"
            wrong=1
        fi
    else
        say "Google             not checked: gcloud is not found. The first run will tell"
    fi
    return "$wrong"
}

registry() { echo "$AWS_ACCOUNT_ID.dkr.ecr.$AWS_REGION.amazonaws.com"; }

build_and_push() {
    local tag digest
    tag=$(git rev-parse --short=12 HEAD 2>/dev/null || date -u +%Y%m%d%H%M%S)
    [[ -z $(git status --porcelain 2>/dev/null) ]] || tag+=-$(date -u +%Y%m%d%H%M%S)
    [[ -z $dry_run ]] || tag=TAG
    succeeds aws ecr describe-repositories --repository-names "$REPOSITORY" --region "$AWS_REGION" ||
        change aws ecr create-repository --repository-name "$REPOSITORY" --region "$AWS_REGION" \
            --image-tag-mutability IMMUTABLE --image-scanning-configuration scanOnPush=true >&2
    if [[ -n $dry_run ]]; then
        show aws ecr get-login-password --region "$AWS_REGION" '|' docker login --username AWS --password-stdin "$(registry)"
    else
        aws ecr get-login-password --region "$AWS_REGION" | docker login --username AWS --password-stdin "$(registry)" >&2
    fi
    change docker build --platform linux/amd64 --build-arg "REVISION=$tag" --tag "$(registry)/$REPOSITORY:$tag" . >&2
    change docker push "$(registry)/$REPOSITORY:$tag" >&2
    digest=$(ask "sha256:DIGEST" aws ecr describe-images --repository-name "$REPOSITORY" --region "$AWS_REGION" \
        --image-ids "imageTag=$tag" --query 'imageDetails[0].imageDigest' --output text)
    echo "$(registry)/$REPOSITORY@$digest"
}

install_operator() {
    succeeds kubectl get crd certificates.cert-manager.io ||
        change helm upgrade --install cert-manager cert-manager --repo https://charts.jetstack.io \
            --version "$CERT_MANAGER_VERSION" --namespace cert-manager --create-namespace --set crds.enabled=true --wait
    succeeds kubectl get crd flinkdeployments.flink.apache.org ||
        change helm upgrade --install flink-kubernetes-operator flink-kubernetes-operator \
            --repo "https://archive.apache.org/dist/flink/flink-kubernetes-operator-$OPERATOR_VERSION/" \
            --namespace flink-operator --create-namespace --wait
}

# The layer over an overlay that knows this installation: image, addresses, credentials. It is written anew each time.
write_layer() {
    local overlay=$1 image=$2 before=$3 alerts=$4
    cat <<TEXT
apiVersion: kustomize.config.k8s.io/v1beta1
kind: Kustomization
namespace: $NAMESPACE
resources: [../overlays/$overlay]
generatorOptions:
  disableNameSuffixHash: true
  labels: {app: pcc-pipeline}
images:
  - name: beam-pcc
    newName: ${image%@*}
    digest: ${image#*@}
configMapGenerator:
  - name: pcc-config
    behavior: merge
    literals:
      - image=$image
      - run.source=$PCC_SOURCE
      - run.warehouse=$PCC_WAREHOUSE
      - run.models=$PCC_MODELS
      - run.staging=$PCC_STAGING
      - run.temp_dataset=${PCC_TEMP_DATASET:-}
TEXT
    [[ -n ${GCP_KEY_FILE:-} ]] || cat <<TEXT
  - name: pcc-google
    files: [credentials.json]
TEXT
    cat <<TEXT
patches:
  - target: {kind: CronJob, name: pcc-daily}
    patch: |-
      - {op: add, path: /metadata/annotations, value: {beam-pcc/previous-image: "$before"}}
TEXT
    [[ $overlay != dev ]] || cat <<TEXT
  - target: {kind: FlinkDeployment, name: pcc-session}
    patch: |-
      - {op: replace, path: /spec/image, value: "$image"}
TEXT
    [[ $overlay != prod || $alerts == yes ]] || cat <<'TEXT'
  - patch: |-
      {apiVersion: monitoring.coreos.com/v1, kind: PodMonitor, metadata: {name: pcc-pipeline, namespace: pcc-system}, $patch: delete}
  - patch: |-
      {apiVersion: monitoring.coreos.com/v1, kind: PrometheusRule, metadata: {name: pcc-pipeline, namespace: pcc-system}, $patch: delete}
TEXT
}

write_credentials() {
    sed -e "s|projects/PROJECT_NUMBER/locations/global/workloadIdentityPools/POOL/providers/PROVIDER|$GCP_WORKLOAD_PROVIDER|" \
        -e "s|SERVICE_ACCOUNT_EMAIL|$GCP_SERVICE_ACCOUNT|" "$MANIFESTS/examples/google-federation.json"
}

deploy() {
    local overlay=prod image='' before alerts=no
    while [[ $# -gt 0 ]]; do
        case $1 in
        --overlay) value "$@" && overlay=$2 && shift 2 ;;
        --image) value "$@" && image=$2 && shift 2 ;;
        *) die "deploy does not know $1; see ./deploy-to-eks.sh --help" ;;
        esac
    done
    [[ $overlay == dev || $overlay == prod ]] || die "--overlay is dev or prod"
    [[ -z $image || $image == *@sha256:* ]] || die "--image $image: name it by digest, NAME@sha256:..."
    need_aws
    need_google
    connect
    [[ -n $image ]] || image=$(build_and_push)
    say "image              $image"
    install_operator
    before=$(ask "" kubectl --namespace "$NAMESPACE" get cronjob pcc-daily --ignore-not-found \
        --output 'jsonpath={.spec.jobTemplate.spec.template.spec.containers[0].image}')
    [[ $before != "$image" ]] || before=$(kubectl --namespace "$NAMESPACE" get cronjob pcc-daily \
        --output 'jsonpath={.metadata.annotations.beam-pcc/previous-image}')
    succeeds kubectl get crd prometheusrules.monitoring.coreos.com && alerts=yes
    if [[ -n $dry_run ]]; then
        show write "$MANIFESTS/deployed/kustomization.yaml"
        write_layer "$overlay" "$image" "$before" "$alerts" | sed 's/^/    /' >&3
        [[ -n ${GCP_KEY_FILE:-} ]] || {
            show write "$MANIFESTS/deployed/credentials.json"
            write_credentials | sed 's/^/    /' >&3
        }
    else
        mkdir -p "$MANIFESTS/deployed"
        write_layer "$overlay" "$image" "$before" "$alerts" >"$MANIFESTS/deployed/kustomization.yaml"
        [[ -n ${GCP_KEY_FILE:-} ]] || write_credentials >"$MANIFESTS/deployed/credentials.json"
    fi
    if [[ -n ${GCP_KEY_FILE:-} ]]; then
        change kubectl apply --filename "$MANIFESTS/base/namespace.yaml"
        if [[ -n $dry_run ]]; then
            show kubectl --namespace "$NAMESPACE" create secret generic pcc-google-key --from-file="credentials.json=$GCP_KEY_FILE" \
                --dry-run=client --output=yaml '|' kubectl apply --filename -
        else
            kubectl --namespace "$NAMESPACE" create secret generic pcc-google-key --from-file="credentials.json=$GCP_KEY_FILE" \
                --dry-run=client --output=yaml | kubectl apply --filename -
        fi
        k delete configmap pcc-google --ignore-not-found
    fi
    change kubectl apply --kustomize "$MANIFESTS/deployed"
    change kubectl --namespace flink-operator rollout status deployment/flink-kubernetes-operator --timeout=300s
    # The launcher plans tomorrow's work without doing it: image, ConfigMaps and rights are proven.
    start_job "pcc-check-$(now)" '["beam-pcc","submit"]' '["--partition=yesterday","--dry_run"]'
    k wait --for=condition=complete --timeout=300s "job/pcc-check-$(now)" ||
        die "the launcher cannot do its work: kubectl --namespace $NAMESPACE logs job/pcc-check-$(now)"
    k delete job "pcc-check-$(now)"
    say "deployed           the daily run is at 02:00 UTC; try ./deploy-to-eks.sh run --partition yesterday"
}

started=
now() { # the same all through one call of this script
    [[ -z $dry_run ]] || { echo TIME && return; }
    echo "$started"
}

# A Job like that of the daily run, but for command and arguments.
start_job() {
    local name=$1 patch
    patch='[{"op":"replace","path":"/spec/template/spec/containers/0/command","value":'$2'},{"op":"replace","path":"/spec/template/spec/containers/0/args","value":'$3'}]'
    local create=(kubectl --namespace "$NAMESPACE" create job "$name" --from=cronjob/pcc-daily --dry-run=client --output=json)
    local alter=(kubectl patch --local --filename - --type=json --patch "$patch" --output=json)
    if [[ -n $dry_run ]]; then
        show "${create[@]}" '|' "${alter[@]}" '|' kubectl --namespace "$NAMESPACE" create --filename -
    else
        "${create[@]}" | "${alter[@]}" | kubectl --namespace "$NAMESPACE" create --filename - >&2
    fi
}

follow_job() {
    k wait --for=jsonpath='{.status.ready}'=1 --timeout=600s "job/$1" || say "it has not started, or has ended already"
    k logs --follow "job/$1"
    k wait --for=condition=complete --timeout=120s "job/$1" || {
        say "the Job $1 failed; its last lines are above"
        exit 1
    }
}

day() { [[ ${2:-} =~ ^([0-9]{8}|today|yesterday)$ ]] || die "$1 ${2:-}: write YYYYMMDD, today or yesterday"; }

run() {
    local partition='' replace=
    while [[ $# -gt 0 ]]; do
        case $1 in
        --partition) value "$@" && partition=$2 && shift 2 ;;
        --replace) replace=',"--replace"' && shift ;;
        *) die "run does not know $1; see ./deploy-to-eks.sh --help" ;;
        esac
    done
    day --partition "$partition"
    connect
    start_job "pcc-manual-$(now)" '["beam-pcc","submit"]' '["--partition='"$partition"'","--wait","--attach"'"$replace"']'
    follow_job "pcc-manual-$(now)"
}

backfill() {
    local first='' last='' parallel=1
    while [[ $# -gt 0 ]]; do
        case $1 in
        --from) value "$@" && first=$2 && shift 2 ;;
        --to) value "$@" && last=$2 && shift 2 ;;
        --parallel) value "$@" && parallel=$2 && shift 2 ;;
        *) die "backfill does not know $1; see ./deploy-to-eks.sh --help" ;;
        esac
    done
    day --from "$first"
    day --to "$last"
    [[ $parallel =~ ^[1-9][0-9]?$ ]] || die "--parallel $parallel: a number from 1 to 99 is wanted"
    connect
    start_job "pcc-backfill-$(now)" '["beam-pcc","backfill"]' \
        '["--on-kubernetes","--from='"$first"'","--to='"$last"'","--parallel='"$parallel"'"]'
    follow_job "pcc-backfill-$(now)"
}

status() {
    connect
    k get cronjobs,jobs,flinkdeployments,pods --output wide
    k get cronjob pcc-daily --output \
        'jsonpath={"image     "}{.spec.jobTemplate.spec.template.spec.containers[0].image}{"\nbefore    "}{.metadata.annotations.beam-pcc/previous-image}{"\n"}'
    k get configmap pcc-config --output 'jsonpath={"model     "}{.data.run\.model_version}{"\n"}'
}

logs() {
    local partition='' of=launcher
    while [[ $# -gt 0 ]]; do
        case $1 in
        --partition) value "$@" && partition=$2 && shift 2 ;;
        --of) value "$@" && of=$2 && shift 2 ;;
        *) die "logs does not know $1; see ./deploy-to-eks.sh --help" ;;
        esac
    done
    [[ $of == launcher ]] || [[ $partition =~ ^[0-9]{8}$ ]] || die "--of $of needs --partition YYYYMMDD"
    connect
    case $of in
    launcher) k logs --selector app.kubernetes.io/component=launcher --container launcher --tail=200 --prefix ;;
    jobmanager) k logs --selector "app=pcc-$partition,component=jobmanager" --all-containers --tail=-1 --prefix ;;
    taskmanager)
        k logs --selector "app=pcc-$partition,component=taskmanager" --container flink-main-container --tail=-1 --prefix
        ;;
    workers) k logs --selector "app=pcc-$partition,component=taskmanager" --container python-workers --tail=-1 --prefix ;;
    *) die "--of is launcher, jobmanager, taskmanager or workers" ;;
    esac
}

ui() {
    local of=
    case ${1:-} in
    --session) of=pcc-session ;;
    --partition)
        [[ ${2:-} =~ ^[0-9]{8}$ ]] || die "--partition ${2:-}: write YYYYMMDD"
        of=pcc-$2
        ;;
    *) die "ui needs --partition YYYYMMDD or --session" ;;
    esac
    connect
    say "http://localhost:8081 until Ctrl-C"
    k port-forward "service/$of-rest" 8081:8081
}

rollback() {
    local before now_image version
    if [[ ${1:-} == --model ]]; then
        version=${2:-}
        [[ $version =~ ^v[0-9]{8}_?[0-9]{6}$ || $version == none ]] || die "--model $version: write a version, or none; see beam-pcc models list"
        [[ $version != none ]] || version=
        connect
        k patch configmap pcc-config --type=merge --patch '{"data":{"run.model_version":"'"$version"'"}}'
        say "runs from now on use ${version:-the registry\'s current version}"
        return
    fi
    [[ $# -eq 0 ]] || die "rollback does not know $1; see ./deploy-to-eks.sh --help"
    connect
    before=$(ask "PREVIOUS" kubectl --namespace "$NAMESPACE" get cronjob pcc-daily \
        --output 'jsonpath={.metadata.annotations.beam-pcc/previous-image}')
    [[ -n $before ]] || die "no image was deployed before this one; deploy --image REF takes any"
    now_image=$(ask "CURRENT" kubectl --namespace "$NAMESPACE" get cronjob pcc-daily \
        --output 'jsonpath={.spec.jobTemplate.spec.template.spec.containers[0].image}')
    k set image cronjob/pcc-daily "launcher=$before"
    k patch configmap pcc-config --type=merge --patch '{"data":{"image":"'"$before"'"}}'
    k annotate --overwrite cronjob pcc-daily "beam-pcc/previous-image=$now_image"
    say "image              $before (was $now_image; rollback again goes back)"
}

destroy() {
    [[ ${1:-} == --yes ]] || die "destroy removes the namespace $NAMESPACE with every run in it; say destroy --yes"
    connect
    # First what the operator has to clean up, while it and the namespace are there.
    k delete flinkdeployments --all --ignore-not-found --timeout=300s
    change kubectl delete namespace "$NAMESPACE" --ignore-not-found --timeout=300s
    say "left               the operator (helm uninstall), the ECR repository, everything at Google"
}

dry_run=
words=()
for word in "$@"; do
    case $word in
    --dry-run) dry_run=yes ;;
    --help | -h) usage && exit 0 ;;
    *) words+=("$word") ;;
    esac
done
started=$(date -u +%Y%m%d%H%M%S)
exec 3>&1
case ${words[0]:-} in
check | deploy | run | backfill | status | logs | ui | rollback | destroy) "${words[@]}" ;;
"") die "say a command; see ./deploy-to-eks.sh --help" ;;
*) die "unknown command ${words[0]}; see ./deploy-to-eks.sh --help" ;;
esac
