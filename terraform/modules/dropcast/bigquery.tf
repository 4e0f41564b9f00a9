locals {
  tables = {
    forecasts    = { partition = "source_time", cluster = ["source", "series_id"] }
    history      = { partition = "source_time", cluster = ["source", "series_id"] }
    actuals      = { partition = "source_time", cluster = ["source", "series_id"] }
    backtests    = { partition = "source_time", cluster = ["source", "series_id"] }
    receipts     = { partition = "finished_at", cluster = ["source", "output"] }
    dead_letters = { partition = null, cluster = ["source", "code"] }
  }
  # a view may use the views before it
  views      = ["current_requests", "latest_forecasts", "latest_receipts", "open_dead_letters", "stale_forecasts", "forecast_summary", "latest_history", "accuracy", "live_accuracy"]
  base_views = ["current_requests", "latest_receipts"]
  named      = join("|", concat(keys(local.tables), local.views))
  # the same replacement as in pipeline/cloud/tables.py, so that neither reverts the other's view
  view_sql = { for view in local.views : view => replace(
    file("${local.schemas}/bigquery/${view}.sql"),
    "/\\b(FROM|JOIN) (${local.named})\\b/",
    "$1 `${var.project}.${google_bigquery_dataset.dropcast.dataset_id}.$2`"
  ) }
}

resource "google_bigquery_dataset" "dropcast" {
  dataset_id                 = replace(var.name, "-", "_")
  project                    = var.project
  location                   = var.region
  description                = "Forecasts, and the result for each file; query the views."
  delete_contents_on_destroy = !var.deletion_protection
  dynamic "default_encryption_configuration" {
    for_each = var.kms_key[*]
    content {
      kms_key_name = default_encryption_configuration.value
    }
  }
  depends_on = [google_kms_crypto_key_iam_member.agents]
}

resource "google_bigquery_table" "tables" {
  #checkov:skip=CKV_GCP_80:the dataset's default key, var.kms_key, holds for its tables
  for_each            = local.tables
  project             = var.project
  dataset_id          = google_bigquery_dataset.dropcast.dataset_id
  table_id            = each.key
  schema              = file("${local.schemas}/bigquery/${each.key}.json")
  clustering          = each.value.cluster
  deletion_protection = var.deletion_protection

  dynamic "time_partitioning" {
    for_each = each.value.partition[*]
    content {
      type          = "DAY"
      field         = time_partitioning.value
      expiration_ms = var.partition_expiration_days == null ? null : var.partition_expiration_days * 86400000
    }
  }
}

# Views of tables only, then the one of them and tables, then the rest: BigQuery refuses a view of what is not there.
resource "google_bigquery_table" "base_views" {
  #checkov:skip=CKV_GCP_80:a view holds nothing
  #checkov:skip=CKV_GCP_121:a view is made again from its file
  for_each            = toset(local.base_views)
  project             = var.project
  dataset_id          = google_bigquery_dataset.dropcast.dataset_id
  table_id            = each.key
  deletion_protection = false
  view {
    query          = local.view_sql[each.key]
    use_legacy_sql = false
  }
  depends_on = [google_bigquery_table.tables]
}

resource "google_bigquery_table" "latest_forecasts" {
  #checkov:skip=CKV_GCP_80:a view holds nothing
  #checkov:skip=CKV_GCP_121:a view is made again from its file
  project             = var.project
  dataset_id          = google_bigquery_dataset.dropcast.dataset_id
  table_id            = "latest_forecasts"
  deletion_protection = false
  view {
    query          = local.view_sql["latest_forecasts"]
    use_legacy_sql = false
  }
  depends_on = [google_bigquery_table.base_views]
}

resource "google_bigquery_table" "views" {
  #checkov:skip=CKV_GCP_80:a view holds nothing
  #checkov:skip=CKV_GCP_121:a view is made again from its file
  for_each            = setsubtract(local.views, concat(local.base_views, ["latest_forecasts"]))
  project             = var.project
  dataset_id          = google_bigquery_dataset.dropcast.dataset_id
  table_id            = each.key
  deletion_protection = false
  view {
    query          = local.view_sql[each.key]
    use_legacy_sql = false
  }
  depends_on = [google_bigquery_table.latest_forecasts]
}
