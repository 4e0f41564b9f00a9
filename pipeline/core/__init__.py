"""Everything that needs neither Beam nor a cloud: plain functions on Arrow tables and NumPy arrays."""
