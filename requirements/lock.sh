#!/usr/bin/env bash
# Rewrites the lock files from pyproject.toml: every version and hash, for Python 3.10 and later, on any system.
# The files contain no addresses. Needs uv (https://docs.astral.sh/uv/).
set -euo pipefail
cd "$(dirname "$0")/.."
printf 'setuptools>=77\n' >requirements/build.in # the build backend of an editable install, so that it is locked, too
lock() {
    uv pip compile --quiet --universal --python-version 3.10 --generate-hashes --no-header --no-annotate "$@"
}
lock pyproject.toml requirements/build.in --output-file requirements/run.txt
# For deployment, which calls other programs and writes YAML.
echo 'pyyaml>=6' | lock - requirements/build.in --constraints requirements/run.txt --output-file requirements/deploy.txt
lock pyproject.toml requirements/build.in --extra gcp --constraints requirements/run.txt --output-file requirements/gcp.txt
lock pyproject.toml requirements/build.in --extra text --extra export --constraints requirements/gcp.txt \
    --output-file requirements/text.txt
# For the image: the launcher verifies signatures, and the workers may score text.
lock pyproject.toml requirements/build.in --extra gcp --extra kubernetes --extra text --extra signing \
    --constraints requirements/text.txt --output-file requirements/image.txt
# The list of each extra, with the same versions.
for extra in kubernetes signing completion; do
    lock pyproject.toml requirements/build.in --extra "$extra" --constraints requirements/image.txt \
        --output-file "requirements/$extra.txt"
done
lock pyproject.toml requirements/build.in --extra gcp --extra kubernetes --extra text --extra export --extra openvino --extra signing \
    --extra dev --constraints requirements/image.txt --output-file requirements/dev.txt
lock pyproject.toml requirements/build.in --extra openvino --constraints requirements/dev.txt --output-file requirements/openvino.txt
lock pyproject.toml requirements/build.in --extra onnx --constraints requirements/image.txt --output-file requirements/onnx.txt
# Large, and for the machine that imports models: not in `dev`.
lock pyproject.toml requirements/build.in --extra import --constraints requirements/dev.txt --output-file requirements/import.txt
# torch without the compilers for GPUs; install.py installs this list without dependencies.
without_compilers=(--no-emit-package triton --no-emit-package cuda-bindings --no-emit-package cuda-pathfinder)
lock pyproject.toml requirements/build.in --extra sentence-transformers "${without_compilers[@]}" \
    --constraints requirements/dev.txt --output-file requirements/sentence-transformers.txt
rm requirements/build.in
# pip itself: the pip of an older Python reports a locked package with an extra as not locked.
echo pip | uv pip compile --quiet --universal --python-version 3.10 --generate-hashes --no-header --no-annotate \
    - --output-file requirements/pip.txt
# The emulators of the tests have a separate environment.
uv pip compile --quiet --python-version 3.13 --generate-hashes --no-header --no-annotate \
    tests/emulators/requirements.in --output-file tests/emulators/requirements.txt
# Flink's distribution, in the version of the pom: one package contains its scripts, another one its jars.
version=$(sed -n 's|.*<flink.version>\(.*\)</flink.version>.*|\1|p' flink/pom.xml)
for package in apache-flink apache-flink-libraries; do
    echo "$package==$version" | uv pip compile --quiet --no-deps --universal --python-version 3.10 --generate-hashes \
        --no-header --no-annotate - --output-file "flink/lock/$package.txt"
done
# The linters of manifests, Dockerfile and scripts have a separate environment: some need other versions than the project.
uv pip compile --quiet --universal --python-version 3.10 --generate-hashes --no-header --no-annotate \
    tests/manifests/requirements.in --output-file tests/manifests/requirements.txt
# The reference encoder has a separate environment: torch without the compilers for GPUs, installed without dependencies.
uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-header --no-annotate \
    "${without_compilers[@]}" \
    tests/encoders/reference.in --output-file tests/encoders/reference.txt
# So have the engines that beam_pcc is measured against.
for list in benchmarks/engines/requirements/*.in; do
    lock "$list" --constraints requirements/dev.txt --output-file "${list%.in}.txt"
done
