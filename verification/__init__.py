"""The checklist of docs/first-run.md as a program: python -m verification --project=acme-data --version=0.1.0."""
