"""From a block of series to a block of forecasts."""
