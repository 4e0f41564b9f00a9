"""Prediction intervals without simulation, but for logistic curves that bend."""
