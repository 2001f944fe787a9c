"""The FHIR REST service of one episode, in process."""

BASE = "http://localhost:8080/fhir/"
"""The base URL that prompts and Bundles show; nothing needs to listen there."""
