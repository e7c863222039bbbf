"""What the operator does from an event of Kubernetes to its request and its status: a traced run, `make walk`."""
