"""The programs of the local cluster: built once from their Go modules, kept in a cache outside the checkout.

Builds and finds programs; starts none of them.
"""
