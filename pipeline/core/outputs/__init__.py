"""Outcomes, receipts, forecast CSVs and table rows; the protocols of a place to write to."""
