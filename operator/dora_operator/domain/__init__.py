"""Decisions as pure functions over values: what a DoraDeployment wants, what an answer means, what its status says.

Nothing here imports a framework, opens a connection, reads the environment or asks for the time: `now` and random
numbers are arguments.
"""
