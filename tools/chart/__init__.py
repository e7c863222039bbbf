"""The generated parts of the Helm chart: CRD, settings, their schema, and the table of the README.

`python -m tools.chart` writes them, `python -m tools.chart --check` says which are out of date. Needs no Helm.
"""
