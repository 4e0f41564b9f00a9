output "airflow_environment" {
  description = "What the Airflow DAG's jobs run with, as JSON: DROPCAST_ENVIRONMENT of its environment."
  value       = jsonencode(merge(local.batch_environment, { for key in var.kms_key[*] : "kmsKeyName" => key }))
}

output "uploads" {
  description = "Where CSVs are dropped."
  value       = "gs://${local.uploads}/${var.upload_prefix}"
}

output "output" {
  description = "Where forecasts go: the pipeline's --output."
  value       = local.output
}

output "dataset" {
  description = "The pipeline's --dataset."
  value       = local.dataset
}

output "topic" {
  description = "Topic of the uploads, for dropcast reconcile and replay."
  value       = google_pubsub_topic.uploads.id
}

output "subscription" {
  description = "The pipeline's --input_subscription."
  value       = google_pubsub_subscription.uploads.id
}

output "service_url" {
  description = "Address of the service; null without one."
  value       = local.service ? google_cloud_run_v2_service.service["on"].uri : null
}

output "receipts" {
  description = "Topic on which receipts are published."
  value       = google_pubsub_topic.receipts.id
}

output "repository" {
  description = "Repository of the images: cloudbuild.yaml's _REPOSITORY."
  value       = "${var.region}-docker.pkg.dev/${var.project}/${google_artifact_registry_repository.images.repository_id}"
}

output "templates" {
  description = "Folder of the template specs: cloudbuild.yaml's _TEMPLATES."
  value       = local.templates
}

output "temp" {
  description = "Bucket for temporary files."
  value       = "gs://${google_storage_bucket.temp.name}"
}

output "service_accounts" {
  description = "Emails of the worker's, launcher's and builder's accounts."
  value       = { for name, account in google_service_account.accounts : name => account.email }
}

output "launch_flags" {
  description = "Flags of gcloud for a batch job, for make gcp-backfill."
  value       = local.launch_flags
}

output "launch_parameters" {
  description = "Parameters of a batch job except its input, separated by ~, for make gcp-backfill."
  value       = join("~", [for name, value in local.parameters : "${name}=${value}"])
}
