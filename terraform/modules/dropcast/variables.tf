variable "project" {
  description = "Project to create everything in."
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
    condition     = can(regex("^[a-z]+-[a-z]+[0-9]+$", var.region))
    error_message = "A region looks like europe-west1."
  }
}

variable "name" {
  description = "Prefix of all names."
  type        = string
  default     = "dropcast"
  validation {
    condition     = can(regex("^[a-z][a-z0-9-]{1,18}[a-z0-9]$", var.name)) && !startswith(var.name, "goog")
    error_message = "3 to 20 lower-case letters, digits and dashes, a letter first, no dash last, and not starting with goog, which Pub/Sub reserves."
  }
}

variable "template_version" {
  description = "Released version of the template to run; null creates everything except the jobs."
  type        = string
  default     = null
  validation {
    condition     = var.template_version == null || can(regex("^[0-9]+\\.[0-9]+\\.[0-9]+(-[0-9a-z.-]*[0-9a-z])?$", var.template_version))
    error_message = "A version is three numbers, such as 0.1.0 or 0.2.0-rc.1."
  }
}

variable "streaming" {
  description = "Whether a streaming job forecasts uploads as they arrive; otherwise only the batch job does, on batch_schedule."
  type        = bool
  default     = true
}

variable "service" {
  description = "A service on Cloud Run to which uploads are pushed, and which forecasts on request (docs/service.md): its bounds, and who may call it besides Pub/Sub, such as group:analysts@acme.example; null for none. Set streaming to false to have it instead of the streaming job."
  type = object({
    min_instances  = optional(number, 0)
    max_instances  = optional(number, 5)
    concurrency    = optional(number, 4)
    cpu            = optional(string, "2")
    memory         = optional(string, "4Gi")
    max_push_bytes = optional(number, 100000000)
    leave_large    = optional(bool, false)
    callers        = optional(list(string), [])
  })
  default = null
  validation {
    condition     = var.service == null ? true : alltrue([for number in [var.service.min_instances, var.service.max_instances, var.service.concurrency, var.service.max_push_bytes] : number >= 0 && floor(number) == number])
    error_message = "Instances, concurrency and bytes are whole numbers, not below 0."
  }
  validation {
    condition     = var.service == null ? true : var.service.max_instances >= max(var.service.min_instances, 1) && var.service.max_instances <= 1000 && var.service.concurrency >= 1 && var.service.concurrency <= 100
    error_message = "At least as many instances at most as at least, from 1 to 1000; a concurrency from 1 to 100."
  }
  validation {
    condition     = var.service == null ? true : contains(["1", "2", "4", "6", "8"], var.service.cpu) && can(regex("^([1-9]|[12][0-9]|3[0-2])Gi$", var.service.memory))
    error_message = "cpu is 1, 2, 4, 6 or 8; memory 1Gi to 32Gi."
  }
  validation {
    condition     = var.service == null ? true : alltrue([for caller in var.service.callers : can(regex("^(user|group|serviceAccount|domain):[^\\s:]+$", caller))])
    error_message = "Callers look like group:analysts@acme.example; allUsers and allAuthenticatedUsers are not among them."
  }
  validation {
    condition     = var.service == null ? true : !var.service.leave_large || var.streaming || var.batch_schedule != null
    error_message = "leave_large leaves files to a job: there must be one."
  }
}

variable "uploads_bucket" {
  description = "Name of an existing bucket of this project, in this region, into which CSVs are dropped; null creates one. Its settings and its other notifications stay as they are."
  type        = string
  default     = null
  validation {
    condition     = var.uploads_bucket == null || can(regex("^[a-z0-9][a-z0-9._-]{1,220}[a-z0-9]$", var.uploads_bucket))
    error_message = "The bare name of a bucket, such as acme-data-exports."
  }
}

variable "upload_prefix" {
  description = "Only objects below this prefix of the uploads' bucket are forecast; empty for all."
  type        = string
  default     = ""
  validation {
    condition     = var.upload_prefix == "" || can(regex("^([^/*?#\\[\\]]+/)+$", var.upload_prefix))
    error_message = "A prefix ends in a slash, does not begin with one, has no empty part and contains none of * ? # [ ]."
  }
  validation {
    condition     = !contains(split("/", var.upload_prefix), "_dropcast")
    error_message = "Objects below _dropcast are never forecast."
  }
}

variable "input_datasets" {
  description = "Datasets of BigQuery, as PROJECT.DATASET, whose tables and queries manifests may name (docs/bigquery-input.md)."
  type        = list(string)
  default     = []
  validation {
    condition     = alltrue([for dataset in var.input_datasets : can(regex("^[a-z][a-z0-9-]{4,28}[a-z0-9]\\.\\w+$", dataset))])
    error_message = "Datasets look like acme-data.sales."
  }
}

variable "output_prefix" {
  description = "Prefix in the forecasts' bucket below which they are written."
  type        = string
  default     = "daily"
  validation {
    condition     = can(regex("^[^/*?#\\[\\]]+(/[^/*?#\\[\\]]+)*$", var.output_prefix)) && !contains(split("/", var.output_prefix), "_dropcast")
    error_message = "One or more parts separated by single slashes, without one at either end; no part is _dropcast; none of * ? # [ ]."
  }
}

