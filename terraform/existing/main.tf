# Dropcast in a project that is there already: its exports' bucket, its encryption key, and the network of another
# project (Shared VPC). For a project of its own, see ../example.
terraform {
  required_version = ">= 1.9"
  required_providers {
    google      = { source = "hashicorp/google", version = ">= 8.0, < 9.0" }
    google-beta = { source = "hashicorp/google-beta", version = ">= 8.0, < 9.0" }
  }
}

variable "project" {
  description = "Project to set Dropcast up in."
  type        = string
}

variable "region" {
  description = "Region of the bucket, the subnetwork and everything else."
  type        = string
}

variable "uploads_bucket" {
  description = "Bucket into which CSVs are dropped."
  type        = string
}

variable "upload_prefix" {
  description = "Prefix of the CSVs in it, with a slash at the end."
  type        = string
}

variable "network_project" {
  description = "Project that owns the network."
  type        = string
}

variable "subnetwork" {
  description = "Name of the subnetwork, which must have Private Google Access."
  type        = string
}

variable "kms_key" {
  description = "Encryption key; null for Google's."
  type        = string
  default     = null
}

variable "template_version" {
  description = "Released version to run; null before the first release."
  type        = string
  default     = null
}

variable "streaming" {
  description = "Whether a streaming job forecasts uploads as they arrive."
  type        = bool
  default     = true
}

variable "service" {
  description = "The service on Cloud Run, such as {} or { callers = [\"group:analysts@acme.example\"] }; null for none."
  type        = any
  default     = null
}

variable "alert_email" {
  description = "Email address for alerts; null for none."
  type        = string
  default     = null
}

provider "google" {
  project               = var.project
  region                = var.region
  billing_project       = var.project
  user_project_override = true
}

provider "google-beta" {
  project               = var.project
  region                = var.region
  billing_project       = var.project
  user_project_override = true
}

data "google_project" "project" {
  project_id = var.project
}

# Refused here, with a clear word, instead of by workers that reach no API.
data "google_compute_subnetwork" "workers" {
  project = var.network_project
  region  = var.region
  name    = var.subnetwork
  lifecycle {
    postcondition {
      condition     = self.private_ip_google_access
      error_message = "The subnetwork has no Private Google Access, without which workers reach no API of Google's."
    }
  }
}

module "dropcast" {
  source           = "../modules/dropcast"
  project          = var.project
  region           = var.region
  uploads_bucket   = var.uploads_bucket
  upload_prefix    = var.upload_prefix
  kms_key          = var.kms_key
  subnetwork       = "https://www.googleapis.com/compute/v1/projects/${var.network_project}/regions/${var.region}/subnetworks/${var.subnetwork}"
  template_version = var.template_version
  streaming        = var.streaming
  service          = var.service
  alert_email      = var.alert_email
  batch_schedule   = "30 4 * * *"
  options          = { horizon = "28" }
}

# In a Shared VPC the workers' account and Dataflow's own agent must be let in. If whoever applies this may not grant
# it, the network's owner does, and this resource is deleted.
resource "google_compute_subnetwork_iam_member" "users" {
  for_each = {
    worker   = module.dropcast.service_accounts["worker"]
    dataflow = "service-${data.google_project.project.number}@dataflow-service-producer-prod.iam.gserviceaccount.com"
  }
  project    = var.network_project
  region     = var.region
  subnetwork = data.google_compute_subnetwork.workers.name
  role       = "roles/compute.networkUser"
  member     = "serviceAccount:${each.value}"
}

output "dropcast" {
  description = "Names of what was created."
  value       = module.dropcast
}
