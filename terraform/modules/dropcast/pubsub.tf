data "google_storage_project_service_account" "storage" {
  project = var.project
}

resource "google_pubsub_topic" "uploads" {
  name         = "${var.name}-uploads"
  project      = var.project
  kms_key_name = var.kms_key
  depends_on   = [google_kms_crypto_key_iam_member.agents]
}

resource "google_pubsub_topic_iam_member" "storage_publishes" {
  project = var.project
  topic   = google_pubsub_topic.uploads.name
  role    = "roles/pubsub.publisher"
  member  = "serviceAccount:${data.google_storage_project_service_account.storage.email_address}"
}

# The forecasts' bucket has none: the pipeline must not be notified of what it writes itself, least of all _dropcast/.
resource "google_storage_notification" "uploads" {
  bucket             = local.uploads
  topic              = google_pubsub_topic.uploads.id
  payload_format     = "JSON_API_V1"
  event_types        = ["OBJECT_FINALIZE"]
  object_name_prefix = var.upload_prefix == "" ? null : var.upload_prefix
  depends_on         = [google_pubsub_topic_iam_member.storage_publishes]
}

# No dead letter topic and no exactly-once delivery: Dataflow acknowledges messages early and uses neither.
resource "google_pubsub_subscription" "uploads" {
  name                       = "${var.name}-uploads"
  project                    = var.project
  topic                      = google_pubsub_topic.uploads.id
  ack_deadline_seconds       = 600
  message_retention_duration = "604800s"
  expiration_policy {
    ttl = "" # never
  }
}

resource "google_pubsub_topic" "receipts" {
  name         = "${var.name}-receipts"
  project      = var.project
  kms_key_name = var.kms_key
  depends_on   = [google_kms_crypto_key_iam_member.agents]
}
