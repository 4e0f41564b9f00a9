data "google_project" "project" {
  project_id = var.project
}

data "google_bigquery_default_service_account" "bigquery" {
  count   = var.kms_key == null ? 0 : 1
  project = var.project
}

# Google creates these accounts when they are first needed, which is too late to grant them the key.
resource "google_project_service_identity" "agents" {
  provider = google-beta
  for_each = toset(var.kms_key == null ? [] : concat(["artifactregistry", "dataflow", "pubsub"], var.service == null ? [] : ["run"]))
  project  = var.project
  service  = "${each.key}.googleapis.com"
}

# With a customer-managed key, each service's own agent encrypts, not the pipeline's accounts.
resource "google_kms_crypto_key_iam_member" "agents" {
  for_each = var.kms_key == null ? {} : merge({
    artifactregistry = "service-${data.google_project.project.number}@gcp-sa-artifactregistry.iam.gserviceaccount.com"
    bigquery         = data.google_bigquery_default_service_account.bigquery[0].email
    compute          = "service-${data.google_project.project.number}@compute-system.iam.gserviceaccount.com"
    dataflow         = "service-${data.google_project.project.number}@dataflow-service-producer-prod.iam.gserviceaccount.com"
    pubsub           = "service-${data.google_project.project.number}@gcp-sa-pubsub.iam.gserviceaccount.com"
    storage          = data.google_storage_project_service_account.storage.email_address
    },
    var.service == null ? {} : { run = "service-${data.google_project.project.number}@serverless-robot-prod.iam.gserviceaccount.com" },
  )
  crypto_key_id = var.kms_key
  role          = "roles/cloudkms.cryptoKeyEncrypterDecrypter"
  member        = "serviceAccount:${each.value}"
  depends_on    = [google_project_service_identity.agents]
}
