"""Schemas and SQL that the pipeline, BigQuery and DuckDB share; installed as pipeline.templates."""
