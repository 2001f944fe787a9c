"""The domain of patients: who somebody is, and how old."""

from __future__ import annotations

from fhirtasks.tasks import patients_age, patients_lookup

FAMILIES = (patients_age.FAMILY, patients_lookup.FAMILY)
