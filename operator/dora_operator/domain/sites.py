"""Datadog's sites: the only table from which the operator's hosts come.

A resource can choose a site of this table, never a host.
Source: server list of datadog-api-client 2.62.0 (`configuration.py`) and Datadog's page "Getting started with sites".
"""

from enum import StrEnum


class Site(StrEnum):
    """A Datadog site, written as in `DD_SITE`."""

    US1 = "datadoghq.com"
    US3 = "us3.datadoghq.com"
    US5 = "us5.datadoghq.com"
    EU1 = "datadoghq.eu"
    AP1 = "ap1.datadoghq.com"
    AP2 = "ap2.datadoghq.com"
    UK1 = "uk1.datadoghq.com"
    US1_FED = "ddog-gov.com"
    US2_FED = "us2.ddog-gov.com"


def api_url(site: Site) -> str:
    return f"https://api.{site.value}"
