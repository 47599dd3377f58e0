"""Validates manifests strictly. Run by the linters' own Python: validate.py CRDS... < manifests.json > problems.json

Kubernetes' own kinds against its published schema, others against these CRDs: unknown fields are refused. A kind
that neither knows is a problem too, but for those that CRDS_ELSEWHERE names.
"""

import json
import sys
from pathlib import Path
from typing import Any

import jsonschema
import kubernetes_validate
import yaml

VERSION = "1.34"
CRDS_ELSEWHERE = {"PodMonitor", "PrometheusRule"}  # tested by promtool, and field by field


def closed(schema: dict[str, Any]) -> dict[str, Any]:
    """A CRD's schema in which only declared fields are valid."""
    strict = dict(schema)
    if strict.get("x-kubernetes-int-or-string"):
        strict.pop("type", None)
        strict["anyOf"] = [{"type": "integer"}, {"type": "string"}]
    if "properties" in strict:
        strict["properties"] = {name: closed(below) for name, below in strict["properties"].items()}
        if not strict.get("x-kubernetes-preserve-unknown-fields"):
            strict["additionalProperties"] = False
    if isinstance(strict.get("items"), dict):
        strict["items"] = closed(strict["items"])
    if isinstance(strict.get("additionalProperties"), dict):
        strict["additionalProperties"] = closed(strict["additionalProperties"])
    return strict


def schemas(paths: list[str]) -> dict[tuple[str, str], dict[str, Any]]:
    schemas = {}
    for path in paths:
        crd = yaml.safe_load(Path(path).read_text())["spec"]
        for version in crd["versions"]:
            schema = closed(version["schema"]["openAPIV3Schema"])
            schema["properties"] |= {"apiVersion": {}, "kind": {}, "metadata": {"type": "object"}}
            schemas[f"{crd['group']}/{version['name']}", crd["names"]["kind"]] = schema
    return schemas


def problem(manifest: dict[str, Any], custom: dict[tuple[str, str], dict[str, Any]]) -> str | None:
    kind = (manifest["apiVersion"], manifest["kind"])
    where = f"{kind[1]} {manifest['metadata'].get('name')}"
    if kind in custom:
        errors = jsonschema.Draft7Validator(custom[kind]).iter_errors(manifest)
        return next((f"{where}: {'.'.join(map(str, e.absolute_path))}: {e.message[:300]}" for e in errors), None)
    if kind[1] in CRDS_ELSEWHERE or (kind[1] == "FlinkDeployment" and not custom):
        return None
    try:
        kubernetes_validate.validate(manifest, VERSION, strict=True)
    except Exception as error:
        return f"{where}: {str(error)[:300]}"
    return None


if __name__ == "__main__":
    custom = schemas(sys.argv[1:])
    json.dump([words for one in json.load(sys.stdin) if (words := problem(one, custom))], sys.stdout)
