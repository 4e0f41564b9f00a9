# The service on Cloud Run (docs/service.md): beside the jobs, or instead of the streaming one if var.streaming is false.
# It shares bucket, tables and ledger with them; whichever is first at an upload does it.
locals {
  service   = var.service != null && var.template_version != null
  image     = "${var.region}-docker.pkg.dev/${var.project}/${google_artifact_registry_repository.images.repository_id}/dropcast:${coalesce(var.template_version, "none")}"
  audience  = "${var.name}-push"
  pubsub    = "serviceAccount:service-${data.google_project.project.number}@gcp-sa-pubsub.iam.gserviceaccount.com"
  servant   = local.service ? "serviceAccount:${google_service_account.service["service"].email}" : ""
  pusher    = local.service ? google_service_account.service["pusher"].email : ""
  serve_for = local.service ? toset(["on"]) : toset([])
  serve_args = !local.service ? [] : concat(
    [
      "serve", "--host=0.0.0.0", "--port=8080", "--behind_iam", "--at_once=${var.service.concurrency}",
      "--max_push_bytes=${var.service.max_push_bytes}", "--push_audience=${local.audience}",
      "--push_account=${local.pusher}",
    ],
    var.service.leave_large ? ["--leave_large"] : [],
    [for name, value in local.parameters : "--${name}=${value}"],
  )
}

resource "google_service_account" "service" {
  for_each = local.service ? {
    service = "Runs the service on Cloud Run"
    pusher  = "Signs Pub/Sub's pushes to the service"
  } : {}
  project      = var.project
  account_id   = "${var.name}-${each.key}"
  display_name = each.value
}

resource "google_cloud_run_v2_service" "service" {
  for_each             = local.serve_for
  name                 = var.name
  project              = var.project
  location             = var.region
  ingress              = length(var.service.callers) > 0 ? "INGRESS_TRAFFIC_ALL" : "INGRESS_TRAFFIC_INTERNAL_ONLY" # a project's own pushes are internal
  deletion_protection  = var.deletion_protection
  invoker_iam_disabled = false

  template {
    service_account                  = google_service_account.service["service"].email
    timeout                          = "600s" # Pub/Sub waits no longer for a push
    max_instance_request_concurrency = var.service.concurrency
    execution_environment            = "EXECUTION_ENVIRONMENT_GEN2"
    encryption_key                   = var.kms_key
    scaling {
      min_instance_count = var.service.min_instances
      max_instance_count = var.service.max_instances
    }
    containers {
      image   = local.image
      command = ["dropcast"]
      args    = local.serve_args
      ports {
        container_port = 8080
      }
      resources {
        limits            = { cpu = var.service.cpu, memory = var.service.memory }
        cpu_idle          = true # billed while a request is worked on
        startup_cpu_boost = true
      }
      startup_probe {
        period_seconds    = 2
        failure_threshold = 60
        http_get {
          path = "/readyz"
        }
      }
      liveness_probe {
        period_seconds    = 30
        timeout_seconds   = 10
        failure_threshold = 4
        http_get {
          path = "/healthz"
        }
      }
    }
    labels = { app = "dropcast", version = replace(var.template_version, "/[.+]/", "-") }
  }

  depends_on = [
    google_bigquery_dataset_iam_member.service,
    google_bigquery_table.views,
    google_kms_crypto_key_iam_member.agents,
    google_project_iam_member.service,
    google_pubsub_topic_iam_member.service_publishes_receipts,
    google_storage_bucket_iam_member.service,
  ]
}

# Nobody else may call it: not even a project's viewer.
resource "google_cloud_run_v2_service_iam_member" "callers" {
  for_each = local.service ? merge({ pusher = "serviceAccount:${local.pusher}" }, { for caller in var.service.callers : caller => caller }) : {}
  project  = var.project
  location = var.region
  name     = google_cloud_run_v2_service.service["on"].name
  role     = "roles/run.invoker"
  member   = each.value
}

# ------------------------------------------------------------------------------------------------------ pushes

