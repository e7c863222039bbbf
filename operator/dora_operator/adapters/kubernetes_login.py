"""The official client's login, for kubeconfigs that need more than certificates and tokens: plugins above all.

The only user of the kubernetes client, imported only where it is needed: it costs half a second and 14 MB.
"""

import os
import ssl
from collections.abc import Sequence
from pathlib import Path

from kubernetes.aio import config as kubernetes_config
from kubernetes.aio.client.configuration import Configuration
from kubernetes.aio.client.rest import RESTClientObject

from dora_operator.adapters.kubernetes_api import CannotLogInError, Login


async def log_in_by_client(kubeconfigs: Sequence[Path]) -> Login:
    """Read these kubeconfigs as one; the client by itself would look at KUBECONFIG when it is imported, not now.

    Raises:
        CannotLogInError: it cannot be used; the message says why.
    """
    configuration, named = Configuration(), os.pathsep.join(map(str, kubeconfigs))
    try:
        await kubernetes_config.load_kube_config(named, client_configuration=configuration)
    except (kubernetes_config.ConfigException, OSError) as error:
        raise CannotLogInError(f"the kubeconfig cannot be used: {error}") from error
    token = await configuration.get_api_key_with_prefix("BearerToken")
    context: ssl.SSLContext = RESTClientObject(configuration).ssl_context
    return Login(
        server=configuration.host,
        headers={"Authorization": token} if token else {},
        tls=context,
        server_name=configuration.tls_server_name,
        proxy=configuration.proxy,
    )
