variable "project" {
  description = "Project that everything is made in."
  type        = string
  validation {
    condition     = can(regex("^[a-z][a-z0-9-]{4,28}[a-z0-9]$", var.project))
    error_message = "A project id has 6 to 30 lower-case letters, digits and dashes."
  }
}

variable "region" {
  description = "Region of the workers, the buckets, the dataset and the registry."
  type        = string
  validation {
    condition     = can(regex("^[a-z]+-[a-z]+[0-9]$", var.region))
    error_message = "A region looks like europe-west1."
  }
}

variable "name" {
  description = "Prefix of all names."
  type        = string
  default     = "dropcast"
  validation {
    condition     = can(regex("^[a-z][a-z0-9-]{2,19}$", var.name))
    error_message = "3 to 20 lower-case letters, digits and dashes, a letter first."
  }
}

variable "template_version" {
  description = "Version of the template to run, as released; null makes everything but the job."
  type        = string
  default     = null
}

variable "upload_prefix" {
  description = "Only objects below this prefix of the uploads' bucket are forecast; empty for all."
  type        = string
  default     = ""
  validation {
    condition     = var.upload_prefix == "" || endswith(var.upload_prefix, "/")
    error_message = "A prefix ends in a slash."
  }
}

variable "output_prefix" {
  description = "Prefix of the forecasts' bucket that they are written below."
  type        = string
  default     = "daily"
}

variable "options" {
  description = "Further options of the pipeline by name, such as { horizon = \"14\" }."
  type        = map(string)
  default     = {}
  validation {
    condition     = length(setintersection(keys(var.options), ["input", "input_subscription", "output", "dataset", "output_topic"])) == 0
    error_message = "Source and destination are the module's to set."
  }
}

variable "machine_type" {
  description = "Of the workers: forecasting is arithmetic, a process for each vCPU."
  type        = string
  default     = "e2-standard-2"
}

variable "max_workers" {
  description = "Most workers; the least is one while the job streams."
  type        = number
  default     = 5
  validation {
    condition     = var.max_workers >= 1 && var.max_workers <= 1000
    error_message = "Between 1 and 1000."
  }
}

variable "partition_expiration_days" {
  description = "After how many days forecasts and history are dropped from the tables; null keeps them."
  type        = number
  default     = null
}

variable "deletion_protection" {
  description = "Whether buckets and tables with something in them refuse to be destroyed."
  type        = bool
  default     = true
}

variable "kms_key" {
  description = "Key for buckets, topics, dataset and workers (CMEK); null for Google's own keys."
  type        = string
  default     = null
}

variable "subnetwork" {
  description = "Subnetwork of the workers, regions/REGION/subnetworks/NAME, with Private Google Access; null for the default network."
  type        = string
  default     = null
}

variable "alert_email" {
  description = "Who is told when something waits, fails or is lost; null for nobody."
  type        = string
  default     = null
}

variable "budget" {
  description = "Monthly budget of the project in units of the billing account's currency; null for none."
  type = object({
    billing_account = string
    amount          = number
  })
  default = null
}
