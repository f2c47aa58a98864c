"""All cases. Each module of cases adds its cases when imported."""

from tests.conformance.runtime_api import cases_extensions, cases_many
from tests.conformance.runtime_api.cases import CASES, Case

__all__ = ["ALL"]

MODULES = (cases_many, cases_extensions)
ALL: list[Case] = sorted(CASES, key=lambda case: (case.number, case.mode))
