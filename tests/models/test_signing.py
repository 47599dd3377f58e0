"""Signed versions: with a configured key or certificate, no other version is loaded. Uses real keys and signatures."""

import base64
import datetime as dt
import json
import shutil
from pathlib import Path
from typing import Any

import model_signing
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from beam_pcc.cli import main as cli
from beam_pcc.config.settings import Signer
from beam_pcc.errors import ConfigurationError, ModelError
from beam_pcc.models import checking
from beam_pcc.models.registry import Registry
from tests.models.versions import copies

VERSION = "v20261120_020000"
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")  # of the libraries that sign


@pytest.fixture
def models(tmp_path: Path, registry: Path) -> Path:
    return copies(registry, tmp_path / "models", VERSION)


def write_key(path: Path) -> tuple[Path, Path, ec.EllipticCurvePrivateKey]:
    key = ec.generate_private_key(ec.SECP256R1())
    pem = serialization.Encoding.PEM
    private, public = path.with_suffix(".key"), path.with_suffix(".pub")
    private.write_bytes(key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()))
    public.write_bytes(key.public_key().public_bytes(pem, serialization.PublicFormat.SubjectPublicKeyInfo))
    return private, public, key


def test_a_signed_version_is_used(models: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    private, public, _ = write_key(tmp_path / "ours")
    assert cli.main(["models", "sign", VERSION, "--models", str(models), "--private_key", str(private)]) == 0
    assert cli.main(["models", "verify", "--models", str(models), "--model_public_key", str(public)]) == 0

    output = capsys.readouterr().out
    assert f"signature   {models}/{VERSION}/model.sig" in output
    assert "signature   good" in output


def test_a_version_without_a_signature_is_refused(models: Path, tmp_path: Path) -> None:
    _, public, _ = write_key(tmp_path / "ours")
    with pytest.raises(ModelError, match="is not signed, and a signature is asked for"):
        Registry(str(models), Signer(str(public))).load(VERSION)


def test_the_signature_of_another_key_is_refused(models: Path, tmp_path: Path) -> None:
    private, _, _ = write_key(tmp_path / "theirs")
    _, public, _ = write_key(tmp_path / "ours")
    Registry(str(models)).sign(VERSION, str(private))

    with pytest.raises(ModelError, match="has no good signature") as refused:
        Registry(str(models), Signer(str(public))).load(VERSION)
    assert str(refused.value).isprintable()


@pytest.mark.parametrize("file", ["metadata.json", "model.joblib", "model_card.md", "more.txt"])
def test_version_changed_after_signing_is_refused(models: Path, tmp_path: Path, file: str) -> None:
    private, public, _ = write_key(tmp_path / "ours")
    Registry(str(models)).sign(VERSION, str(private))
    with (models / VERSION / file).open("ab") as changed:
        changed.write(b" ")

    with pytest.raises(ModelError, match="has no good signature"):
        Registry(str(models), Signer(str(public))).load(VERSION)


def test_a_version_is_signed_once(models: Path, tmp_path: Path) -> None:
    private, _, _ = write_key(tmp_path / "ours")
    Registry(str(models)).sign(VERSION, str(private))
    with pytest.raises(ModelError, match="is there already; remove it to sign anew"):
        Registry(str(models)).sign(VERSION, str(private))


def test_a_file_that_is_no_key_cannot_sign(models: Path, tmp_path: Path) -> None:
    (tmp_path / "no.key").write_text("none")
    with pytest.raises(ConfigurationError, match="cannot sign"):
        Registry(str(models)).sign(VERSION, str(tmp_path / "no.key"))
    assert not (models / VERSION / "model.sig").exists()


def certificate(
    key: ec.EllipticCurvePrivateKey, name: str, issuer: x509.Certificate | None, signer: ec.EllipticCurvePrivateKey
) -> x509.Certificate:
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    now, leaf = dt.datetime.now(dt.timezone.utc), issuer is not None
    usage = dict.fromkeys(
        (
            "content_commitment",
            "key_encipherment",
            "data_encipherment",
            "key_agreement",
            "encipher_only",
            "decipher_only",
        ),
        False,
    )
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer.subject if issuer else subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - dt.timedelta(days=1))
        .not_valid_after(now + dt.timedelta(days=1))
        .add_extension(x509.BasicConstraints(ca=not leaf, path_length=None), critical=True)
        .add_extension(
            x509.KeyUsage(digital_signature=leaf, key_cert_sign=not leaf, crl_sign=not leaf, **usage), critical=True
        )
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(signer.public_key()), critical=False)
    )
    if leaf:
        builder = builder.add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.CODE_SIGNING]), critical=False)
    return builder.sign(signer, hashes.SHA256())


