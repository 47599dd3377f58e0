#!/usr/bin/env bash
# A real Flink on this machine: JobManager, one TaskManager, and its pool of Python workers. See usage, and docs/flink.md.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
root=$(dirname "$here")

usage() {
    cat <<'TEXT'
usage: flink/cluster.sh up     [options]   start a session cluster, or what of it has died, and wait for its slots
       flink/cluster.sh status [--dir D]   what runs, and where
       flink/cluster.sh down   [--dir D]   end exactly what `up` started
       flink/cluster.sh job JAR [options]  run one job jar in application mode (beam-pcc jobjar writes it), then end
       flink/cluster.sh install            only install and build

  --slots N          slots of the TaskManager, each with a Python worker (default: the number of cores)
  --port N           of Flink's UI and REST API (default: 8081)
  --rpc-port N       of the JobManager (default: 6123)
  --worker-port N    of the pool of Python workers (default: 50000)
  --metrics-port N   first of two for Prometheus, JobManager and TaskManager (default: none). Every other port is on 127.0.0.1;
                     these are on every interface, as Flink's reporter knows nothing else
  --dir D            logs and process ids (default: local/flink)
  -D KEY=VALUE       any setting of Flink, over flink/conf/config.yaml
  --help             this text

Needs JDK 11 or 17, Maven (the first time), and .venv (created by ./run_local.sh or make). With Go on the PATH, builds and uses
Beam's boot program, which forwards the logs of workers. The builds are in ~/.cache/beam-pcc (XDG_CACHE_HOME), about 500 MB.
TEXT
}
die() {
    echo "flink/cluster.sh: $*" >&2
    exit "${code:-1}"
}
usage_error() { code=2 die "$*; see flink/cluster.sh --help"; }
version() { sed -n "s|.*<$1>\(.*\)</$1>.*|\1|p" "$here/pom.xml"; }

[[ $# -gt 0 ]] || usage_error "say up, status, down, job or install"
command=$1
shift
jar=
case $command in
up | status | down | install) ;;
job)
    [[ -f ${1:-} ]] || usage_error "job needs a jar: ${1:-none} is not there"
    jar=$(cd "$(dirname "$1")" && pwd)/$(basename "$1")
    shift
    ;;
--help | -h | help) usage && exit 0 ;;
*) usage_error "unknown command $command" ;;
esac

slots=$(getconf _NPROCESSORS_ONLN)
port=8081 rpc_port=6123 worker_port=50000 metrics_port=
dir=$root/local/flink
settings=()
while [[ $# -gt 0 ]]; do
    [[ $1 == --help || $# -ge 2 ]] || usage_error "$1 needs a value"
    case $1 in
    --slots) slots=$2 ;;
    --port) port=$2 ;;
    --rpc-port) rpc_port=$2 ;;
    --worker-port) worker_port=$2 ;;
    --metrics-port) metrics_port=$2 ;;
    --dir) dir=$2 ;;
    -D) settings+=(-D "$2") ;;
    --help) usage && exit 0 ;;
    *) usage_error "unknown option $1" ;;
    esac
    shift 2
done
for number in "$slots" "$port" "$rpc_port" "$worker_port" ${metrics_port:+"$metrics_port"}; do
    [[ $number =~ ^[1-9][0-9]{0,4}$ ]] || usage_error "$number is not a number"
done
mkdir -p "$dir/log"
dir=$(cd "$dir" && pwd)
python=${PYTHON:-$root/.venv/bin/python}

# --- builds ---------------------------------------------------------------------------------------------------------------------

flink_version=$(version flink.version)
inputs=$(find "$here/pom.xml" "$here/lock" "$here/src" -type f | LC_ALL=C sort | xargs cat | cksum | cut -d' ' -f1)
cache=${XDG_CACHE_HOME:-$HOME/.cache}/beam-pcc/flink-$flink_version-$inputs

