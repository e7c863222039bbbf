"""Writes the pages of the documentation that repeat what the models say. Development only: no operator imports it.

`python -m tools.reference` writes, `--check` says what is out of date.
"""
