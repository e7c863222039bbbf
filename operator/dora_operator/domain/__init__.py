"""Decisions as values: what a DoraDeployment asks for, what an answer means, what its status says.

Nothing here may import a framework, open a connection, read the environment or ask for the time:
`now` and random numbers are arguments.
"""
