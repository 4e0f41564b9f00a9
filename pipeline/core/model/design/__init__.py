"""The parts of a series' model: seasonalities, holidays, changepoints, and their columns."""
