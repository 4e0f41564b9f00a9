# A nightly batch job that forecasts the objects in the bucket that have no receipt: those that the stream missed, and
# those from before it. Objects with a receipt are skipped, so running it twice, or alongside the stream, is harmless.
resource "google_cloud_scheduler_job" "nightly" {
  count       = local.nightly ? 1 : 0
  project     = var.project
  region      = var.region
  name        = "${var.name}-nightly"
  description = "Forecasts uploads that have no receipt."
  schedule    = var.batch_schedule
  time_zone   = var.batch_time_zone

  # A launch whose response was lost is retried. While the first job runs, Dataflow refuses a second one of the same
  # name (409); so if one night's job takes too long, the next one does not start on top of it.
  retry_config {
    retry_count          = 3
    min_backoff_duration = "60s"
    max_backoff_duration = "600s"
  }

  http_target {
    http_method = "POST"
    uri         = "https://dataflow.googleapis.com/v1b3/projects/${var.project}/locations/${var.region}/flexTemplates:launch"
    headers     = { "Content-Type" = "application/json" }
    body = base64encode(jsonencode({
      launchParameter = {
        jobName              = "${var.name}-nightly"
        containerSpecGcsPath = "${local.templates}/${var.template_version}/batch.json"
        parameters           = merge(local.parameters, { input = local.objects })
        environment          = merge(local.batch_environment, { for key in var.kms_key[*] : "kmsKeyName" => key })
      }
    }))
    # Cloud Scheduler's own agent makes the token; enabling the API gave it the role (roles/cloudscheduler.serviceAgent).
    oauth_token {
      service_account_email = google_service_account.accounts["launcher"].email
      scope                 = "https://www.googleapis.com/auth/cloud-platform"
    }
  }

  depends_on = [
    google_artifact_registry_repository_iam_member.images,
    google_bigquery_dataset_iam_member.worker,
    google_bigquery_table.views,
    google_kms_crypto_key_iam_member.agents,
    google_project_iam_member.project,
    google_pubsub_topic_iam_member.worker_publishes_receipts,
    google_service_account_iam_member.launcher_uses_worker,
    google_storage_bucket_iam_member.buckets,
  ]
}

locals {
  batch_environment = {
    serviceAccountEmail  = local.worker_id
    tempLocation         = "gs://${google_storage_bucket.temp.name}/temp"
    stagingLocation      = "gs://${google_storage_bucket.temp.name}/temp/staging" # may be deleted once the job has ended
    ipConfiguration      = "WORKER_IP_PRIVATE"
    subnetwork           = local.subnetwork
    machineType          = var.machine_type
    maxWorkers           = var.max_workers
    additionalUserLabels = { app = "dropcast" }
  }
  # the same for gcloud: make gcp-backfill
  launch_flags = join(" ", concat([
    "--service-account-email=${local.batch_environment.serviceAccountEmail}",
    "--temp-location=${local.batch_environment.tempLocation}",
    "--staging-location=${local.batch_environment.stagingLocation}",
    "--disable-public-ips",
    "--subnetwork=${local.batch_environment.subnetwork}",
    "--worker-machine-type=${local.batch_environment.machineType}",
    "--max-workers=${local.batch_environment.maxWorkers}",
    "--additional-user-labels=app=dropcast",
  ], [for key in var.kms_key[*] : "--dataflow-kms-key=${key}"]))
}
