"""Credentials are found in every text of every file, and clinical text is none. The secrets here are made up at random."""

from __future__ import annotations

import base64
import json
import random
import string
import uuid
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fhirtasks.release.credentials import find_credentials, forms, kinds_in

rng = random.Random(7)


def some(alphabet: str, length: int) -> str:
    return "".join(rng.choice(alphabet) for _ in range(length))


WORD, HEX = string.ascii_letters + string.digits, "0123456789abcdef"
HEAD, BODY = base64.urlsafe_b64encode(b'{"alg":"HS256"}').decode().rstrip("="), some(WORD, 40)
SECRETS = {
    "a Hugging Face token": ["hf_" + some(WORD, 34), "api_org_" + some(string.ascii_letters, 34)],
    "a GitHub token": ["ghp_" + some(WORD, 36), "ghs_" + some(WORD, 36), "github_pat_" + some(WORD + "_", 82)],
    "a GitLab token": ["glpat-" + some(WORD, 20)],
    "an AWS access key": ["AKIA" + some(string.ascii_uppercase + "234567", 16)],
    "an AWS secret key": [f"aws_secret_access_key = {some(WORD + '/+', 40)}", f'"AwsSecretAccessKey": "{some(WORD, 40)}"'],
    "a signed AWS URL": ["https://b.s3.amazonaws.com/o?X-Amz-Signature=" + some(HEX, 64)],
    "a Google API key": ["AIza" + some(WORD, 35), "ya29." + some(WORD, 60)],
    "an Azure storage key": ["AccountName=a;AccountKey=" + some(WORD, 86) + "=="],
    "a Slack token": ["xoxb-" + some(string.digits, 12) + "-" + some(WORD, 24)],
    "a model provider's API key": ["sk-proj-" + some(WORD, 40), "sk-ant-api03-" + some(WORD, 60), "sk-" + some(WORD, 48)],
    "a Stripe key": ["sk_live_" + some(WORD, 24)],
    "an npm token": ["npm_" + some(WORD, 36)],
    "a PyPI token": ["pypi-AgEIcHlwaS5vcmc" + some(WORD, 80)],
    "a Docker token": ["dckr_pat_" + some(WORD, 27)],
    "a private key": [f"-----BEGIN {kind}-----\nMII" for kind in ("PRIVATE KEY", "RSA PRIVATE KEY", "PGP PRIVATE KEY BLOCK")],
    "a JSON Web Token": [f"eyJ{some(WORD, 20)}.eyJ{some(WORD, 60)}.{some(WORD, 43)}"],
    "an authorization header": [
        f"Authorization: Bearer {some(WORD, 20)}", f'"authorization": "Basic {some(WORD, 24)}"', f"bearer 1{some(WORD, 40)}",
    ],
    "a password in a URL": ["postgres://admin:s3cr3t@db.local/ehr", "https://u:pa55@fhir.org/Patient"],
    "a .netrc entry": ["machine physionet.org login me password s3cret", "machine h\n  login me\n  password abcdef"],
    "a setting with a secret": ["export OPENAI_API_KEY=" + some(WORD, 30), "DB_PASSWORD = 'correcthorse'", "HF_TOKEN=abcdefgh1"],
    "a secret in JSON": ['{"client_secret": "' + some(WORD, 20) + '"}', "{'password': 'hunter2hunter2'}"],
}  # fmt: skip
CASES = [(kind, secret) for kind, secrets in SECRETS.items() for secret in secrets]

CLINICAL = [
    str(uuid.UUID(int=rng.getrandbits(128))),
    some(HEX, 64),
    base64.b64encode(rng.randbytes(60_000)).decode(),
    base64.urlsafe_b64encode(rng.randbytes(60_000)).decode(),
    base64.b64encode(json.dumps({"resourceType": "Patient"}).encode()).decode(),
    '{"system":"http://hl7.org/fhir/sid/us-ssn","value":"999-45-3348"}',
    "GET http://localhost:8080/fhir/Observation?patient=1&code=http%3A%2F%2Floinc.org|4548-4&_sort=-date",
    "http://localhost:8080/fhir?_getpages=4f3c1a52-aaaa-bbbb-cccc-0123456789ab&_getpagesoffset=20",
    "https://example.org/Patient?identifier=http://hospital.org|a:b@c",
    "The bearer of this letter is a carrier of a BRCA1 mutation; pacemaker bearer since 2019.",
    "Password reset was discussed with the patient. Token economy in behavioural therapy: TOKEN = reward.",
    "urn:uuid:9c4ef2ae-dd61-5efe-885d-2a2f0816646f urn:oid:2.16.840.1.113883.4.3.25",
    "HF_TOKEN=$HF_TOKEN HF_TOKEN=<your token> Authorization: Bearer {token}, hf_xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx",
    "mailto:anna@clinic.example tel:+1-555-0100 sip:anna:pin@clinic",
    "risk-" + "a" * 48 + " task-" + "b" * 60 + " sk-1",
    "-----BEGIN CERTIFICATE----- -----BEGIN PUBLIC KEY-----",
    "2.16.840.1.113883.3.464.1003 LOINC 2823-3 RxNorm 313782 AKI stage 2, AKIA",
]


