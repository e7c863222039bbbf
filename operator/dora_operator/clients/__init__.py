"""Clients of the servers outside: the Kubernetes API and Datadog's API. They send requests and decide nothing."""
