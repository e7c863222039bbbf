"""`make dist`: kubectl's plugin as one file, and its manifest for krew. `python -m tools.plugin [FOLDER]`."""