@pytest.mark.parametrize(("kind", "secret"), CASES, ids=[f"{kind} {number}" for number, (kind, _) in enumerate(CASES)])
@pytest.mark.parametrize("around", ["{}", "see: {} end", '"{}"', "a\\n{}\\n", "\t{}", "({})", "ключ={}"])
def test_every_form_is_found_wherever_it_stands(kind: str, secret: str, around: str) -> None:
    assert kind in kinds_in(around.replace("{}", secret))


@pytest.mark.parametrize("text", CLINICAL, ids=range(len(CLINICAL)))
def test_clinical_text_is_none(text: str) -> None:
    assert kinds_in(text) == []


def test_every_form_of_the_table_is_tried_here() -> None:
    assert [form.kind for form in forms()] == list(SECRETS)
    assert all(form.source.startswith("https://") for form in forms())


@given(st.binary(max_size=3_000))
def test_base64_is_none(data: bytes) -> None:
    assert kinds_in(base64.b64encode(data).decode()) == [] == kinds_in(base64.urlsafe_b64encode(data).decode())


def test_files_are_searched_by_row_and_column(tmp_path: Path) -> None:
    """Arrow's search finds what Python's does, at any depth and in every kind of file; the secret is not shown."""
    for number, (kind, secret) in enumerate(CASES):
        folder = tmp_path / str(number)
        folder.mkdir()
        table = pa.table(
            {
                "id": ["a", "b", "c"],
                "n": [1, 2, 3],
                "messages": [[{"role": "user", "content": "hi"}], [], [{"role": secret, "content": None}]],
                "deep": pa.array([None, [["x"], [f"say {secret}"]], [[None]]], pa.list_(pa.list_(pa.string()))),
                "bytes": [secret.encode(), b"\xff", b""],
                "few": pa.array(["y", "y", secret]).dictionary_encode(),
            }
        )  # fmt: skip
        pq.write_table(table.replace_schema_metadata({b"note": secret.encode()}), folder / "t.parquet")
        (folder / "lines.jsonl").write_text(json.dumps({"a": 1}) + "\n" + json.dumps({"a": secret}) + "\n")
        found = find_credentials(folder, ["t.parquet", "lines.jsonl"])
        places = {(one.file, one.row, one.column) for one in found if one.kind == kind}
        expected = {
            ("t.parquet", 0, "metadata"), ("t.parquet", 2, "messages.role"), ("t.parquet", 1, "deep"),
            ("t.parquet", 0, "bytes"), ("t.parquet", 2, "few"), ("lines.jsonl", 1, ""),
        }  # fmt: skip
        assert places == expected, kind
        assert not any(secret in str(one) for one in found)


def test_rows_count_over_row_groups(tmp_path: Path) -> None:
    texts = ["nothing"] * 10_000
    texts[9_876] = SECRETS["a Hugging Face token"][0]
    pq.write_table(pa.table({"text": texts}), tmp_path / "t.parquet", row_group_size=1_000)
    (found,) = find_credentials(tmp_path, ["t.parquet"])
    assert str(found) == "t.parquet, row 9876, text: a Hugging Face token"


@pytest.mark.shared
def test_real_records_hold_none(shared: Path, tmp_path: Path) -> None:
    import gzip

    for file in [
        *sorted((shared / "synthea-ndjson").glob("*.gz")),
        shared / "mimic-iv-demo-fhir" / "MimicPatient.ndjson.gz",
    ]:
        (tmp_path / file.name.removesuffix(".gz")).write_bytes(gzip.decompress(file.read_bytes()))
    assert find_credentials(tmp_path, sorted(path.name for path in tmp_path.iterdir())) == []