resource "google_pubsub_subscription" "push" {
  for_each                   = local.serve_for
  name                       = "${var.name}-push"
  project                    = var.project
  topic                      = google_pubsub_topic.uploads.id
  ack_deadline_seconds       = 600
  message_retention_duration = "604800s"
  expiration_policy {
    ttl = "" # never
  }
  push_config {
    push_endpoint = "${google_cloud_run_v2_service.service["on"].uri}/"
    oidc_token {
      service_account_email = local.pusher
      audience              = local.audience
    }
  }
  retry_policy {
    minimum_backoff = "10s"
    maximum_backoff = "600s"
  }
  # What the service can't even refuse, such as a message that is too large, does not come again for ever.
  dead_letter_policy {
    dead_letter_topic     = google_pubsub_topic.undelivered["on"].id
    max_delivery_attempts = 100
  }
  depends_on = [google_cloud_run_v2_service_iam_member.callers, google_service_account_iam_member.pubsub_signs, google_pubsub_topic_iam_member.pubsub_gives_up]
}

resource "google_pubsub_topic" "undelivered" {
  for_each     = local.serve_for
  name         = "${var.name}-undelivered"
  project      = var.project
  kms_key_name = var.kms_key
  depends_on   = [google_kms_crypto_key_iam_member.agents]
}

# Without a subscription what is given up would be gone.
resource "google_pubsub_subscription" "undelivered" {
  for_each                   = local.serve_for
  name                       = "${var.name}-undelivered"
  project                    = var.project
  topic                      = google_pubsub_topic.undelivered["on"].id
  message_retention_duration = "604800s"
  expiration_policy {
    ttl = "" # never
  }
}

resource "google_service_account_iam_member" "pubsub_signs" {
  for_each           = local.serve_for
  service_account_id = google_service_account.service["pusher"].name
  role               = "roles/iam.serviceAccountOpenIdTokenCreator"
  member             = local.pubsub
}

resource "google_pubsub_topic_iam_member" "pubsub_gives_up" {
  for_each = local.serve_for
  project  = var.project
  topic    = google_pubsub_topic.undelivered["on"].name
  role     = "roles/pubsub.publisher"
  member   = local.pubsub
}

resource "google_pubsub_subscription_iam_member" "pubsub_gives_up" {
  for_each     = local.serve_for
  project      = var.project
  subscription = google_pubsub_subscription.push["on"].name
  role         = "roles/pubsub.subscriber"
  member       = local.pubsub
}

# ------------------------------------------------------------------------------------------------------ what it may do

resource "google_project_iam_member" "service" {
  for_each = local.service ? merge(
    { jobs = "roles/bigquery.jobUser" },
    length(var.input_datasets) > 0 ? { read_sessions = "roles/bigquery.readSessionUser" } : {},
  ) : {}
  project = var.project
  role    = each.value
  member  = local.servant
}

resource "google_storage_bucket_iam_member" "service" {
  for_each = local.service ? {
    reads_uploads    = { bucket = local.uploads, role = "roles/storage.objectViewer" }
    writes_forecasts = { bucket = google_storage_bucket.forecasts.name, role = "roles/storage.objectUser" }
    sees_bucket      = { bucket = google_storage_bucket.forecasts.name, role = "roles/storage.legacyBucketReader" }
  } : {}
  bucket = each.value.bucket
  role   = each.value.role
  member = local.servant
}

resource "google_bigquery_dataset_iam_member" "service" {
  for_each   = local.serve_for
  project    = var.project
  dataset_id = google_bigquery_dataset.dropcast.dataset_id
  role       = "roles/bigquery.dataEditor"
  member     = local.servant
}

resource "google_bigquery_dataset_iam_member" "service_reads_inputs" {
  for_each   = local.service ? toset(var.input_datasets) : toset([])
  project    = split(".", each.key)[0]
  dataset_id = split(".", each.key)[1]
  role       = "roles/bigquery.dataViewer"
  member     = local.servant
}

resource "google_pubsub_topic_iam_member" "service_publishes_receipts" {
  for_each = local.serve_for
  project  = var.project
  topic    = google_pubsub_topic.receipts.name
  role     = "roles/pubsub.publisher"
  member   = local.servant
}