variable "options" {
  description = "Other options of the pipeline by name, such as { horizon = \"14\" }."
  type        = map(string)
  default     = {}
  validation {
    condition     = length(setintersection(keys(var.options), ["input", "input_subscription", "output", "dataset", "output_topic", "allow"])) == 0
    error_message = "The module itself sets where to read and write."
  }
  validation {
    condition     = length(setsubtract(keys(var.options), jsondecode(file("${path.module}/../../../templates/metadata.json")).parameters[*].name)) == 0
    error_message = "The template has no such option; templates/metadata.json lists them, with underscores."
  }
}

variable "machine_type" {
  description = "Machine type of the workers: forecasting is limited by the CPU and uses one process per vCPU. x86 only, like the image."
  type        = string
  default     = "e2-standard-2"
  validation {
    condition     = can(regex("^[a-z][0-9]+[a-z]?-[a-z0-9-]+$", var.machine_type)) && !can(regex("^(t2a|c4a|n4a|a4x)-", var.machine_type))
    error_message = "A machine type looks like e2-standard-2; those with Arm processors cannot run the image."
  }
}

variable "max_workers" {
  description = "Maximum number of workers; a streaming job has at least one."
  type        = number
  default     = 5
  validation {
    condition     = var.max_workers >= 1 && var.max_workers <= 1000 && floor(var.max_workers) == var.max_workers
    error_message = "A whole number between 1 and 1000."
  }
}

variable "batch_schedule" {
  description = "When a batch job forecasts uploads that have no receipt, as five cron fields; null for never."
  type        = string
  default     = null
  validation {
    condition     = var.batch_schedule == null || can(regex("^[0-9*/,-]+ [0-9*/,-]+ [0-9*/,-]+ [0-9A-Za-z*/,-]+ [0-9A-Za-z*/,-]+$", var.batch_schedule))
    error_message = "Five fields with single spaces: minute, hour, day, month, weekday, such as \"30 2 * * *\"."
  }
}

variable "batch_time_zone" {
  description = "Time zone of batch_schedule. Where clocks change, the hour from 2:00 to 3:00 may occur twice or not at all."
  type        = string
  default     = "Etc/UTC"
  validation {
    condition     = can(regex("^(UTC|[A-Z][A-Za-z]+(/[A-Z][A-Za-z0-9_+-]+){1,2})$", var.batch_time_zone))
    error_message = "A time zone of the tz database, such as Europe/Vienna."
  }
}

variable "partition_expiration_days" {
  description = "Number of days after which forecasts, history and receipts are deleted from the tables; null keeps them."
  type        = number
  default     = null
  validation {
    condition     = var.partition_expiration_days == null ? true : var.partition_expiration_days >= 1 && floor(var.partition_expiration_days) == var.partition_expiration_days
    error_message = "A whole number of days."
  }
}

variable "deletion_protection" {
  description = "Whether buckets and tables that hold data are protected from being destroyed."
  type        = bool
  default     = true
}

variable "kms_key" {
  description = "Key for buckets, topics, dataset, images and jobs (CMEK); null for Google's own keys. The module lets the services' agents use it."
  type        = string
  default     = null
  validation {
    condition     = var.kms_key == null || can(regex("^projects/[^/]+/locations/${var.region}/keyRings/[^/]+/cryptoKeys/[^/]+$", var.kms_key))
    error_message = "projects/P/locations/REGION/keyRings/R/cryptoKeys/K, in the region of the buckets."
  }
}

variable "subnetwork" {
  description = "Subnetwork of the workers with Private Google Access: regions/REGION/subnetworks/NAME, or the full URL of a shared one, whose owner must let the worker and Dataflow's agent use it (roles/compute.networkUser); null creates one."
  type        = string
  default     = null
  validation {
    condition     = var.subnetwork == null || can(regex("^(https://www\\.googleapis\\.com/compute/v1/projects/[^/]+/)?regions/${var.region}/subnetworks/[a-z][a-z0-9-]*$", var.subnetwork))
    error_message = "regions/REGION/subnetworks/NAME or https://www.googleapis.com/compute/v1/projects/P/regions/REGION/subnetworks/NAME, in the region of the workers."
  }
}

variable "airflow_service_account" {
  description = "Email of the account that Airflow (Composer) runs as: it may impersonate the launcher, which may then also list uploads and query the dataset; null grants neither."
  type        = string
  default     = null
  validation {
    condition     = var.airflow_service_account == null || can(regex("^[a-z0-9-]+@([a-z0-9-]+\\.)+gserviceaccount\\.com$", var.airflow_service_account))
    error_message = "The bare email of a service account, such as composer@acme-composer.iam.gserviceaccount.com."
  }
}

variable "alert_email" {
  description = "Email address for alerts, when something waits, fails or is lost; null for none."
  type        = string
  default     = null
  validation {
    condition     = var.alert_email == null || can(regex("^[^@\\s]+@[^@\\s]+\\.[^@\\s.]+$", var.alert_email))
    error_message = "Must be an email address, such as data@acme.example."
  }
}

variable "budget" {
  description = "Monthly budget of the project, in whole units of the billing account's currency; null for none."
  type = object({
    billing_account = string
    amount          = number
  })
  default = null
  validation {
    condition     = var.budget == null ? true : can(regex("^[0-9A-F]{6}-[0-9A-F]{6}-[0-9A-F]{6}$", var.budget.billing_account))
    error_message = "A billing account looks like 012345-6789AB-CDEF01."
  }
  validation {
    condition     = var.budget == null ? true : var.budget.amount >= 1 && floor(var.budget.amount) == var.budget.amount
    error_message = "A whole amount of at least 1."
  }
}
