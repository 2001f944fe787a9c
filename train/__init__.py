"""Training on releases; needs the extra ``fhirtasks[train]``."""
