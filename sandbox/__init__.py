"""What stands in for the outside world: a local cluster, and Datadog's DORA API."""
