"""Datadog's own client in threads, so many requests at once.

Run as a process: python -m bench.peers.official_client URL COUNT CONCURRENCY
"""

import sys
from concurrent.futures import ThreadPoolExecutor

from datadog_api_client import ApiClient, Configuration
from datadog_api_client.v2.api.dora_metrics_api import DORAMetricsApi
from datadog_api_client.v2.model.dora_deployment_patch_request import DORADeploymentPatchRequest
from datadog_api_client.v2.model.dora_deployment_patch_request_attributes import DORADeploymentPatchRequestAttributes
from datadog_api_client.v2.model.dora_deployment_patch_request_data import DORADeploymentPatchRequestData
from datadog_api_client.v2.model.dora_deployment_patch_request_data_type import DORADeploymentPatchRequestDataType

from bench.objects import deployment_id


def main(url: str, count: int, concurrency: int) -> None:
    """Send one PATCH for each deployment."""
    configuration = Configuration(  # type: ignore[no-untyped-call]
        server_index=1,
        server_variables={"protocol": "http", "name": url.removeprefix("http://")},
        api_key={"apiKeyAuth": "a", "appKeyAuth": "b"},
    )
    with ApiClient(configuration) as client, ThreadPoolExecutor(concurrency) as threads:
        api = DORAMetricsApi(client)  # type: ignore[no-untyped-call]

        def send(number: int) -> None:
            name = deployment_id(number)
            data = DORADeploymentPatchRequestData(
                attributes=DORADeploymentPatchRequestAttributes(change_failure=True),
                id=name,
                type=DORADeploymentPatchRequestDataType.DORA_DEPLOYMENT_PATCH_REQUEST,
            )
            api.patch_dora_deployment(name, DORADeploymentPatchRequest(data=data))

        for _ in threads.map(send, range(count)):
            pass


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]))
