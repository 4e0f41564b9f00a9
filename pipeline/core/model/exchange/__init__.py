"""Fitted models as Prophet's objects, as its JSON, and as tables."""
