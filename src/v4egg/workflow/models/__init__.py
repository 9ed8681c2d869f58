"""The configuration as typed models, from which its schema and its reference are generated."""
