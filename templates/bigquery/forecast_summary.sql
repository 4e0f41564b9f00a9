-- One row per series of the latest forecasts: its mean, and the dates that it covers.
SELECT
  source,
  output,
  series_id,
  frequency,
  MIN(forecast_timestamp) AS first_timestamp,
  MAX(forecast_timestamp) AS last_timestamp,
  COUNT(*) AS steps,
  AVG(forecast_value) AS mean_forecast,
  AVG(prediction_interval_upper_bound - prediction_interval_lower_bound) AS mean_interval_width,
  confidence_level,
  model
FROM latest_forecasts
GROUP BY source, output, series_id, frequency, confidence_level, model
