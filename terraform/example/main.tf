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
  description = "Region of everything."
  type        = string
  default     = "europe-west1"
}

variable "name" {
  description = "Prefix of all names."
  type        = string
  default     = "dropcast"
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

variable "batch_schedule" {
  description = "When a batch job looks for uploads without a forecast; null for never."
  type        = string
  default     = "30 4 * * *"
}

variable "batch_time_zone" {
  description = "Time zone of batch_schedule."
  type        = string
  default     = "Etc/UTC"
}

variable "alert_email" {
  description = "Email address for alerts; null for none."
  type        = string
  default     = null
}

variable "budget" {
  description = "Monthly budget; null for none."
  type        = object({ billing_account = string, amount = number })
  default     = null
}

variable "kms_key" {
  description = "Your own encryption key; null for Google's."
  type        = string
  default     = null
}

variable "uploads_bucket" {
  description = "Existing bucket of the project into which CSVs are dropped; null creates one."
  type        = string
  default     = null
}

variable "input_datasets" {
  description = "Datasets of BigQuery, as PROJECT.DATASET, whose tables and queries manifests may name."
  type        = list(string)
  default     = []
}

variable "subnetwork" {
  description = "Subnetwork of the workers; null creates one."
  type        = string
  default     = null
}

variable "airflow_service_account" {
  description = "Email of the account that Airflow runs as; null for none."
  type        = string
  default     = null
}

variable "deletion_protection" {
  description = "Whether buckets and tables that hold data are protected from being destroyed."
  type        = bool
  default     = true
}

# Calls about budgets and service identities must name a project, which a user's own credentials do not.
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

module "dropcast" {
  source           = "../modules/dropcast"
  project          = var.project
  region           = var.region
  name             = var.name
  template_version = var.template_version
  streaming        = var.streaming
  service          = var.service
  batch_schedule   = var.batch_schedule
  batch_time_zone  = var.batch_time_zone
  alert_email      = var.alert_email
  budget           = var.budget
  kms_key          = var.kms_key
  subnetwork       = var.subnetwork
  uploads_bucket   = var.uploads_bucket
  input_datasets   = var.input_datasets

  airflow_service_account = var.airflow_service_account
  deletion_protection     = var.deletion_protection
  options                 = { horizon = "28", history = "true" }
}

output "dropcast" {
  description = "Names of what was created."
  value       = module.dropcast
}

output "airflow_environment" {
  value = module.dropcast.airflow_environment
}

output "launch_flags" {
  description = "For make gcp-backfill."
  value       = module.dropcast.launch_flags
}

output "launch_parameters" {
  description = "For make gcp-backfill."
  value       = module.dropcast.launch_parameters
}
