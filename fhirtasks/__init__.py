"""Verified demonstrations and deterministic environments for clinical agents, made from FHIR R4 records."""

__version__ = "0.1.0"
