"""Mutation tests of `domain/`: mutmut changes each function in one place at a time, and a unit test has to fail.

`workspace` copies the operator and writes mutmut's mutants into the copy, `runner` runs the tests of each in a fork,
`report` prints the score and what survived. mutmut's own runner starts pytest again for each mutant and knows no
package below `operator/`; this one collects the tests once.
"""
