# Planned with mocked provider responses.

mock_provider "google" {
  mock_data "google_storage_project_service_account" {
    defaults = { email_address = "service-1@gs-project-accounts.iam.gserviceaccount.com" }
  }
  mock_data "google_project" {
    defaults = { number = "1" }
  }
  mock_data "google_compute_subnetwork" {
    defaults = { private_ip_google_access = true }
  }
}
mock_provider "google-beta" {}

override_resource {
  target = module.dropcast.google_service_account.accounts["worker"]
  values = { email = "dropcast-worker@acme-data.iam.gserviceaccount.com" }
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
  target = module.dropcast.google_cloud_run_v2_service.service["on"]
  values = { uri = "https://dropcast.example" }
}

variables {
  project          = "acme-data"
  region           = "europe-west1"
  uploads_bucket   = "acme-exports"
  upload_prefix    = "sales/"
  network_project  = "acme-network"
  subnetwork       = "data"
  template_version = "0.1.0"
}

run "what_is_there_is_used" {
  command = apply

  assert {
    condition     = output.dropcast.uploads == "gs://acme-exports/sales/" && strcontains(output.dropcast.launch_parameters, "allow=gs://acme-exports/sales/")
    error_message = "Another bucket than the one that is there."
  }
  assert {
    condition     = strcontains(output.dropcast.launch_flags, "--subnetwork=https://www.googleapis.com/compute/v1/projects/acme-network/regions/europe-west1/subnetworks/data ")
    error_message = "Another network than the one that is there."
  }
  assert {
    condition = toset([for grant in google_compute_subnetwork_iam_member.users : "${grant.project} ${grant.member}"]) == toset([
      "acme-network serviceAccount:dropcast-worker@acme-data.iam.gserviceaccount.com",
      "acme-network serviceAccount:service-1@dataflow-service-producer-prod.iam.gserviceaccount.com",
    ])
    error_message = "Workers could not use the subnetwork."
  }
}

run "a_subnetwork_from_which_nothing_is_reached" {
  command = plan
  override_data {
    target = data.google_compute_subnetwork.workers
    values = { private_ip_google_access = false }
  }
  expect_failures = [data.google_compute_subnetwork.workers]
}

run "the_service_instead_of_the_job" {
  command = apply
  variables {
    streaming = false
    service   = {}
  }
  assert {
    condition     = output.dropcast.service_url == "https://dropcast.example"
    error_message = "No service."
  }
}
