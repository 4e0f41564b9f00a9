# terraform test: plans with made-up answers of the provider; no project is needed.

mock_provider "google" {
  mock_data "google_storage_project_service_account" {
    defaults = { email_address = "service-1@gs-project-accounts.iam.gserviceaccount.com" }
  }
}
mock_provider "google-beta" {}

variables {
  project          = "acme-data"
  region           = "europe-west1"
  template_version = "0.1.0"
  alert_email      = "data@acme.example"
}

run "buckets_are_closed_and_cheap" {
  command = apply

  assert {
    condition = alltrue([
      for bucket in [google_storage_bucket.uploads, google_storage_bucket.forecasts, google_storage_bucket.temp] :
      bucket.uniform_bucket_level_access && bucket.public_access_prevention == "enforced"
    ])
    error_message = "A bucket could be made public."
  }
  assert {
    condition     = !google_storage_bucket.uploads.force_destroy && !google_storage_bucket.forecasts.force_destroy
    error_message = "Data could be destroyed with the infrastructure."
  }
  assert {
    condition     = google_storage_bucket.forecasts.soft_delete_policy[0].retention_duration_seconds == 0
    error_message = "Work files would be billed after they are deleted."
  }
  assert {
    condition     = contains(flatten([for rule in google_storage_bucket.forecasts.lifecycle_rule : rule.condition[*].matches_prefix]), "daily/_dropcast/work/")
    error_message = "What a crash left among the work files would stay."
  }
}

run "no_file_is_lost_on_the_way" {
  command = apply

  assert {
    condition     = google_pubsub_subscription.uploads.expiration_policy[0].ttl == ""
    error_message = "The subscription would expire while nobody uploads."
  }
  assert {
    condition     = google_pubsub_subscription.uploads.message_retention_duration == "604800s"
    error_message = "Messages must be kept as long as keys are remembered."
  }
  assert {
    condition     = google_storage_notification.uploads.bucket == google_storage_bucket.uploads.name && google_storage_notification.uploads.event_types == toset(["OBJECT_FINALIZE"])
    error_message = "Only uploads are to be notified of."
  }
  assert {
    condition     = google_pubsub_topic_iam_member.storage_publishes.role == "roles/pubsub.publisher"
    error_message = "Cloud Storage could not publish."
  }
}

run "tables_are_those_of_the_pipeline" {
  command = apply

  assert {
    condition     = google_bigquery_table.tables["forecasts"].time_partitioning[0].field == "source_time"
    error_message = "Forecasts lie in any year: they cannot be partitioned by forecast_timestamp."
  }
  assert {
    condition     = google_bigquery_table.tables["forecasts"].clustering == tolist(["source", "series_id"])
    error_message = "Questions are about a source or a series."
  }
  assert {
    condition     = strcontains(google_bigquery_table.latest_forecasts.view[0].query, "FROM `acme-data.dropcast.receipts`")
    error_message = "A view must name its tables in full."
  }
  assert {
    condition     = !can(regex("(FROM|JOIN) (forecasts|receipts|dead_letters|history|latest_)", join("\n", values(local.view_sql))))
    error_message = "A view has a bare name."
  }
}

run "the_job_is_what_the_template_takes" {
  command = apply

  assert {
    condition     = google_dataflow_flex_template_job.streaming[0].container_spec_gcs_path == "gs://acme-data-dropcast-temp/templates/0.1.0/streaming.json"
    error_message = "The job must run the version that is asked for."
  }
  assert {
    condition     = toset(keys(google_dataflow_flex_template_job.streaming[0].parameters)) == toset(["input_subscription", "output", "dataset", "allow", "output_topic"])
    error_message = "The parameters changed: hold them against templates/metadata.json."
  }
  assert {
    condition     = google_dataflow_flex_template_job.streaming[0].on_delete == "drain" && google_dataflow_flex_template_job.streaming[0].ip_configuration == "WORKER_IP_PRIVATE"
    error_message = "The job must be drained, and its workers have no public address."
  }
}

run "each_account_may_do_what_it_must_and_no_more" {
  command = apply

  assert {
    condition = toset([for grant in google_project_iam_member.project : grant.role]) == toset([
      "roles/bigquery.jobUser", "roles/dataflow.developer", "roles/dataflow.worker", "roles/logging.logWriter",
      "roles/monitoring.metricWriter", "roles/ondemandscanning.admin",
    ])
    error_message = "Project-wide roles changed: docs/google-cloud.md has a table of them."
  }
  assert {
    condition = toset([for name, grant in google_storage_bucket_iam_member.buckets : "${name} ${grant.role}"]) == toset([
      "worker_reads_uploads roles/storage.objectViewer", "worker_writes_forecasts roles/storage.objectUser",
      "worker_sees_bucket roles/storage.legacyBucketReader", "worker_writes_temp roles/storage.objectUser",
      "launcher_reads_templates roles/storage.objectUser", "builder_writes_templates roles/storage.objectUser",
    ])
    error_message = "Roles on buckets changed: docs/google-cloud.md has a table of them."
  }
  assert {
    condition     = toset(keys(google_pubsub_subscription_iam_member.worker)) == toset(["roles/pubsub.subscriber", "roles/pubsub.viewer"]) && toset(keys(google_pubsub_topic_iam_member.worker_tracks_uploads)) == toset(["roles/pubsub.subscriber", "roles/pubsub.viewer"])
    error_message = "The worker could not read the subscription, or not track its watermark."
  }
  assert {
    condition     = google_bigquery_dataset_iam_member.worker.role == "roles/bigquery.dataEditor" && google_pubsub_topic_iam_member.worker_publishes_receipts.role == "roles/pubsub.publisher" && google_service_account_iam_member.launcher_uses_worker.role == "roles/iam.serviceAccountUser"
    error_message = "The worker could not write rows or receipts, or the launcher not start it."
  }
  assert {
    condition     = { for name, grant in google_artifact_registry_repository_iam_member.images : name => grant.role } == { worker = "roles/artifactregistry.reader", launcher = "roles/artifactregistry.reader", builder = "roles/artifactregistry.writer" }
    error_message = "Only the builder writes images."
  }
}

run "without_a_version_there_is_no_job" {
  command = apply
  variables {
    template_version = null
    alert_email      = null
  }
  assert {
    condition     = length(google_dataflow_flex_template_job.streaming) == 0 && length(google_monitoring_notification_channel.email) == 0
    error_message = "Everything but the job is made before the first release."
  }
}

run "wrong_inputs_are_refused" {
  command = plan
  variables {
    project       = "A"
    region        = "europe"
    upload_prefix = "incoming"
    options       = { output = "gs://elsewhere" }
    max_workers   = 0
  }
  expect_failures = [var.project, var.region, var.upload_prefix, var.options, var.max_workers]
}