install() {
    [[ -x $python ]] || die "$python is not there; make it with ./run_local.sh, or say PYTHON=..."
    command -v java >/dev/null || die "java is not found; install a JDK 17 (Debian: apt-get install openjdk-17-jdk-headless)"
    if [[ ! -f $cache/complete ]]; then
        command -v mvn >/dev/null || die "mvn is not found; install Maven (Debian: apt-get install maven)"
        local work started=$SECONDS
        work=$(mkdir -p "$(dirname "$cache")" && mktemp -d "$cache.XXXXXX")
        # shellcheck disable=SC2064 # of this call
        trap "rm -rf '$work'" EXIT
        echo "installing Flink $flink_version (half a minute, the first time)" >&2
        local pip=("$python" -m pip install --quiet --disable-pip-version-check --no-deps --require-hashes)
        # The scripts are the same in the wheels of all Python versions and systems; the jars are in a source package.
        "${pip[@]}" --target "$work/scripts" --only-binary=:all: --implementation cp --python-version 3.11 --abi cp311 \
            --platform manylinux2014_x86_64 --requirement "$here/lock/apache-flink.txt"
        "${pip[@]}" --target "$work/jars" --requirement "$here/lock/apache-flink-libraries.txt"
        echo "building the runner bundle with Maven (half a minute, the first time)" >&2
        mvn --quiet --batch-mode --file "$here/pom.xml" "-Dbundle.directory=$work/target" package ||
            die "the runner bundle could not be built; Maven's words are above"
        mkdir "$work/flink"
        mv "$work"/scripts/pyflink/{bin,conf} "$work"/jars/pyflink/{lib,plugins} "$work/flink/"
        mv "$work"/jars/pyflink/bin/*.jar "$work/flink/bin/"
        mv "$work/target/beam-pcc-flink-runner.jar" "$work/flink/lib/"
        chmod +x "$work"/flink/bin/*.sh
        rm -rf "$work"/{scripts,jars,target}
        touch "$work/complete"
        mv -T "$work" "$cache" 2>/dev/null || [[ -f $cache/complete ]] || die "$cache cannot be written"
        trap - EXIT
        rm -rf "$work"
        echo "built in $((SECONDS - started)) s: $cache" >&2
    fi
    touch "$cache/complete" 2>/dev/null || true
    # Builds of other inputs go two weeks after their last start, unless a cluster still runs from them.
    local mark
    for mark in "$(dirname "$cache")"/flink-*/complete; do
        if [[ -n $(find "$mark" -mtime +14 2>/dev/null) ]] && ! pgrep -f -- "${mark%/complete}/" >/dev/null; then
            rm -rf "${mark%/complete}"
        fi
    done
    boot=
    if command -v go >/dev/null; then
        local beam
        beam=$("$python" -c 'import importlib.metadata as m; print(m.version("apache-beam"))')
        boot=${XDG_CACHE_HOME:-$HOME/.cache}/beam-pcc/boot-$beam
        if [[ ! -x $boot ]]; then
            echo "building Beam's launcher of Python workers with Go (half a minute, the first time)" >&2
            local building=$boot.building package=github.com/apache/beam/sdks/v2/python/container@v$beam
            if GOBIN=$building go install "$package" 2>"$dir/log/go.log"; then
                mv "$building/container" "$boot"
            else
                echo "it could not be built ($dir/log/go.log tells why): going on with Beam's plain pool" >&2
                boot=
            fi
            rm -rf "$building"
        fi
    fi
}

# --- processes ------------------------------------------------------------------------------------------------------------------

# The start time distinguishes a process from a later one with the same id.
identity() { ps -o lstart= -p "$1" 2>/dev/null; }
alive() { # NAME
    local pid
    pid=$(head -1 "$dir/$1.pid" 2>/dev/null) || return 1
    [[ $(ps -o stat= -p "$pid" 2>/dev/null) != Z* && $(identity "$pid") == "$(tail -n +2 "$dir/$1.pid")" ]]
}
start() { # NAME COMMAND...: in a separate session, with its output in a log
    local name=$1
    shift
    setsid nohup "$@" >"$dir/log/$name.out" 2>&1 </dev/null &
    printf '%s\n%s\n' $! "$(identity $!)" >"$dir/$name.pid"
}
stop() {
    local name=$1 pid
    if alive "$name"; then
        pid=$(head -1 "$dir/$name.pid")
        pkill -TERM -s "$pid" || true # its children have other process groups, but the same session
        for _ in $(seq 50); do
            alive "$name" || break
            sleep 0.2
        done
    fi
    [[ ! -f $dir/$name.pid ]] || pkill -KILL -s "$(head -1 "$dir/$name.pid")" || true # processes that are still alive
    rm -f "$dir/$name.pid"
}
stop_all() { for name in workers taskmanager jobmanager; do stop $name; done; }

free_port() { # PORT OPTION
    "$python" - "$1" <<'PY' || die "port $1 is in use by another program; choose another with $2"
import socket, sys, time
for attempt in range(20):  # a process that was just killed may hold the port for a moment
    with socket.socket() as s:
        s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            s.bind(("127.0.0.1", int(sys.argv[1])))
            sys.exit(0)
        except OSError:
            time.sleep(0.25)
sys.exit(1)
PY
}

