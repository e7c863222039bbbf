"""`python -m dora_operator.kubectl`: the same as `kubectl dora`."""

from dora_operator.kubectl.main import main

main()
