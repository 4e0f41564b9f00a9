locals {
  uploads = var.uploads_bucket == null ? google_storage_bucket.uploads[0].name : var.uploads_bucket
  schemas = "${path.module}/../../../templates"
  work    = "${var.output_prefix}/_dropcast/work/"
}

resource "google_storage_bucket" "uploads" {
  #checkov:skip=CKV_GCP_78:an upload is a generation, and older ones are superseded; soft delete keeps them a week
  #checkov:skip=CKV_GCP_62:access logs are the project's audit logs
  count                       = var.uploads_bucket == null ? 1 : 0
  name                        = "${var.project}-${var.name}-uploads"
  project                     = var.project
  location                    = var.region
  uniform_bucket_level_access = true
  public_access_prevention    = "enforced"
  force_destroy               = !var.deletion_protection

  soft_delete_policy { # an object that was overwritten by mistake can be restored
    retention_duration_seconds = 604800
  }
  lifecycle_rule { # the only rule: uploads are not Dropcast's to delete
    condition {
      age = 7
    }
    action {
      type = "AbortIncompleteMultipartUpload"
    }
  }
  dynamic "encryption" {
    for_each = var.kms_key[*]
    content {
      default_kms_key_name = encryption.value
    }
  }
  depends_on = [google_kms_crypto_key_iam_member.agents]
}

resource "google_storage_bucket" "forecasts" {
  #checkov:skip=CKV_GCP_78:a forecast can be made again from its upload
  #checkov:skip=CKV_GCP_62:access logs are the project's audit logs
  name                        = "${var.project}-${var.name}-forecasts"
  project                     = var.project
  location                    = var.region
  uniform_bucket_level_access = true
  public_access_prevention    = "enforced"
  force_destroy               = !var.deletion_protection

  soft_delete_policy { # none: work files are short-lived, and each would be billed for as long as it is kept
    retention_duration_seconds = 0
  }
  lifecycle_rule {
    condition {
      age            = 7
      matches_prefix = [local.work]
    }
    action {
      type = "Delete"
    }
  }
  lifecycle_rule {
    condition {
      age = 7
    }
    action {
      type = "AbortIncompleteMultipartUpload"
    }
  }
  dynamic "encryption" {
    for_each = var.kms_key[*]
    content {
      default_kms_key_name = encryption.value
    }
  }
  depends_on = [google_kms_crypto_key_iam_member.agents]
}

resource "google_storage_bucket" "temp" {
  #checkov:skip=CKV_GCP_78:temporary files
  #checkov:skip=CKV_GCP_62:access logs are the project's audit logs
  name                        = "${var.project}-${var.name}-temp"
  project                     = var.project
  location                    = var.region
  uniform_bucket_level_access = true
  public_access_prevention    = "enforced"
  force_destroy               = true

  soft_delete_policy {
    retention_duration_seconds = 0
  }
  # Template specs stay, since a job can be rolled back to them. So does staging/: a streaming job may start workers
  # months later, which fetch from there what was staged at its launch.
  lifecycle_rule {
    condition {
      age            = 14
      matches_prefix = ["temp/", "source/"]
    }
    action {
      type = "Delete"
    }
  }
  dynamic "encryption" {
    for_each = var.kms_key[*]
    content {
      default_kms_key_name = encryption.value
    }
  }
  depends_on = [google_kms_crypto_key_iam_member.agents]
}
