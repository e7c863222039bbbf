"""The demo: real resources on a real API server, the operator, and what Datadog received, side by side."""