def test_certificates_are_taken_too(models: Path, tmp_path: Path) -> None:
    _, _, root_key = write_key(tmp_path / "root")
    private, _, leaf_key = write_key(tmp_path / "leaf")
    root = certificate(root_key, "our root", None, root_key)
    leaf = certificate(leaf_key, "our signer", root, root_key)
    other = certificate(leaf_key, "their root", None, leaf_key)
    for name, issued in (("root", root), ("leaf", leaf), ("other", other)):
        (tmp_path / f"{name}.pem").write_bytes(issued.public_bytes(serialization.Encoding.PEM))
    paths = {name: str(tmp_path / f"{name}.pem") for name in ("root", "leaf", "other")}

    Registry(str(models)).sign(VERSION, str(private), paths["leaf"], [paths["root"]])

    assert Registry(str(models), Signer(certificates=(paths["root"],))).load(VERSION)[0].name == VERSION
    with pytest.raises(ModelError, match="has no good signature"):
        Registry(str(models), Signer(certificates=(paths["other"],))).load(VERSION)


def test_missing_key_is_an_error_before_start(models: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["models", "verify", "--models", str(models), "--model_public_key", "none.pub"]) == 2
    assert "the key or certificate none.pub is not there" in capsys.readouterr().err


def test_signed_version_under_a_newer_name_is_refused(models: Path, tmp_path: Path) -> None:
    private, public, _ = write_key(tmp_path / "ours")
    Registry(str(models)).sign(VERSION, str(private))
    shutil.copytree(models / VERSION, models / "v20261121_020000")

    with pytest.raises(ModelError, match=f"has a signature of {VERSION}: it may be an older version under a new name"):
        Registry(str(models), Signer(str(public))).load("v20261121_020000")
    assert Registry(str(models), Signer(str(public))).check(VERSION).name == VERSION


def test_signature_without_a_version_is_refused(models: Path, tmp_path: Path) -> None:
    """As all were made before the name was signed."""
    private, public, _ = write_key(tmp_path / "ours")
    config = model_signing.signing.Config().use_elliptic_key_signer(private_key=private)
    shutil.copytree(models / VERSION, tmp_path / "version")
    config.sign(tmp_path / "version", models / VERSION / "model.sig")

    with pytest.raises(ModelError, match=r"does not say of which version.*sign it again with beam-pcc models sign"):
        Registry(str(models), Signer(str(public))).load(VERSION)


def test_second_envelope_does_not_hide_the_first(models: Path, tmp_path: Path) -> None:
    """Were one checked and the other read, the name could be forged."""
    private, public, _ = write_key(tmp_path / "ours")
    Registry(str(models)).sign(VERSION, str(private))
    newer = models / "v20261121_020000"
    shutil.copytree(models / VERSION, newer)
    bundle = json.loads((newer / "model.sig").read_text())
    payload = base64.b64decode(bundle["dsseEnvelope"]["payload"]).replace(VERSION.encode(), newer.name.encode())
    forged = {**bundle["dsseEnvelope"], "payload": base64.b64encode(payload).decode()}
    signatures = [
        {**bundle, "dsseEnvelope": forged},
        {**bundle, "dsseEnvelope": forged, "dsse_envelope": bundle["dsseEnvelope"]},
        {**bundle, "dsse_envelope": bundle["dsseEnvelope"]},
    ]
    for signature in signatures:
        (newer / "model.sig").write_text(json.dumps(signature))
        with pytest.raises(ModelError, match=r"has no good signature|has a signature"):
            Registry(str(models), Signer(str(public))).load(newer.name)


def test_empty_public_key_is_an_error(
    models: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("MODEL_PUBLIC_KEY", "")
    assert cli.main(["models", "verify", "--models", str(models)]) == 2
    assert "MODEL_PUBLIC_KEY is empty: name the PEM file of the key, or remove the setting" in capsys.readouterr().err


def test_empty_flag_does_not_turn_the_variable_off(models: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["models", "verify", "--models", str(models), "--model_public_key", ""]) == 2
    assert "is empty" in capsys.readouterr().err


def test_version_of_many_files_is_refused(models: Path, tmp_path: Path) -> None:
    private, _, _ = write_key(tmp_path / "ours")
    for number in range(200):
        (models / VERSION / f"{number}.txt").touch()
    with pytest.raises(ModelError, match="files; a version has a few"):
        Registry(str(models)).sign(VERSION, str(private))


def test_what_is_signed_is_what_was_checked(models: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Somebody swaps the model between the check and the signature."""
    private, public, _ = write_key(tmp_path / "ours")
    check = checking.check

    def swap(*arguments: Any, **options: Any) -> Any:
        checked = check(*arguments, **options)
        (models / VERSION / "model.joblib").write_bytes(b"another")
        return checked

    monkeypatch.setattr(checking, "check", swap)
    Registry(str(models)).sign(VERSION, str(private))
    monkeypatch.undo()

    with pytest.raises(ModelError, match="has no good signature"):
        Registry(str(models), Signer(str(public))).check(VERSION)
