# The whole example with every option, planned with mocked provider responses. To read the plan line by line:
# terraform -chdir=terraform/example test -verbose

mock_provider "google" {
  mock_data "google_storage_project_service_account" {
    defaults = { email_address = "service-1@gs-project-accounts.iam.gserviceaccount.com" }
  }
  mock_data "google_project" {
    defaults = { number = "1" }
  }
}
mock_provider "google-beta" {}

override_resource {
  target = module.dropcast.google_service_account.accounts["worker"]
  values = { email = "dropcast-worker@acme-data.iam.gserviceaccount.com" }
}
override_resource {
  target = module.dropcast.google_service_account.accounts["launcher"]
  values = { email = "dropcast-launcher@acme-data.iam.gserviceaccount.com" }
}
override_resource {
  target = module.dropcast.google_service_account.accounts["builder"]
  values = { email = "dropcast-builder@acme-data.iam.gserviceaccount.com" }
}

override_resource {
  target = module.dropcast.google_service_account.service["service"]
  values = { email = "dropcast-service@acme-data.iam.gserviceaccount.com" }
}
override_resource {
  target = module.dropcast.google_service_account.service["pusher"]
  values = { email = "dropcast-pusher@acme-data.iam.gserviceaccount.com" }
}

override_resource {
  target = module.dropcast.google_pubsub_topic.receipts
  values = { id = "projects/acme-data/topics/dropcast-receipts" }
}
override_resource {
  target = module.dropcast.google_pubsub_subscription.uploads
  values = { id = "projects/acme-data/subscriptions/dropcast-uploads" }
}

variables {
  project          = "acme-data"
  template_version = "0.1.0"
  alert_email      = "data@acme.example"
  budget           = { billing_account = "012345-6789AB-CDEF01", amount = 300 }
  kms_key          = "projects/acme-keys/locations/europe-west1/keyRings/data/cryptoKeys/dropcast"
  subnetwork       = "regions/europe-west1/subnetworks/data"
  input_datasets   = ["acme-web.events"]
  service          = { callers = ["group:analysts@acme.example"] }

  airflow_service_account = "composer@acme-composer.iam.gserviceaccount.com"
}

run "everything" {
  command = apply

  assert {
    condition     = output.dropcast.uploads == "gs://acme-data-dropcast-uploads/" && output.dropcast.output == "gs://acme-data-dropcast-forecasts/daily"
    error_message = "The places differ from those in the docs."
  }
  assert {
    condition     = strcontains(output.launch_parameters, "history=true") && strcontains(output.launch_flags, "--subnetwork=regions/europe-west1/subnetworks/data")
    error_message = "make gcp-backfill would run with other options."
  }
}
