"""Measurements, each beside a peer in the same run. Prints tables; asserts nothing."""
