"""What a series' model consists of: seasonalities, holidays, changepoints, and the columns that they are."""
