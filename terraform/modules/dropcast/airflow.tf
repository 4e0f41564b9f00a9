# Airflow acts as the launcher (docs/airflow.md): besides starting jobs, it lists uploads and queries their results.
locals {
  airflow = var.airflow_service_account == null ? 0 : 1
}

# Granted on the launcher only: on the project, it would let Airflow impersonate every account there.
resource "google_service_account_iam_member" "airflow_impersonates_launcher" {
  count              = local.airflow
  service_account_id = google_service_account.accounts["launcher"].name
  role               = "roles/iam.serviceAccountTokenCreator"
  member             = "serviceAccount:${var.airflow_service_account}"
}

resource "google_storage_bucket_iam_member" "airflow_lists_uploads" {
  count  = local.airflow
  bucket = local.uploads
  role   = "roles/storage.objectViewer"
  member = local.launcher
}

resource "google_project_iam_member" "airflow_queries" {
  count   = local.airflow
  project = var.project
  role    = "roles/bigquery.jobUser"
  member  = local.launcher
}

resource "google_bigquery_dataset_iam_member" "airflow_reads_receipts" {
  count      = local.airflow
  project    = var.project
  dataset_id = google_bigquery_dataset.dropcast.dataset_id
  role       = "roles/bigquery.dataViewer"
  member     = local.launcher
}
