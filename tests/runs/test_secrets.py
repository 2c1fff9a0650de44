"""Keys are blacked out, words that are none stay, and no text takes long."""

import time

import pytest

from vit.runs import secrets
from vit.runs.secrets import BLACK, blacked_out, without_secrets

SECRETS = [
    "AKIAIOSFODNN7EXAMPLE",
    "ghp_" + "a1B2" * 9,
    "github_pat_11ABCDEFG0123456789abcdef",
    "glpat-abcdefghij0123456789",
    "hf_" + "aB3x" * 8,
    "wandb_v1_" + "a1B2" * 8,
    "sk-proj-abc123ABC123abc123ABC123",
    "sk-ant-api03-abcdefgh0123456789",
    "xoxb-1234567890-abcdef",
    "AIza" + "a1B2c" * 7,
    "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0NTY3ODkwIn0.dozjgNryP4J3jVmNHl0w5N",
]
NAMED = {
    "password=hunter2": "hunter2",
    'db_password = "hun ter"': "hun ter",
    "{'password': 'hunter2', 'user': 'me'}": "hunter2",
    "--password hunter2": "hunter2",
    "MYSQL_PWD=x9": "x9",
    "client_secret: abcdef": "abcdef",
    "WANDB_API_KEY=" + "0f" * 20: "0f0f",
    "aws_secret_access_key = wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY": "wJalr",
    '"api_key": "abc123def456"': "abc123",
    "data.token=abcd1234efgh": "abcd1234",
    "--auth-token abcd1234efgh": "abcd1234",
    "Authorization: Bearer abc.def-123456": "abc.def",
    "https://me:hunter2@host/repository": "hunter2",
    "postgres://me:hunter2@host:5432/runs": "hunter2",
    "https://0123456789abcdef0123@github.com/a/b": "0123456789abcdef",
    "+-----BEGIN RSA PRIVATE KEY-----\n+MIIabc\n+def\n+-----END RSA PRIVATE KEY-----": "MIIabc",
    "-----BEGIN PRIVATE KEY-----\nMIIabc, and then it was cut": "MIIabc",
}
PLAIN = [
    "vit train seed=1 hydra.run.dir=runs/a1b2c3d4e5f6a1b2c3d4e5f6a1b2c3d4e5f6a1b2",
    "commit 0f1e2d3c4b5a69788796a5b4c3d2e1f000112233",
    "data.max_tokens=128 backbone.class_token=true",
    "token_accuracy 0.9312, tokens 12345678",
    "tokenizer = Tokenizer(path1)",
    "token = os.environ['TOKEN1']",
    "password = getpass()",
    "if password == given:",
    "password=${oc.env:PASSWORD}",
    "password: null",
    "the key: rope2d",
    "https://host/path@2x.png",
    "2026-11-29 14:00:00,123 INFO vit: epoch 3/20  step 1200  train/loss 0.5310",
    "",
]


@pytest.mark.parametrize("secret", SECRETS)
def test_keys_are_known_by_their_form_wherever_they_stand(secret):
    for text in (secret, f"+x = '{secret}'", f"config: {{a: {secret}}}", f"--words {secret} more"):
        assert secret not in blacked_out(text) and BLACK in blacked_out(text)


@pytest.mark.parametrize("text", NAMED)
def test_values_are_known_by_the_name_before_them(text):
    assert NAMED[text] not in blacked_out(text)


@pytest.mark.parametrize("text", PLAIN)
def test_other_words_stay(text):
    assert blacked_out(text) == text


def test_in_a_config_the_key_names_its_value():
    config = {
        "data": {"token": "abcd1234efgh", "password": "it's", "root": "/photos", "max_tokens": 12},
        "words": ["password=hunter2", "seed=1"],
        "optim": {"lr": 0.1, "name": None},
    }
    assert without_secrets(config) == {
        "data": {"token": BLACK, "password": BLACK, "root": "/photos", "max_tokens": 12},
        "words": [f"password={BLACK}", "seed=1"],
        "optim": {"lr": 0.1, "name": None},
    }


@pytest.mark.parametrize(
    "piece", ["a", "://", "password ", "--a", "eyJabcdefghi.", "password='", "token = ", "a://b:"]
)
def test_a_megabyte_of_anything_takes_no_time_that_grows_faster_than_it(piece):
    def seconds(letters):
        text = piece * (letters // len(piece))
        began = time.process_time()
        blacked_out(text)
        return time.process_time() - began

    assert seconds(200_000) < 2.0


def test_a_megabyte_with_a_few_suspect_lines_is_looked_through_for_those_alone(monkeypatch):
    asked = []
    looked = secrets._named_blacked_out
    monkeypatch.setattr(secrets, "_named_blacked_out", lambda t: asked.append(t) or looked(t))
    plain = "+    for row in rows: print(row)\n" * 30_000
    odd = "password:\n\n  'hunter2'\nplain\napi_key = abc123def456"
    told = blacked_out(f"{plain}{odd}\n{plain}")
    assert told == f"{plain}{looked(odd)}\n{plain}" and "hunter2" not in told
    assert "abc123" not in told and sum(map(len, asked)) < 200
    for text in ("", "\n", "key", "\n\nkey=\n\n", "a\nkey\nb\nc\n"):
        assert blacked_out(text) == text
