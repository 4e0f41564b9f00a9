terraform {
  required_version = ">= 1.7"
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
  description = "Region for all of it."
  type        = string
  default     = "europe-west1"
}

variable "template_version" {
  description = "Released version to run; null before the first release."
  type        = string
  default     = null
}

variable "alert_email" {
  description = "Who is told when something is wrong."
  type        = string
  default     = null
}

variable "deletion_protection" {
  description = "Whether buckets and tables with data refuse to be destroyed."
  type        = bool
  default     = true
}

provider "google" {
  project = var.project
  region  = var.region
}

provider "google-beta" {
  project = var.project
  region  = var.region
}

module "dropcast" {
  source           = "../modules/dropcast"
  project          = var.project
  region           = var.region
  template_version = var.template_version
  alert_email      = var.alert_email

  deletion_protection = var.deletion_protection
  options             = { horizon = "28", history = "true" }
}

output "dropcast" {
  description = "What the make targets use."
  value       = module.dropcast
}
