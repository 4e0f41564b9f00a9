"""The kernels that find a model's parameters."""
