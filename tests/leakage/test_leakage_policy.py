"""The policy decides what counts; what is wrong in a policy file is named."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from fhirtasks.benchmarks.heldout import HeldOut
from fhirtasks.errors import UserError
from fhirtasks.leakage.holdouts import Holdouts
from fhirtasks.leakage.matcher import Matcher
from fhirtasks.leakage.policy import Policy, read_policy
from fhirtasks.leakage.probes import MATCHERS

HELD = Holdouts.of([HeldOut("a", "1", identifiers=("Q7654321",))])


def write(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "policy.json"
    path.write_text(text)
    return path


def test_the_default_has_a_rule_for_every_matcher_and_reads_back() -> None:
    policy = Policy.default()
    assert [rule.matcher for rule in policy.rules] == list(MATCHERS)
    assert all(policy.decides(matcher) for matcher in MATCHERS)


def test_a_file_states_what_differs(tmp_path: Path) -> None:
    policy = read_policy(write(tmp_path, '{"identifier": {"decides": false}, "near_duplicate": {"jaccard": 0.9}}'))
    assert not policy.decides("identifier") and policy.at("near_duplicate", "jaccard") == 0.9
    assert policy.whole("person", "gap") == Policy.default().whole("person", "gap")
    assert policy.digest != Policy.default().digest
    again = read_policy(write(tmp_path, json.dumps(policy.as_json())))
    assert again == policy and again.digest == policy.digest


def test_a_matcher_that_does_not_decide_still_reports(tmp_path: Path) -> None:
    policy = read_policy(write(tmp_path, '{"identifier": {"decides": false}}'))
    (match,) = Matcher(HELD, policy).find("see Q7654321")
    assert not match.decisive and Matcher(HELD, policy).leak("see Q7654321") is None
    assert Matcher(HELD).leak("see Q7654321") is not None


def test_a_threshold_is_heard(tmp_path: Path) -> None:
    policy = read_policy(write(tmp_path, '{"identifier": {"shortest": 9}}'))
    assert Matcher(HELD, policy).find("see Q7654321") == []


@pytest.mark.parametrize(
    ("text", "clause"),
    [
        ("{", "is not JSON"),
        ("[]", "is no JSON object"),
        ('{"names": {}}', "there is no matcher 'names'"),
        ('{"person": 1}', "person is no JSON object"),
        ('{"person": {"gaps": 1}}', "person has no threshold 'gaps'"),
        ('{"person": {"gap": 0}}', "person.gap is 0; it takes a whole number from 1"),
        ('{"person": {"gap": 1.5}}', "takes a whole number"),
        ('{"person": {"decides": 1}}', "takes true or false"),
        ('{"ngram": {"containment": 2}}', "takes a number above 0 and up to 1"),
        ('{"ngram": {"containment": "much"}}', "takes a number above 0 and up to 1"),
    ],
)
def test_a_wrong_policy_is_refused(tmp_path: Path, text: str, clause: str) -> None:
    with pytest.raises(UserError) as caught:
        read_policy(write(tmp_path, text))
    assert clause in str(caught.value) and "policy.json" in str(caught.value)


def test_a_missing_policy_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="Cannot read the policy"):
        read_policy(tmp_path / "none.json")
