"""One rule for tags everywhere: in the models, in pod labels, and in the CRD's CEL rules."""

import celpy
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from dora_operator import crd
from dora_operator.domain.fields import is_deployment_id, is_tag
from dora_operator.domain.spec import DeploymentSelector, DoraDeploymentSpec

DEPLOYMENT = crd.structural_schema(DoraDeploymentSpec)["properties"]["deployment"]["properties"]


def passes_crd(field: str, value: str) -> bool:
    """Check a value as the API server does: its length, and the CEL rule (whose engine is RE2, here too)."""
    schema = DEPLOYMENT[field]
    (rule,) = schema["x-kubernetes-validations"]
    environment = celpy.Environment()
    program = environment.program(environment.compile(rule["rule"]))
    is_matched = bool(program.evaluate({"self": celpy.json_to_cel(value)}))
    return is_matched and schema["minLength"] <= len(value) <= schema["maxLength"] and "pattern" not in schema


def passes_model(field: str, value: str) -> bool:
    """Check a value as the operator does when it reads a spec."""
    try:
        DeploymentSelector(**{field: value})
    except ValidationError:
        return False
    return True


@pytest.mark.parametrize(
    ("value", "is_valid"),
    [
        pytest.param("1.5.0", True, id="a version"),
        pytest.param("a b/c:d", True, id="a space inside"),
        pytest.param("a\u00a0b", True, id="a no-break space inside"),
        pytest.param("zürich-\U0001f680", True, id="letters and signs of any script"),
        pytest.param("a" * 200, True, id="200 characters"),
        pytest.param("a" * 201, False, id="201 characters"),
        pytest.param("", False, id="empty"),
        pytest.param("a\u200bb", False, id="a zero-width space"),
        pytest.param("\ufeffa", False, id="a byte order mark"),
        pytest.param("a\u202eb", False, id="a change of direction"),
        pytest.param("a\u00adb", False, id="a soft hyphen"),
        pytest.param("a\nb", False, id="a line break"),
        pytest.param("a\u2028b", False, id="a line separator"),
        pytest.param("a\u2029b", False, id="a paragraph separator"),
        pytest.param("a\n", False, id="a line break at the end"),
        pytest.param("a\x7fb", False, id="a control character"),
        pytest.param("a\x85b", False, id="another control character"),
        pytest.param(" a", False, id="a space at the beginning"),
        pytest.param("a ", False, id="a space at the end"),
        pytest.param("a\u00a0", False, id="a no-break space at the end"),
        pytest.param("a\u3000", False, id="an ideographic space at the end"),
    ],
)
def test_tags(value: str, *, is_valid: bool) -> None:
    """The API server, the spec model and the check of pod labels agree."""
    assert [passes_crd("version", value), passes_model("version", value), is_tag(value)] == [is_valid] * 3


ODD = ["\u200b", "\ufeff", "\u00a0", "\u3000", "\u2028", "\u2029", "\x00", "\t", "\n", "\x7f", "\u00ad", " ", "é", "a"]


@given(st.text(alphabet=st.sampled_from(ODD), max_size=6))
def test_tags_agree_everywhere(value: str) -> None:
    """Whatever the characters and their order."""
    assert passes_crd("service", value) == passes_model("service", value) == is_tag(value)


@given(st.text(alphabet=st.sampled_from("aZ9_.:-/\n é"), min_size=9, max_size=14))
def test_ids_agree_everywhere(value: str) -> None:
    """The same for ids."""
    assert passes_crd("id", value) == passes_model("id", value) == is_deployment_id(value)


@pytest.mark.parametrize("value", [None, 7, True, b"1.5.0", ["1.5.0"], "a\ud800b"])
def test_what_is_no_text_is_no_tag(value: object) -> None:
    """Annotations and labels of raw objects may be anything."""
    assert not is_tag(value)
    assert not is_deployment_id(value)
