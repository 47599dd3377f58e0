"""Containers without Docker and without a registry: Debian's buildah, podman and runc, run as root.

The images that the Dockerfile is built on cannot be pulled everywhere. Others take their place: a Debian that
debootstrap makes, with this machine's JDK, Maven and Go. All is kept in a storage of the tests' own. The image is
built once for each content.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from tests.emulators.environment import find_python as emulators_python

ROOT = Path(__file__).parent.parent.parent
CACHE = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "beam-pcc/containers"
DEBIAN = "bookworm"
PACKAGES = ("ca-certificates", "python3", "python3-venv", "python3-pip")
TOOLS = ("buildah", "podman", "runc", "debootstrap", "ip", "ss", "nsenter", "java", "mvn", "go")
CERTIFICATES = Path("/etc/ssl/certs/ca-certificates.crt")
_CONFIGURATION = """\
[containers]
default_ulimits = ["nofile=20000:20000", "nproc=20000:20000"]
[engine]
cgroup_manager = "cgroupfs"
events_logger = "file"
runtime = "runc"
"""
_STORAGE = """\
[storage]
driver = "overlay"
graphroot = "{folder}/graph"
runroot = "{folder}/run"
"""
# What a stage of the Dockerfile finds in the image that it is built on, beside Debian.
_STAND_INS = {
    "java": "COPY jdk /opt/java/openjdk",
    "maven": "COPY jdk /opt/java/openjdk\nCOPY maven /usr/share/maven\nENV JAVA_HOME=/opt/java/openjdk\n"
    "RUN ln -s /usr/share/maven/bin/mvn /opt/java/openjdk/bin/java /usr/local/bin/",
    "go": "COPY go /usr/local/go\nENV PATH=/usr/local/go/bin:/usr/sbin:/usr/bin:/sbin:/bin",
    "python3.13": "COPY python3.13 /usr/local\nRUN ldconfig",
}


def require_tools() -> None:
    """Skip the test, in one line, where a tool or a right is missing; fail it with CI=true."""
    words = _why_not()
    if words:
        pytest.fail(words) if os.environ.get("CI") == "true" else pytest.skip(words)


def _why_not() -> str:
    lacking = [tool for tool in TOOLS if shutil.which(tool) is None]
    why = f"{', '.join(lacking)} not found" if lacking else "not run as root" if os.geteuid() else ""
    why = why or ("" if emulators_python() else "Python 3.13 not found")
    return (
        f"{why}: the tests in containers are left out (apt-get install buildah podman runc debootstrap)" if why else ""
    )


def podman(*arguments: object, check: bool = True, timeout: float = 600) -> subprocess.CompletedProcess[str]:
    """Call podman on the tests' own storage."""
    return _call("podman", *arguments, check=check, timeout=timeout)


def _call(*command: object, check: bool = True, timeout: float = 3600) -> subprocess.CompletedProcess[str]:
    done = subprocess.run(
        [str(word) for word in command], capture_output=True, text=True, env=environment(), timeout=timeout, check=False
    )
    if check and done.returncode != 0:
        raise RuntimeError(f"{' '.join(map(str, command[:3]))} ended with {done.returncode}:\n{done.stderr[-4000:]}")
    return done


def environment() -> dict[str, str]:
    """What buildah and podman read of their configuration, and nothing that Google's clients would."""
    CACHE.mkdir(parents=True, exist_ok=True)
    files = {"containers.conf": _CONFIGURATION, "storage.conf": _STORAGE.format(folder=CACHE)}
    for name, text in files.items():
        if not (CACHE / name).exists() or (CACHE / name).read_text() != text:
            (CACHE / name).write_text(text)
    return {
        **{name: os.environ[name] for name in ("PATH", "HOME", "TMPDIR") if name in os.environ},
        "CONTAINERS_CONF": str(CACHE / "containers.conf"),
        "CONTAINERS_STORAGE_CONF": str(CACHE / "storage.conf"),
    }


def _exists(image: str) -> bool:
    return podman("image", "exists", image, check=False).returncode == 0


def _digest(*parts: str | bytes) -> str:
    digest = hashlib.sha256()
    for part in parts:
        digest.update(part.encode() if isinstance(part, str) else part)
        digest.update(b"\0")
    return digest.hexdigest()[:12]


def _say(words: str) -> None:
    print(words, file=sys.stderr, flush=True)


def base() -> str:
    """A minimal Debian with Python, and with this machine's certificates and settings of pip."""
    trusted = CERTIFICATES.read_bytes() if CERTIFICATES.exists() else b""
    pip = Path("/etc/pip.conf")
    settings = pip.read_bytes() if pip.exists() else b""
    name = f"localhost/pcc-base:{_digest(DEBIAN, *PACKAGES, trusted, settings)}"
    if _exists(name):
        return name
    _say("making a Debian for containers with debootstrap (a minute, the first time)")
    folder = CACHE / "base"
    shutil.rmtree(folder, ignore_errors=True)
    _call("debootstrap", "--variant=minbase", f"--include={','.join(PACKAGES)}", DEBIAN, folder)
    for marker in folder.glob("usr/lib/python3*/EXTERNALLY-MANAGED"):
        marker.unlink()
    (folder / "usr/bin/python").symlink_to("python3")
    (folder / CERTIFICATES.relative_to("/")).write_bytes(trusted)
    (folder / "etc/pip.conf").write_bytes(settings)
    for waste in ("var/cache/apt/archives", "var/lib/apt/lists"):
        shutil.rmtree(folder / waste)
    _call("bash", "-c", f"set -o pipefail; tar -C '{folder}' -c . | podman import - {name}")
    shutil.rmtree(folder)
    return name


