resource "google_artifact_registry_repository" "images" {
  #checkov:skip=CKV_GCP_84:encrypted with var.kms_key if one is given
  project       = var.project
  location      = var.region
  repository_id = var.name
  format        = "DOCKER"
  kms_key_name  = var.kms_key
  depends_on    = [google_kms_crypto_key_iam_member.agents]
  docker_config {
    immutable_tags = false # the build's cache has a tag that moves; cloudbuild.yaml protects versions
  }
}
