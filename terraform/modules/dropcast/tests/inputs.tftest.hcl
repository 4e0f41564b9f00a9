# Mistakes in the inputs are reported before anything is created.

mock_provider "google" {}
mock_provider "google-beta" {}

variables {
  project = "acme-data"
  region  = "europe-west1"
}

run "words_where_there_should_be_names" {
  command = plan
  variables {
    project          = "A"
    name             = "dropcast-"
    template_version = "latest"
    machine_type     = "large"
    alert_email      = "data"
    batch_schedule   = "daily"
    batch_time_zone  = "CET+1"
    upload_prefix    = "incoming"
    uploads_bucket   = "gs://acme-exports"
    input_datasets   = ["sales"]
    output_prefix    = "/daily"
    options          = { output = "gs://elsewhere" }
    max_workers      = 0
    kms_key          = "my-key"
    subnetwork       = "data"
    budget           = { billing_account = "mine", amount = 300 }

    partition_expiration_days = 0
    airflow_service_account   = "composer"
  }
  expect_failures = [
    var.project, var.name, var.template_version, var.machine_type, var.alert_email, var.batch_schedule, var.batch_time_zone,
    var.upload_prefix, var.uploads_bucket, var.input_datasets, var.output_prefix, var.options, var.max_workers, var.kms_key,
    var.subnetwork, var.budget, var.partition_expiration_days, var.airflow_service_account,
  ]
}

run "services_that_are_none" {
  command = plan
  variables {
    service = { callers = ["allUsers"], cpu = "3", max_instances = 0, concurrency = 0.5 }
  }
  expect_failures = [var.service]
}

run "nobody_is_left_for_large_files" {
  command = plan
  variables {
    service   = { leave_large = true }
    streaming = false
  }
  expect_failures = [var.service]
}

run "a_zone_is_no_region" {
  command = plan
  variables {
    region = "europe-west1-b"
  }
  expect_failures = [var.region]
}

run "nearly_right" {
  command = plan
  variables {
    name             = "goog-forecasts"
    template_version = "v0.1.0"
    machine_type     = "t2a-standard-2"
    alert_email      = "data@acme"
    batch_schedule   = "0 2 * *"
    upload_prefix    = "/incoming/"
    output_prefix    = "daily/"
    options          = { "id-columns" = "store" }
    max_workers      = 2.5
    kms_key          = "projects/acme/locations/us-east1/keyRings/r/cryptoKeys/k"
    subnetwork       = "regions/us-east1/subnetworks/data"
    budget           = { billing_account = "012345-6789AB-CDEF01", amount = 0.5 }

    airflow_service_account = "serviceAccount:composer@acme-composer.iam.gserviceaccount.com"
  }
  expect_failures = [
    var.name, var.template_version, var.machine_type, var.alert_email, var.batch_schedule, var.upload_prefix,
    var.output_prefix, var.options, var.max_workers, var.kms_key, var.subnetwork, var.budget, var.airflow_service_account,
  ]
}

run "places_that_are_the_pipelines_own" {
  command = plan
  variables {
    upload_prefix = "in/_dropcast/"
    output_prefix = "_dropcast"
    options       = { allow = "gs://everything/" }
  }
  expect_failures = [var.upload_prefix, var.output_prefix, var.options]
}

run "an_option_that_the_template_has_not" {
  command = plan
  variables {
    options = { horizn = "14" }
  }
  expect_failures = [var.options]
}

run "what_is_right_is_taken" {
  command = plan
  variables {
    name             = "d-1"
    template_version = "0.2.0-rc.1"
    machine_type     = "n2d-highmem-8"
    alert_email      = "data+alerts@eu.acme.example"
    batch_schedule   = "0 2 1-7 JAN-DEC MON"
    batch_time_zone  = "America/Argentina/Buenos_Aires"
    upload_prefix    = "in/daily files/"
    uploads_bucket   = "acme.exports_1"
    input_datasets   = ["acme-data.sales", "acme-web.events_1"]
    output_prefix    = "a/b"
    options          = { level = "80,95" }
    kms_key          = "projects/acme/locations/europe-west1/keyRings/r/cryptoKeys/k"
    subnetwork       = "https://www.googleapis.com/compute/v1/projects/acme-net/regions/europe-west1/subnetworks/data"
    budget           = { billing_account = "012345-6789AB-CDEF01", amount = 1 }

    partition_expiration_days = 400
    airflow_service_account   = "composer@acme-data.acme.example.iam.gserviceaccount.com"
  }
}

run "a_person_is_no_service_account" {
  command = plan
  variables {
    airflow_service_account = "data@acme.example"
  }
  expect_failures = [var.airflow_service_account]
}

run "compute_engines_default_account_is_one" {
  command = plan
  variables {
    airflow_service_account = "123456789012-compute@developer.gserviceaccount.com"
  }
}
