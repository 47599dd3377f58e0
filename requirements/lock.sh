#!/usr/bin/env bash
# Rewrites the lock files from pyproject.toml: every version and hash, for Python 3.10 and later, on any system.
# No address is written. Needs uv (https://docs.astral.sh/uv/).
set -euo pipefail
cd "$(dirname "$0")/.."
printf 'setuptools>=77\n' >requirements/build.in # what an editable install builds with, so that nothing unlocked is fetched
lock() {
    uv pip compile --quiet --universal --python-version 3.10 --generate-hashes --no-header --no-annotate "$@"
}
lock pyproject.toml requirements/build.in --output-file requirements/run.txt
# What deploys to Kubernetes: it calls other programs and writes YAML.
echo 'pyyaml>=6' | lock - requirements/build.in --constraints requirements/run.txt --output-file requirements/deploy.txt
lock pyproject.toml requirements/build.in --extra gcp --constraints requirements/run.txt --output-file requirements/gcp.txt
lock pyproject.toml requirements/build.in --extra text --extra export --constraints requirements/gcp.txt \
    --output-file requirements/text.txt
# What every container of a run on Kubernetes has: the launcher's, that checks signatures, and the workers', that may
# score from text.
lock pyproject.toml requirements/build.in --extra gcp --extra kubernetes --extra text --extra signing \
    --constraints requirements/text.txt --output-file requirements/image.txt
# Of these the list of one extra each, for an installation that needs no other.
for extra in kubernetes signing; do
    lock pyproject.toml requirements/build.in --extra "$extra" --constraints requirements/image.txt \
        --output-file "requirements/$extra.txt"
done
lock pyproject.toml requirements/build.in --extra gcp --extra kubernetes --extra text --extra export --extra openvino --extra signing \
    --extra dev --constraints requirements/image.txt --output-file requirements/dev.txt
lock pyproject.toml requirements/build.in --extra openvino --constraints requirements/dev.txt --output-file requirements/openvino.txt
rm requirements/build.in
# What installs the lists: the pip that comes with an older Python takes a locked package with an extra for one without a version.
echo pip | uv pip compile --quiet --universal --python-version 3.10 --generate-hashes --no-header --no-annotate \
    - --output-file requirements/pip.txt
# The emulators of the tests have an environment of their own.
uv pip compile --quiet --python-version 3.13 --generate-hashes --no-header --no-annotate \
    tests/emulators/requirements.in --output-file tests/emulators/requirements.txt
# Flink's own distribution, of the version that the pom says: its scripts come in one package, its jars in another.
version=$(sed -n 's|.*<flink.version>\(.*\)</flink.version>.*|\1|p' flink/pom.xml)
for package in apache-flink apache-flink-libraries; do
    echo "$package==$version" | uv pip compile --quiet --no-deps --universal --python-version 3.10 --generate-hashes \
        --no-header --no-annotate - --output-file "flink/lock/$package.txt"
done
# So have the linters of manifests, Dockerfile and scripts: some of them need other versions of what the project needs.
uv pip compile --quiet --universal --python-version 3.10 --generate-hashes --no-header --no-annotate \
    tests/manifests/requirements.in --output-file tests/manifests/requirements.txt
# So has the reference encoder: torch without what only GPUs' compilers need, which is installed without dependencies.
uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-header --no-annotate \
    --no-emit-package triton --no-emit-package cuda-bindings --no-emit-package cuda-pathfinder \
    tests/encoders/reference.in --output-file tests/encoders/reference.txt
