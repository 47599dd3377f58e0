"""Builds and pushes the image of a checkout to the account's registry, unless its tag exists."""

from __future__ import annotations

import datetime as dt
import re
import subprocess

from beam_pcc.deploy.console import Console
from beam_pcc.deploy.overlays import Checkout
from beam_pcc.deploy.settings import Aws, Image
from beam_pcc.errors import ConfigurationError, RunError

REPOSITORY = "beam-pcc"
_DIGEST = re.compile(r"sha256:[0-9a-f]{64}")


def publish(console: Console, checkout: Checkout, aws: Aws, now: dt.datetime) -> Image | None:
    """The image of this checkout by digest; with `dry_run` None.

    Tags are immutable: an image that was pushed for another overlay is used, and not pushed again.

    Raises:
        RunError: A command failed.
    """
    region = ("--region", aws.region)
    tag = "TAG" if console.dry_run else _tag(checkout, now)
    name = f"{aws.registry}/{REPOSITORY}"
    if not console.succeeds("aws", "ecr", "describe-repositories", "--repository-names", REPOSITORY, *region):
        console.say(f"image registry     making the repository {REPOSITORY}")
        console.change(
            *("aws", "ecr", "create-repository", "--repository-name", REPOSITORY, *region),
            *("--image-tag-mutability", "IMMUTABLE", "--image-scanning-configuration", "scanOnPush=true"),
            to_stderr=True,
        )
    digest = _digest(console, aws, tag)
    if digest is not None:
        console.say(f"image              {tag} is in the registry already: not built again")
        return Image(name, digest)
    console.say(f"image              building and pushing {tag}")
    console.pipe(
        ("aws", "ecr", "get-login-password", *region),
        ("docker", "login", "--username", "AWS", "--password-stdin", aws.registry),
    )
    context = checkout.shown(checkout.root)
    build = ("docker", "build", "--platform", "linux/amd64", "--build-arg", f"REVISION={tag}", "--tag", f"{name}:{tag}")
    console.change(*build, context, to_stderr=True)
    console.change("docker", "push", f"{name}:{tag}", to_stderr=True)
    digest = _digest(console, aws, tag)
    if console.dry_run:
        return None
    if digest is None:
        raise RunError(f"the registry does not know the image {tag} that was just pushed; try again")
    return Image(name, digest)


def _digest(console: Console, aws: Aws, tag: str) -> str | None:
    """The digest of a tag in the registry; None if the tag does not exist."""
    result = console.ask(
        *("aws", "ecr", "describe-images", "--repository-name", REPOSITORY, "--region", aws.region),
        *("--image-ids", f"imageTag={tag}", "--query", "imageDetails[0].imageDigest", "--output", "text"),
    )
    if result.succeeded:
        return result.output if _DIGEST.fullmatch(result.output) else None
    if console.dry_run or "ImageNotFoundException" in result.error:
        return None
    raise RunError(f"the images of {REPOSITORY} cannot be listed: {result.error}")


def _tag(checkout: Checkout, now: dt.datetime) -> str:
    """The commit, with the time if the checkout has changes: a tag names one image. Without a commit only the time."""
    time = f"{now:%Y%m%d%H%M%S}"
    commit = _git(checkout, "rev-parse", "--short=12", "HEAD")
    if commit is None or not re.fullmatch(r"[0-9a-f]{7,40}", commit):
        return time
    return commit if _git(checkout, "status", "--porcelain") == "" else f"{commit}-{time}"


def _git(checkout: Checkout, *arguments: str) -> str | None:
    """The output of git; None if it fails or is not installed."""
    try:
        done = subprocess.run(  # noqa: S603 - constant arguments, for the user's git
            ["git", "-C", str(checkout.root), *arguments],  # noqa: S607
            capture_output=True,
            text=True,
            stdin=subprocess.DEVNULL,
        )
    except OSError:
        return None
    return done.stdout.strip() if done.returncode == 0 else None


def placeholder(aws: Aws) -> Image:
    """The image in the output of a dry run."""
    return Image(f"{aws.registry}/{REPOSITORY}", "sha256:DIGEST")


def require_digest(text: str | None) -> Image:
    """Parse --image. Raises ConfigurationError if it is missing or names no digest."""
    if not text:
        raise ConfigurationError("render needs --image NAME@sha256:...: what is committed says exactly what runs")
    return Image.parse(text)
