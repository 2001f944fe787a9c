"""Isolated execution of model-written Python: what it is given, what it printed, and nothing else of the machine."""
