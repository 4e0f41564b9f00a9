"""Prediction intervals without simulation, except for logistic trends with changepoints."""
