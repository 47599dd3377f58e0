# syntax=docker/dockerfile:1.7
# One image for every container of a run: launcher, job jar, JobManager, TaskManager, Python workers; they differ by command.
#
#     docker build --tag beam-pcc .
#
# Versions are in flink/pom.xml (Beam's runner, Flink's line) and in the lock files (Flink, Beam's SDK, every Python
# package): this file has none of them but its base images'. deploy-to-eks.sh pushes the image and deploys it by digest.
#
# Base images are pinned by digest (docs/ci-cd.md says how to raise them). A mirror or a local image takes the place of one
# with, for example, --build-arg PYTHON_IMAGE=registry.example/python:3.11
ARG MAVEN_IMAGE=maven:3.9.11-eclipse-temurin-17@sha256:e4a7ace3dc0d645ed97f8d9ad0b0d3f0b14fa8d150138f27f116d7105a639b82
ARG GO_IMAGE=golang:1.25-bookworm@sha256:3b4a11519ad929d1e1d261a12cff056f0c85b735253d7d861346b9c6f8b36437
ARG PYTHON_IMAGE=python:3.11.13-slim-bookworm@sha256:86adf8dbadc3d6e82ee5dd2c74bec2e1c2467cdad47886280501df722372d2e1
ARG JAVA_IMAGE=eclipse-temurin:17.0.16_8-jre-jammy@sha256:e90fd2b084488c0ffdd22610d44c1579e63b585c7fb83489fd815c0dc5b4e1f7

FROM ${MAVEN_IMAGE} AS runner
WORKDIR /build
COPY flink/pom.xml flink/
RUN --mount=type=cache,target=/root/.m2 \
    mvn --quiet --batch-mode --file flink/pom.xml dependency:go-offline
COPY flink/src flink/src
RUN --mount=type=cache,target=/root/.m2 \
    mvn --quiet --batch-mode --file flink/pom.xml -Dbundle.directory=/build/target package

FROM ${GO_IMAGE} AS boot
WORKDIR /build
COPY requirements/run.txt ./
# Of Beam's launcher for Python workers the release that the lock file has of Beam.
RUN --mount=type=cache,target=/go/pkg/mod --mount=type=cache,target=/root/.cache/go-build \
    beam=$(sed -n 's/^apache-beam==\([0-9.]*\).*/\1/p' run.txt) && test -n "$beam" && \
    CGO_ENABLED=0 GOBIN=/build go install -trimpath -ldflags=-s "github.com/apache/beam/sdks/v2/python/container@v$beam"

FROM ${PYTHON_IMAGE} AS flink
WORKDIR /build
COPY flink/lock ./
# Flink's scripts and its libraries, from PyPI by hash; of what comes with them only what a cluster runs.
# (The scripts come in a wheel for one Python and system, and are the same in all.)
RUN python -m pip install --no-cache-dir --disable-pip-version-check --no-deps --require-hashes --target scripts \
        --only-binary=:all: --implementation cp --python-version 3.11 --abi cp311 --platform manylinux2014_x86_64 \
        --requirement apache-flink.txt && \
    python -m pip install --no-cache-dir --disable-pip-version-check --no-deps --require-hashes --target jars \
        --requirement apache-flink-libraries.txt && \
    mkdir -p flink/log flink/plugins && \
    cp -r scripts/pyflink/bin scripts/pyflink/conf jars/pyflink/lib flink/ && \
    cp jars/pyflink/bin/*.jar flink/bin/ && \
    cp -r jars/pyflink/plugins/metrics-prometheus flink/plugins/ && \
    mkdir flink/lib/job && chmod +x flink/bin/*.sh

FROM ${PYTHON_IMAGE} AS python
WORKDIR /build
COPY requirements/pip.txt requirements/image.txt requirements/
RUN python -m venv /opt/venv && \
    /opt/venv/bin/python -m pip install --no-cache-dir --disable-pip-version-check --require-hashes \
        --requirement requirements/pip.txt && \
    /opt/venv/bin/python -m pip install --no-cache-dir --disable-pip-version-check --require-hashes \
        --requirement requirements/image.txt
COPY pyproject.toml setup.py README.md LICENSE ./
COPY beam_pcc beam_pcc
RUN /opt/venv/bin/python -m pip install --no-cache-dir --disable-pip-version-check --no-deps --no-build-isolation . && \
    /opt/venv/bin/python -m compileall -q /opt/venv/lib

FROM ${JAVA_IMAGE} AS java

FROM ${PYTHON_IMAGE}
ARG PYTHON_IMAGE
ARG VERSION=unknown
ARG REVISION=unknown
LABEL org.opencontainers.image.title="beam-pcc" \
      org.opencontainers.image.description="Privacy Case Classifier: a daily Apache Beam pipeline on Flink" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}" \
      org.opencontainers.image.base.name="${PYTHON_IMAGE}"
ENV FLINK_HOME=/opt/flink \
    JAVA_HOME=/opt/java/openjdk \
    PATH=/opt/venv/bin:/opt/flink/bin:/opt/java/openjdk/bin:$PATH \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1
# The numbers are what the manifests run as; nothing below may be written by them but what is mounted over it.
RUN groupadd --system --gid 9999 flink && \
    useradd --system --uid 9999 --gid flink --home-dir /opt/flink --no-create-home --shell /usr/sbin/nologin flink
COPY --from=java /opt/java/openjdk /opt/java/openjdk
COPY --from=flink /build/flink /opt/flink
COPY flink/conf/config.yaml /opt/flink/conf/config.yaml
COPY --from=runner /build/target/beam-pcc-flink-runner.jar /opt/flink/lib/
COPY --from=boot /build/container /opt/apache/beam/boot
COPY --from=python /opt/venv /opt/venv
COPY --chmod=755 docker/entrypoint.sh /docker-entrypoint.sh
# For Docker without a read-only root; on Kubernetes emptyDirs are mounted here.
RUN chown -R 9999:9999 /opt/flink/log /opt/flink/lib/job
USER 9999:9999
WORKDIR /opt/flink
EXPOSE 8081 9249
# Each role has another; Kubernetes has probes, and docker-compose.yml says them per service.
HEALTHCHECK NONE
ENTRYPOINT ["/docker-entrypoint.sh"]
CMD ["beam-pcc", "--help"]
