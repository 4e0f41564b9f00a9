locals {
  templates = "gs://${google_storage_bucket.temp.name}/templates"
  output    = "gs://${google_storage_bucket.forecasts.name}/${var.output_prefix}"
  dataset   = "${var.project}.${google_bigquery_dataset.dropcast.dataset_id}"
  allow     = "gs://${google_storage_bucket.uploads.name}/${var.upload_prefix}"
  parameters = merge(var.options, {
    output       = local.output
    dataset      = local.dataset
    allow        = local.allow
    output_topic = google_pubsub_topic.receipts.id
  })
}

resource "google_dataflow_flex_template_job" "streaming" {
  #checkov:skip=CKV_GCP_90:encrypted with var.kms_key if one is given
  #checkov:skip=CKV_GCP_94:workers have no public address (ip_configuration)
  provider                = google-beta
  count                   = var.template_version == null ? 0 : 1
  name                    = var.name
  project                 = var.project
  region                  = var.region
  container_spec_gcs_path = "${local.templates}/${var.template_version}/streaming.json"
  parameters              = merge(local.parameters, { input_subscription = google_pubsub_subscription.uploads.id })

  service_account_email   = google_service_account.accounts["worker"].email
  temp_location           = "gs://${google_storage_bucket.temp.name}/temp"
  staging_location        = "gs://${google_storage_bucket.temp.name}/staging"
  enable_streaming_engine = true
  machine_type            = var.machine_type
  num_workers             = 1
  max_workers             = var.max_workers
  autoscaling_algorithm   = "THROUGHPUT_BASED"
  ip_configuration        = "WORKER_IP_PRIVATE"
  subnetwork              = var.subnetwork
  kms_key_name            = var.kms_key
  on_delete               = "drain"
  labels                  = { app = "dropcast" }

  depends_on = [
    google_bigquery_dataset_iam_member.worker,
    google_bigquery_table.views,
    google_project_iam_member.project,
    google_pubsub_subscription_iam_member.worker,
    google_pubsub_topic_iam_member.worker_publishes_receipts,
    google_pubsub_topic_iam_member.worker_tracks_uploads,
    google_storage_bucket_iam_member.buckets,
    google_storage_notification.uploads,
  ]
}
