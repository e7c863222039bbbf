"""One rule for tags, ids and names everywhere: in the models, in pod labels, and in the CRD's CEL rules."""

import re
import unicodedata
from typing import Any

import celpy
import pytest
import re2
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from dora_operator import crd
from dora_operator.domain.fields import is_deployment_id, is_tag
from dora_operator.domain.resource import DeploymentSelector, DoraDeploymentSpec
from tests.support.builders import spec

CEL = re.compile(r"self\.matches\(r'(.*)'\)")


def pattern_of(field: str) -> str:
    """Return the pattern that the API server checks a field of spec.deployment with."""
    schema = crd.structural_schema(DoraDeploymentSpec)["properties"]["deployment"]["properties"][field]
    (rule,) = schema["x-kubernetes-validations"]
    found = CEL.fullmatch(rule["rule"])
    assert found is not None
    return found[1]


def is_in_model(field: str, value: str) -> bool:
    """Tell whether the model takes a value."""
    try:
        DeploymentSelector(**{field: value})
    except ValidationError:
        return False
    return True
