locals {
  templates = "gs://${google_storage_bucket.temp.name}/templates"
  output    = "gs://${google_storage_bucket.forecasts.name}/${var.output_prefix}"
  dataset   = "${var.project}.${google_bigquery_dataset.dropcast.dataset_id}"
  objects   = "gs://${local.uploads}/${var.upload_prefix}"
  allow     = join(",", concat([local.objects], [for dataset in var.input_datasets : "bigquery:${dataset}"]))
  worker_id = google_service_account.accounts["worker"].email
  parameters = merge(var.options, {
    output       = local.output
    dataset      = local.dataset
    allow        = local.allow
    output_topic = google_pubsub_topic.receipts.id
  })
}

# A change of version or parameters updates the running job in place; pipeline/launch.py sets the threads of a worker.
# Updates without any change come from the provider (issue 21322): docs/run-book.md, Update. ignore_changes would hide
# them, but also leave these attributes out of intended updates.
resource "google_dataflow_flex_template_job" "streaming" {
  #checkov:skip=CKV_GCP_90:encrypted with var.kms_key if one is given
  #checkov:skip=CKV_GCP_94:workers have no public address (ip_configuration)
  provider                = google-beta
  count                   = local.streaming ? 1 : 0
  name                    = var.name
  project                 = var.project
  region                  = var.region
  container_spec_gcs_path = "${local.templates}/${var.template_version}/streaming.json"
  parameters              = merge(local.parameters, { input_subscription = google_pubsub_subscription.uploads.id })

  service_account_email   = local.worker_id
  temp_location           = "gs://${google_storage_bucket.temp.name}/temp"
  staging_location        = "gs://${google_storage_bucket.temp.name}/staging"
  enable_streaming_engine = true # scales between num_workers and max_workers by default
  machine_type            = var.machine_type
  num_workers             = 1
  max_workers             = var.max_workers
  # The template's defaultStreamingMode applies only in the console. The experiments given here replace the spec's.
  additional_experiments = ["streaming_mode_at_least_once", "use_runner_v2"]
  ip_configuration       = "WORKER_IP_PRIVATE"
  subnetwork             = local.subnetwork
  kms_key_name           = var.kms_key
  on_delete              = "drain" # Terraform waits for the drain: until then, no job of the same name can start
  labels                 = { app = "dropcast", version = replace(var.template_version, "/[.+]/", "-") }

  depends_on = [
    google_artifact_registry_repository_iam_member.images,
    google_bigquery_dataset_iam_member.worker,
    google_bigquery_table.views,
    google_kms_crypto_key_iam_member.agents,
    google_project_iam_member.project,
    google_pubsub_subscription_iam_member.worker,
    google_pubsub_topic_iam_member.worker_publishes_receipts,
    google_storage_bucket_iam_member.buckets,
    google_storage_notification.uploads,
  ]
}
