"""`python -m kubectl_dora`: the same as `kubectl dora`."""

from kubectl_dora.main import main

main()
