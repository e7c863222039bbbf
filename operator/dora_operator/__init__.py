"""The DORA operator: keeps Datadog DORA Metrics honest about changes that failed.

Layers, each importing only those below it (checked by `make check`):

    cli -> handlers -> reconcile | adapters | workqueue -> inventory -> ports -> settings | crd -> domain

`domain` decides and knows no framework, no network and no clock; `adapters` act; `reconcile` joins the two.
"""
