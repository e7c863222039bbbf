"""The generated parts of the Helm chart: CRD, settings with their schema, and the table of the README.

`python -m tools.chart` writes them, `python -m tools.chart --check` prints which are out of date. It needs no Helm.
"""
