"""``python -m fhirtasks``."""

from fhirtasks.cli import main

main()
