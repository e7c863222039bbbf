"""The outside world, one module each: Datadog's API and the Kubernetes API. They act and decide nothing."""