# Check the ports of the processes that are not running yet.
check_ports() {
    alive jobmanager || { free_port "$port" --port && free_port "$rpc_port" --rpc-port; }
    alive workers || free_port "$worker_port" --worker-port
    [[ -z $metrics_port ]] || alive jobmanager || alive taskmanager || {
        free_port "$metrics_port" --metrics-port
        free_port "$((metrics_port + 1))" --metrics-port
    }
}
save_options() {
    local name
    for name in port rpc_port worker_port metrics_port slots; do
        echo "$name=${!name}"
    done >"$dir/cluster.env"
}
load_options() {
    # shellcheck disable=SC1091 # written by save_options
    [[ ! -f $dir/cluster.env ]] || . "$dir/cluster.env"
}
prepare() {
    check_ports
    mkdir -p "$dir/conf" "$dir/tmp"
    cp "$cache"/flink/conf/log4j-console.properties "$here"/conf/* "$dir/conf/"
    export FLINK_HOME=$cache/flink FLINK_CONF_DIR=$dir/conf FLINK_LOG_DIR=$dir/log FLINK_PID_DIR=$dir
    common=(-D "jobmanager.rpc.port=$rpc_port" -D "rest.port=$port" -D "parallelism.default=$slots"
        -D "io.tmp.dirs=$dir/tmp" -D "taskmanager.numberOfTaskSlots=$slots" ${settings[@]+"${settings[@]}"})
    [[ -z $metrics_port ]] || common+=(-D metrics.reporters=prom
        -D metrics.reporter.prom.factory.class=org.apache.flink.metrics.prometheus.PrometheusReporterFactory
        -D "metrics.reporter.prom.port=$metrics_port-$((metrics_port + 1))")
}
start_workers() {
    local pool=(-m beam_pcc.flink.worker_pool "--port=$worker_port" "--slots=$slots")
    [[ -z $boot ]] || pool+=("--boot=$boot")
    PATH=$(dirname "$python"):$PATH RUN_PYTHON_SDK_IN_DEFAULT_ENVIRONMENT=1 OMP_NUM_THREADS=1 \
        start workers env --chdir="$dir" "$python" "${pool[@]}" # the boot program writes a file in its working directory
}
start_taskmanager() { start taskmanager "$FLINK_HOME/bin/taskmanager.sh" start-foreground "${common[@]}"; }

overview() { "$python" - "http://127.0.0.1:$port/v1/overview" <<'PY'
import json, sys, urllib.request
try:
    with urllib.request.urlopen(sys.argv[1], timeout=2) as answer:
        overview = json.load(answer)
        print(overview["slots-total"], overview["slots-available"], overview["jobs-running"])
except (OSError, ValueError):
    print(0, 0, 0)
PY
}

case $command in
install) install ;;
up)
    if alive jobmanager || alive taskmanager || alive workers; then
        load_options
    fi
    if alive jobmanager && alive taskmanager && alive workers; then
        echo "Flink is up already: http://127.0.0.1:$port"
        exit 0
    fi
    install
    prepare
    save_options
    trap stop_all EXIT
    alive jobmanager || start jobmanager "$FLINK_HOME/bin/jobmanager.sh" start-foreground "${common[@]}"
    alive taskmanager || start_taskmanager
    alive workers || start_workers
    for _ in $(seq 240); do
        read -r total _ <<<"$(overview)"
        [[ $total -lt $slots ]] || break
        for name in jobmanager taskmanager workers; do
            alive $name || { tail -5 "$dir/log/$name.out" >&2 && die "the $name ended; its log is $dir/log/$name.out"; }
        done
        sleep 0.25
    done
    [[ $total -ge $slots ]] || die "after a minute $total of $slots slots are there; the logs are in $dir/log"
    trap - EXIT
    echo "Flink $flink_version with $slots slots: http://127.0.0.1:$port"
    ;;
down)
    stop_all
    echo "Flink is down"
    ;;
status)
    load_options
    up=0
    for name in jobmanager taskmanager workers; do
        if alive $name; then
            echo "$name runs (process $(head -1 "$dir/$name.pid"), log $dir/log/$name.out)"
        else
            echo "$name is down" && up=1
        fi
    done
    if [[ $up == 0 ]]; then
        read -r total free jobs <<<"$(overview)"
        echo "http://127.0.0.1:$port: $free of $total slots free, $jobs jobs running"
    fi
    exit $up
    ;;
job)
    for name in jobmanager taskmanager workers; do
        ! alive $name || die "a cluster is up in $dir; end it (flink/cluster.sh down), or say another --dir and other ports"
    done
    install
    prepare
    rm -rf "${dir:?}/lib"
    # In application mode the job is on Flink's class path, in a folder below lib.
    mkdir -p "$dir/lib/job"
    ln -s "$FLINK_HOME"/lib/*.jar "$dir/lib/"
    cp "$jar" "$dir/lib/job/job.jar"
    export FLINK_LIB_DIR=$dir/lib
    trap 'stop_all' EXIT
    trap 'exit 1' INT TERM
    start_workers
    start jobmanager "$FLINK_HOME/bin/standalone-job.sh" start-foreground \
        --job-classname org.apache.beam.runners.flink.FlinkPipelineRunner "${common[@]}"
    jobmanager=$!
    start_taskmanager
    echo "Flink $flink_version with $slots slots runs $jar: http://127.0.0.1:$port"
    code=0
    wait "$jobmanager" || code=$?
    [[ $code == 0 ]] || die "the job failed (exit code $code of the JobManager); its log is $dir/log/jobmanager.out"
    echo "the job has finished; its row in pcc_monitoring_logs tells how"
    ;;
esac