def stand_ins() -> dict[str, str]:
    """Name to image, for each of the images that Dockerfiles are built on; their tools are this machine's."""
    below = base()
    java = Path(shutil.which("java") or "").resolve().parent.parent
    sources = {
        "jdk": java,
        "maven": Path(shutil.which("mvn") or "").resolve().parent.parent,
        "go": Path(_call("go", "env", "GOROOT").stdout.strip()),
        "python3.13": Path(_call(emulators_python(), "-c", "import sys; print(sys.base_prefix)").stdout.strip()),
    }
    versions = {"jdk": ("java", "--version"), "maven": ("mvn", "--version"), "go": ("go", "version")}
    images = {"python": below}
    for name, lines in _STAND_INS.items():
        needed = [source for source in sources if f"COPY {source} " in lines]
        outputs = [_call(*versions[source]).stdout if source in versions else str(sources[source]) for source in needed]
        images[name] = f"localhost/pcc-{name}:{_digest(below, lines, *outputs)}"
        if not _exists(images[name]):
            _stand_in(images[name], f"FROM {below}\n{lines}\n", {source: sources[source] for source in needed})
    return images


def _stand_in(image: str, dockerfile: str, sources: Mapping[str, Path]) -> None:
    _say(f"building {image}, which stands for one that the Dockerfile is built on")
    context = CACHE / "stand-in"
    shutil.rmtree(context, ignore_errors=True)
    context.mkdir()
    for name, source in sources.items():
        # Debian keeps a part of JDK and Maven elsewhere, by links, some of which lead nowhere.
        links = "--no-dereference" if name in ("go", "python3.13") else "--dereference"
        _call("cp", "--recursive", "--preserve=mode", links, source, context / name, check=False)
    for waste in ("jmods", "lib/src.zip", "man", "docs"):
        shutil.rmtree(context / "jdk" / waste, ignore_errors=True)
    (context / "Dockerfile").write_text(dockerfile)
    _build(context, "--tag", image)
    shutil.rmtree(context)


def image() -> str:
    """The project's image, of what the working tree holds now."""
    bases = {"MAVEN_IMAGE": "maven", "GO_IMAGE": "go", "PYTHON_IMAGE": "python", "JAVA_IMAGE": "java"}
    return _project("beam-pcc", "Dockerfile", bases)


def compose_image(target: str) -> str:
    """An image that docker-compose.yml also names: the emulators, or the one that fills them."""
    bases = {"PYTHON_IMAGE": "python3.13", "SEED_IMAGE": "python3.13"}
    return _project(f"beam-pcc-{target}", "docker/emulators/Dockerfile", bases, "--target", target)


def _project(name: str, dockerfile: str, bases: Mapping[str, str], *more: str) -> str:
    images = stand_ins()
    files = list(_context())
    tag = f"localhost/{name}:{_digest(*images.values(), *(str(f) for f in files), *(f.read_bytes() for f in files))}"
    if not _exists(tag):
        _say(f"building {name} (ten minutes the first time, then what has changed)")
        ignored = ROOT / f"{dockerfile}.dockerignore"
        more = (*more, "--ignorefile", str(ignored)) if ignored.exists() else more
        build_args = [
            word for argument, stage in bases.items() for word in ("--build-arg", f"{argument}={images[stage]}")
        ]
        _build(ROOT, "--file", dockerfile, "--layers", *build_args, *more, "--tag", tag)
        _forget_others(name, tag)
    return tag


def _forget_others(name: str, tag: str) -> None:
    """Remove earlier images of this name; the layers that the new one shares with them stay."""
    listed = podman("images", "--format={{.Repository}}:{{.Tag}}", f"localhost/{name}").stdout.split()
    for other in listed:
        if other != tag:
            podman("rmi", other, check=False)
    # Layers that the latest images do not share; those of the last hours make the next build of a day's work quick.
    podman("image", "prune", "--force", "--filter=until=12h", check=False)


def _context() -> Iterator[Path]:
    """Every file that the Dockerfile copies, and itself."""
    for name in (
        "beam_pcc",
        "docker",
        "flink",
        "requirements",
        "pyproject.toml",
        "setup.py",
        "README.md",
        "LICENSE",
        "tests/emulators",
    ):
        path = ROOT / name
        found = [path] if path.is_file() else sorted(path.rglob("*"))
        yield from (file for file in found if file.is_file() and "__pycache__" not in file.parts)
    yield ROOT / "Dockerfile"
    yield ROOT / ".dockerignore"


def _build(context: Path, *arguments: str) -> None:
    _call(
        "buildah", "bud", "--pull=never", "--isolation=chroot", "--network=host", "--format=docker", *arguments, context
    )


if __name__ == "__main__":  # before the tests, so that it is seen
    print(_why_not() or image())
