locals {
  worker   = "serviceAccount:${google_service_account.accounts["worker"].email}"
  launcher = "serviceAccount:${google_service_account.accounts["launcher"].email}"
  builder  = "serviceAccount:${google_service_account.accounts["builder"].email}"
}

resource "google_service_account" "accounts" {
  for_each = {
    worker   = "Runs the pipeline: launcher VM and workers"
    launcher = "Starts, updates and drains jobs"
    builder  = "Builds and releases"
  }
  project      = var.project
  account_id   = "${var.name}-${each.key}"
  display_name = each.value
}

# Roles for which there is no narrower resource than the project.
resource "google_project_iam_member" "project" {
  #checkov:skip=CKV_GCP_49:jobs belong to the project; the right to act as the worker is granted on the worker only
  for_each = {
    worker_dataflow   = { member = local.worker, role = "roles/dataflow.worker" }
    worker_jobs       = { member = local.worker, role = "roles/bigquery.jobUser" }
    worker_metrics    = { member = local.worker, role = "roles/monitoring.metricWriter" }
    launcher_dataflow = { member = local.launcher, role = "roles/dataflow.developer" }
    builder_logs      = { member = local.builder, role = "roles/logging.logWriter" }
    builder_scan      = { member = local.builder, role = "roles/ondemandscanning.admin" }
  }
  project = var.project
  role    = each.value.role
  member  = each.value.member
}

resource "google_storage_bucket_iam_member" "buckets" {
  for_each = {
    worker_reads_uploads     = { bucket = local.uploads, member = local.worker, role = "roles/storage.objectViewer" }
    worker_writes_forecasts  = { bucket = google_storage_bucket.forecasts.name, member = local.worker, role = "roles/storage.objectUser" }
    worker_sees_bucket       = { bucket = google_storage_bucket.forecasts.name, member = local.worker, role = "roles/storage.legacyBucketReader" }
    worker_writes_temp       = { bucket = google_storage_bucket.temp.name, member = local.worker, role = "roles/storage.objectUser" }
    launcher_reads_templates = { bucket = google_storage_bucket.temp.name, member = local.launcher, role = "roles/storage.objectUser" }
    # may add objects, but not overwrite or delete them: a version is released once
    builder_adds_templates = { bucket = google_storage_bucket.temp.name, member = local.builder, role = "roles/storage.objectCreator" }
    builder_reads_source   = { bucket = google_storage_bucket.temp.name, member = local.builder, role = "roles/storage.objectViewer" }
  }
  bucket = each.value.bucket
  role   = each.value.role
  member = each.value.member
}

# No role on the topic: Dataflow makes its own second subscription only for timestamps from attributes.
resource "google_pubsub_subscription_iam_member" "worker" {
  for_each     = toset(["roles/pubsub.subscriber", "roles/pubsub.viewer"])
  project      = var.project
  subscription = google_pubsub_subscription.uploads.name
  role         = each.key
  member       = local.worker
}

resource "google_pubsub_topic_iam_member" "worker_publishes_receipts" {
  project = var.project
  topic   = google_pubsub_topic.receipts.name
  role    = "roles/pubsub.publisher"
  member  = local.worker
}

resource "google_bigquery_dataset_iam_member" "worker" {
  project    = var.project
  dataset_id = google_bigquery_dataset.dropcast.dataset_id
  role       = "roles/bigquery.dataEditor"
  member     = local.worker
}

# Tables and queries as inputs. A view is read with the rights of whom it is shared with: grant that account its datasets.
resource "google_bigquery_dataset_iam_member" "worker_reads_inputs" {
  for_each   = toset(var.input_datasets)
  project    = split(".", each.key)[0]
  dataset_id = split(".", each.key)[1]
  role       = "roles/bigquery.dataViewer"
  member     = local.worker
}

resource "google_project_iam_member" "worker_opens_read_sessions" {
  count   = length(var.input_datasets) > 0 ? 1 : 0
  project = var.project
  role    = "roles/bigquery.readSessionUser"
  member  = local.worker
}

resource "google_artifact_registry_repository_iam_member" "images" {
  for_each = {
    worker   = { member = local.worker, role = "roles/artifactregistry.reader" }
    launcher = { member = local.launcher, role = "roles/artifactregistry.reader" }
    builder  = { member = local.builder, role = "roles/artifactregistry.writer" }
  }
  project    = var.project
  location   = var.region
  repository = google_artifact_registry_repository.images.name
  role       = each.value.role
  member     = each.value.member
}

resource "google_service_account_iam_member" "launcher_uses_worker" {
  service_account_id = google_service_account.accounts["worker"].name
  role               = "roles/iam.serviceAccountUser"
  member             = local.launcher
}
