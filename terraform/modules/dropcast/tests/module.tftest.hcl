# terraform test: plans with mocked provider responses; no project is needed.

mock_provider "google" {
  mock_data "google_storage_project_service_account" {
    defaults = { email_address = "service-1@gs-project-accounts.iam.gserviceaccount.com" }
  }
  mock_data "google_bigquery_default_service_account" {
    defaults = { email = "bq-1@bigquery-encryption.iam.gserviceaccount.com" }
  }
  mock_data "google_project" {
    defaults = { number = "1" }
  }
}
mock_provider "google-beta" {}

override_resource {
  target = google_service_account.accounts["worker"]
  values = { email = "dropcast-worker@acme-data.iam.gserviceaccount.com" }
}
override_resource {
  target = google_service_account.accounts["launcher"]
  values = { email = "dropcast-launcher@acme-data.iam.gserviceaccount.com" }
}

variables {
  project          = "acme-data"
  region           = "europe-west1"
  template_version = "0.1.0"
  batch_schedule   = "30 4 * * *"
  alert_email      = "data@acme.example"
}

run "buckets_are_closed_and_cheap" {
  command = apply

  assert {
    condition = alltrue([
      for bucket in [google_storage_bucket.uploads[0], google_storage_bucket.forecasts, google_storage_bucket.temp] :
      bucket.uniform_bucket_level_access && bucket.public_access_prevention == "enforced"
    ])
    error_message = "A bucket could be made public."
  }
  assert {
    condition     = !google_storage_bucket.uploads[0].force_destroy && !google_storage_bucket.forecasts.force_destroy
    error_message = "Data could be destroyed with the infrastructure."
  }
  assert {
    condition     = google_storage_bucket.uploads[0].soft_delete_policy[0].retention_duration_seconds == 604800 && google_storage_bucket.forecasts.soft_delete_policy[0].retention_duration_seconds == 0 && google_storage_bucket.temp.soft_delete_policy[0].retention_duration_seconds == 0
    error_message = "What was overwritten could not be restored, or work files would be billed after they are deleted."
  }
  assert {
    condition     = contains(flatten([for rule in google_storage_bucket.forecasts.lifecycle_rule : rule.condition[*].matches_prefix]), "daily/_dropcast/work/")
    error_message = "Work files that a crash left behind would stay."
  }
  assert {
    condition = alltrue(flatten([for bucket in [google_storage_bucket.uploads[0], google_storage_bucket.forecasts, google_storage_bucket.temp] : [
      for rule in bucket.lifecycle_rule : [for action in rule.action : action.type == "AbortIncompleteMultipartUpload" || length(flatten(rule.condition[*].matches_prefix)) > 0]
    ]]))
    error_message = "A rule deletes objects without being limited to a prefix."
  }
  assert {
    condition     = alltrue([for rule in google_storage_bucket.uploads[0].lifecycle_rule : alltrue([for action in rule.action : action.type == "AbortIncompleteMultipartUpload"])])
    error_message = "Uploads are not Dropcast's to delete."
  }
  assert {
    condition     = !anytrue([for prefix in flatten([for rule in google_storage_bucket.temp.lifecycle_rule : rule.condition[*].matches_prefix]) : startswith("staging/", prefix) || startswith("templates/", prefix)])
    error_message = "A streaming job's new workers would not find what was staged, or a released template would be gone."
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
    condition     = google_storage_notification.uploads.bucket == google_storage_bucket.uploads[0].name && google_storage_notification.uploads.event_types == toset(["OBJECT_FINALIZE"]) && google_storage_notification.uploads.object_name_prefix == null
    error_message = "Only uploads may cause notifications."
  }
  assert {
    condition     = google_storage_bucket.uploads[0].name != google_storage_bucket.forecasts.name
    error_message = "What the pipeline writes, least of all _dropcast/, must not cause notifications."
  }
  assert {
    condition     = google_pubsub_topic_iam_member.storage_publishes.role == "roles/pubsub.publisher" && google_pubsub_topic_iam_member.storage_publishes.member == "serviceAccount:service-1@gs-project-accounts.iam.gserviceaccount.com"
    error_message = "Cloud Storage could not publish."
  }
}

run "a_prefix_narrows_notification_and_allow" {
  command = apply
  variables {
    upload_prefix = "in/daily/"
  }
  assert {
    condition     = google_storage_notification.uploads.object_name_prefix == "in/daily/" && google_dataflow_flex_template_job.streaming[0].parameters.allow == "gs://acme-data-dropcast-uploads/in/daily/"
    error_message = "Objects outside the prefix would be forecast."
  }
}

run "tables_are_those_of_the_pipeline" {
  command = apply

  assert {
    condition     = google_bigquery_table.tables["forecasts"].time_partitioning[0].field == "source_time"
    error_message = "Forecasts may be for any year: they cannot be partitioned by forecast_timestamp."
  }
  assert {
    condition     = google_bigquery_table.tables["forecasts"].clustering == tolist(["source", "series_id"])
    error_message = "Queries are about a source or a series."
  }
  assert {
    condition     = strcontains(google_bigquery_table.latest_forecasts.view[0].query, "JOIN `acme-data.dropcast.current_requests`")
    error_message = "A view must name its tables in full."
  }
  assert {
    condition     = !can(regex("(FROM|JOIN) (forecasts|receipts|dead_letters|history|backtests|actuals|latest_|current_)", join("\n", values(local.view_sql))))
    error_message = "A view has a bare name."
  }
}

run "the_job_is_what_the_template_takes" {
  command = apply

  assert {
    condition     = google_dataflow_flex_template_job.streaming[0].container_spec_gcs_path == "gs://acme-data-dropcast-temp/templates/0.1.0/streaming.json"
    error_message = "The job must run the version that is requested."
  }
  assert {
    condition     = toset(keys(google_dataflow_flex_template_job.streaming[0].parameters)) == toset(["input_subscription", "output", "dataset", "allow", "output_topic"])
    error_message = "The parameters changed: compare them with templates/metadata.json."
  }
  assert {
    condition     = google_dataflow_flex_template_job.streaming[0].on_delete == "drain" && google_dataflow_flex_template_job.streaming[0].ip_configuration == "WORKER_IP_PRIVATE"
    error_message = "The job must be drained, and its workers must have no public address."
  }
  assert {
    condition     = contains(google_dataflow_flex_template_job.streaming[0].additional_experiments, "streaming_mode_at_least_once")
    error_message = "The job would run exactly-once: the template's default applies only in the console."
  }
  assert {
    condition     = google_dataflow_flex_template_job.streaming[0].enable_streaming_engine && google_dataflow_flex_template_job.streaming[0].num_workers == 1 && google_dataflow_flex_template_job.streaming[0].max_workers == 5
    error_message = "The job must scale between one worker and max_workers."
  }
  assert {
    condition     = google_dataflow_flex_template_job.streaming[0].labels.version == "0-1-0"
    error_message = "A label has no dots."
  }
}

run "workers_reach_googles_apis_without_an_address" {
  command = apply

  assert {
    condition     = google_compute_subnetwork.own[0].private_ip_google_access && !google_compute_network.own[0].auto_create_subnetworks
    error_message = "Workers without an address would reach no API."
  }
  assert {
    condition     = google_dataflow_flex_template_job.streaming[0].subnetwork == "regions/europe-west1/subnetworks/dropcast"
    error_message = "The job must run in that subnetwork."
  }
}

run "a_subnetwork_that_is_given_is_used" {
  command = apply
  variables {
    subnetwork = "https://www.googleapis.com/compute/v1/projects/acme-net/regions/europe-west1/subnetworks/data"
  }
  assert {
    condition     = length(google_compute_subnetwork.own) == 0 && google_dataflow_flex_template_job.streaming[0].subnetwork == var.subnetwork && strcontains(output.launch_flags, "--subnetwork=${var.subnetwork} ")
    error_message = "The job must run in the subnetwork that is given."
  }
}

run "the_nightly_launch" {
  command = apply
  variables {
    options         = { horizon = "14" }
    batch_time_zone = "Europe/Vienna"
    kms_key         = "projects/acme-keys/locations/europe-west1/keyRings/r/cryptoKeys/k"
  }
  assert {
    condition     = google_cloud_scheduler_job.nightly[0].schedule == "30 4 * * *" && google_cloud_scheduler_job.nightly[0].time_zone == "Europe/Vienna"
    error_message = "The job must start at the requested time."
  }
  assert {
    condition     = google_cloud_scheduler_job.nightly[0].http_target[0].uri == "https://dataflow.googleapis.com/v1b3/projects/acme-data/locations/europe-west1/flexTemplates:launch" && google_cloud_scheduler_job.nightly[0].http_target[0].http_method == "POST"
    error_message = "A Flex Template is launched by a POST to flexTemplates:launch."
  }
  assert {
    condition     = google_cloud_scheduler_job.nightly[0].http_target[0].oauth_token[0].service_account_email == "dropcast-launcher@acme-data.iam.gserviceaccount.com"
    error_message = "The launcher starts jobs."
  }
  assert {
    condition     = google_cloud_scheduler_job.nightly[0].retry_config[0].retry_count == 3
    error_message = "A lost response would cost a night."
  }
  assert {
    condition = jsondecode(base64decode(google_cloud_scheduler_job.nightly[0].http_target[0].body)) == {
      launchParameter = {
        jobName              = "dropcast-nightly"
        containerSpecGcsPath = "gs://acme-data-dropcast-temp/templates/0.1.0/batch.json"
        parameters = {
          allow        = "gs://acme-data-dropcast-uploads/"
          dataset      = "acme-data.dropcast"
          horizon      = "14"
          input        = "gs://acme-data-dropcast-uploads/"
          output       = "gs://acme-data-dropcast-forecasts/daily"
          output_topic = google_pubsub_topic.receipts.id
        }
        environment = {
          additionalUserLabels = { app = "dropcast" }
          ipConfiguration      = "WORKER_IP_PRIVATE"
          kmsKeyName           = "projects/acme-keys/locations/europe-west1/keyRings/r/cryptoKeys/k"
          machineType          = "e2-standard-2"
          maxWorkers           = 5
          serviceAccountEmail  = "dropcast-worker@acme-data.iam.gserviceaccount.com"
          stagingLocation      = "gs://acme-data-dropcast-temp/temp/staging"
          subnetwork           = "regions/europe-west1/subnetworks/dropcast"
          tempLocation         = "gs://acme-data-dropcast-temp/temp"
        }
      }
    }
    error_message = "The launch is not what it should be."
  }
  assert {
    condition     = { for name, value in google_dataflow_flex_template_job.streaming[0].parameters : name => value if name != "input_subscription" } == { for name, value in jsondecode(base64decode(google_cloud_scheduler_job.nightly[0].http_target[0].body)).launchParameter.parameters : name => value if name != "input" }
    error_message = "With other options what the stream has done would not count as done."
  }
  assert {
    condition     = jsondecode(output.airflow_environment).kmsKeyName == var.kms_key && jsondecode(output.airflow_environment).machineType == var.machine_type
    error_message = "Airflow's jobs must run with what the nightly job runs with."
  }
  assert {
    condition     = strcontains(output.launch_parameters, "~horizon=14~") && endswith(output.launch_flags, "--dataflow-kms-key=${var.kms_key}")
    error_message = "make gcp-backfill would run with other options."
  }
}

run "each_account_may_do_what_it_must_and_no_more" {
  command = apply

  assert {
    condition = { for name, grant in google_project_iam_member.project : name => grant.role } == {
      worker_dataflow   = "roles/dataflow.worker"
      worker_jobs       = "roles/bigquery.jobUser"
      worker_metrics    = "roles/monitoring.metricWriter"
      launcher_dataflow = "roles/dataflow.developer"
      builder_logs      = "roles/logging.logWriter"
      builder_scan      = "roles/ondemandscanning.admin"
    }
    error_message = "Project-wide roles changed: docs/google-cloud.md has a table of them."
  }
  assert {
    condition = { for name, grant in google_storage_bucket_iam_member.buckets : name => "${grant.role} ${grant.bucket}" } == {
      worker_reads_uploads     = "roles/storage.objectViewer acme-data-dropcast-uploads"
      worker_writes_forecasts  = "roles/storage.objectUser acme-data-dropcast-forecasts"
      worker_sees_bucket       = "roles/storage.legacyBucketReader acme-data-dropcast-forecasts"
      worker_writes_temp       = "roles/storage.objectUser acme-data-dropcast-temp"
      launcher_reads_templates = "roles/storage.objectUser acme-data-dropcast-temp"
      builder_adds_templates   = "roles/storage.objectCreator acme-data-dropcast-temp"
      builder_reads_source     = "roles/storage.objectViewer acme-data-dropcast-temp"
    }
    error_message = "Roles on buckets changed: docs/google-cloud.md has a table of them."
  }
  assert {
    condition     = alltrue([for name, grant in merge(google_project_iam_member.project, google_storage_bucket_iam_member.buckets) : grant.member == { worker = local.worker, launcher = local.launcher, builder = local.builder }[split("_", name)[0]]])
    error_message = "A role went to an account other than the one it is named after."
  }
  assert {
    condition     = toset(keys(google_pubsub_subscription_iam_member.worker)) == toset(["roles/pubsub.subscriber", "roles/pubsub.viewer"])
    error_message = "The worker could not read the subscription."
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

run "airflow_impersonates_the_launcher_which_may_look" {
  command = apply
  variables {
    airflow_service_account = "composer@acme-composer.iam.gserviceaccount.com"
  }
  assert {
    condition = {
      for grant in google_service_account_iam_member.airflow_impersonates_launcher : grant.member => [grant.role, grant.service_account_id]
    } == { "serviceAccount:composer@acme-composer.iam.gserviceaccount.com" = ["roles/iam.serviceAccountTokenCreator", google_service_account.accounts["launcher"].name] }
    error_message = "Airflow could not impersonate the launcher, or could another account."
  }
  assert {
    condition     = [for grant in google_storage_bucket_iam_member.airflow_lists_uploads : [grant.member, grant.role, grant.bucket]] == [[local.launcher, "roles/storage.objectViewer", "acme-data-dropcast-uploads"]]
    error_message = "The launcher could not list uploads, or another bucket."
  }
  assert {
    condition     = [for grant in google_project_iam_member.airflow_queries : [grant.member, grant.role, grant.project]] == [[local.launcher, "roles/bigquery.jobUser", "acme-data"]]
    error_message = "The launcher could not query."
  }
  assert {
    condition     = [for grant in google_bigquery_dataset_iam_member.airflow_reads_receipts : [grant.member, grant.role, grant.dataset_id]] == [[local.launcher, "roles/bigquery.dataViewer", "dropcast"]]
    error_message = "The launcher could not read receipts, or could change them."
  }
}

run "without_airflow_the_launcher_only_launches" {
  command = apply

  assert {
    condition     = length(concat(google_service_account_iam_member.airflow_impersonates_launcher, google_storage_bucket_iam_member.airflow_lists_uploads, google_project_iam_member.airflow_queries, google_bigquery_dataset_iam_member.airflow_reads_receipts)) == 0
    error_message = "Airflow was not requested, but its permissions are granted."
  }
}

run "a_key_of_ones_own_is_granted_to_the_agents" {
  command = apply
  variables {
    kms_key = "projects/acme-keys/locations/europe-west1/keyRings/r/cryptoKeys/k"
  }
  assert {
    condition = { for name, grant in google_kms_crypto_key_iam_member.agents : name => grant.member } == {
      artifactregistry = "serviceAccount:service-1@gcp-sa-artifactregistry.iam.gserviceaccount.com"
      bigquery         = "serviceAccount:bq-1@bigquery-encryption.iam.gserviceaccount.com"
      compute          = "serviceAccount:service-1@compute-system.iam.gserviceaccount.com"
      dataflow         = "serviceAccount:service-1@dataflow-service-producer-prod.iam.gserviceaccount.com"
      pubsub           = "serviceAccount:service-1@gcp-sa-pubsub.iam.gserviceaccount.com"
      storage          = "serviceAccount:service-1@gs-project-accounts.iam.gserviceaccount.com"
    }
    error_message = "A service could not encrypt."
  }
  assert {
    condition     = alltrue([for grant in google_kms_crypto_key_iam_member.agents : grant.role == "roles/cloudkms.cryptoKeyEncrypterDecrypter" && grant.crypto_key_id == var.kms_key])
    error_message = "A service could not encrypt."
  }
  assert {
    condition = alltrue(concat(
      [for bucket in [google_storage_bucket.uploads[0], google_storage_bucket.forecasts, google_storage_bucket.temp] : bucket.encryption[0].default_kms_key_name == var.kms_key],
      [for topic in [google_pubsub_topic.uploads, google_pubsub_topic.receipts] : topic.kms_key_name == var.kms_key],
      [google_bigquery_dataset.dropcast.default_encryption_configuration[0].kms_key_name == var.kms_key],
      [google_artifact_registry_repository.images.kms_key_name == var.kms_key],
      [google_dataflow_flex_template_job.streaming[0].kms_key_name == var.kms_key],
    ))
    error_message = "Something would be kept under another key."
  }
}

run "alerts_look_at_what_they_say" {
  command = apply
  variables {
    budget = { billing_account = "012345-6789AB-CDEF01", amount = 300 }
  }
  assert {
    condition = { for name, policy in google_monitoring_alert_policy.levels : name => regex("resource.type = \"(\\w+)\".*metric.type = \"([^\"]+)\"", policy.conditions[0].condition_threshold[0].filter) } == {
      backlog   = ["pubsub_subscription", "pubsub.googleapis.com/subscription/oldest_unacked_message_age"]
      watermark = ["dataflow_job", "dataflow.googleapis.com/job/data_watermark_age"]
      failed    = ["dataflow_job", "dataflow.googleapis.com/job/is_failed"]
    }
    error_message = "An alert looks at a metric that its resource does not have."
  }
  assert {
    condition     = google_monitoring_alert_policy.no_job[0].conditions[0].condition_absent[0].aggregations[0].group_by_fields == tolist(["resource.label.job_name"])
    error_message = "Each update of the job would raise an alert."
  }
  assert {
    condition     = google_monitoring_alert_policy.silence[0].conditions[0].condition_prometheus_query_language[0].query == "(sum(increase(pubsub_googleapis_com:topic_send_request_count{monitored_resource=\"pubsub_topic\",response_class=\"success\",topic_id=\"dropcast-uploads\"}[1h])) > 0) unless (sum(increase(pubsub_googleapis_com:topic_send_request_count{monitored_resource=\"pubsub_topic\",response_class=\"success\",topic_id=\"dropcast-receipts\"}[1h])) > 0)"
    error_message = "Uploads without receipts would not be noticed."
  }
  assert {
    condition = { for name, policy in google_monitoring_alert_policy.lines : name => policy.conditions[0].condition_matched_log[0].filter } == {
      dead_letters = "resource.type=\"dataflow_step\" AND resource.labels.job_name=~\"^dropcast(-backfill(-.*)?)?$\" AND jsonPayload.message=~\"^(failed|partial) (gs://|message)\""
      own_faults   = "resource.type=\"dataflow_step\" AND resource.labels.job_name=~\"^dropcast(-nightly|-backfill(-.*)?)?$\" AND jsonPayload.message=~\"^(INTERNAL_ERROR|CRASHED) \""
      unforecast   = "resource.type=\"dataflow_step\" AND resource.labels.job_name=\"dropcast-nightly\" AND jsonPayload.message=~\"^(complete|partial) gs://\""
      launch       = "resource.type=\"cloud_scheduler_job\" AND resource.labels.job_id=\"dropcast-nightly\" AND severity>=ERROR"
    }
    error_message = "A log line would not be noticed."
  }
  assert {
    condition     = alltrue([for policy in concat(values(google_monitoring_alert_policy.levels), values(google_monitoring_alert_policy.lines), google_monitoring_alert_policy.no_job, google_monitoring_alert_policy.silence) : length(policy.notification_channels) == 1])
    error_message = "Nobody would be told."
  }
  assert {
    condition     = google_billing_budget.budget[0].budget_filter[0].projects == toset(["projects/1"]) && length(google_billing_budget.budget[0].all_updates_rule) == 1
    error_message = "The budget is another project's, or nobody would be told."
  }
}

run "by_night_alone" {
  command = apply
  variables {
    streaming = false
  }
  assert {
    condition     = length(google_dataflow_flex_template_job.streaming) == 0 && length(google_cloud_scheduler_job.nightly) == 1
    error_message = "Only the batch job is requested."
  }
  assert {
    condition     = toset(keys(google_monitoring_alert_policy.levels)) == toset(["failed"]) && toset(keys(google_monitoring_alert_policy.lines)) == toset(["dead_letters", "launch", "own_faults"]) && length(google_monitoring_alert_policy.no_job) + length(google_monitoring_alert_policy.silence) == 0
    error_message = "Without a streaming job, uploads that wait for the night must not raise an alert."
  }
  assert {
    condition     = strcontains(google_monitoring_alert_policy.lines["dead_letters"].conditions[0].condition_matched_log[0].filter, "^dropcast(-nightly|-backfill(-.*)?)?$")
    error_message = "Dead letters of the nightly job would not be noticed."
  }
}

run "without_a_version_there_is_no_job" {
  command = apply
  variables {
    template_version = null
    alert_email      = null
    budget           = { billing_account = "012345-6789AB-CDEF01", amount = 300 }
  }
  assert {
    condition     = length(google_dataflow_flex_template_job.streaming) + length(google_cloud_scheduler_job.nightly) + length(google_monitoring_notification_channel.email) + length(google_monitoring_alert_policy.no_job) == 0
    error_message = "Everything except the jobs is created before the first release."
  }
  assert {
    condition     = length(google_billing_budget.budget[0].all_updates_rule) == 0
    error_message = "A budget rule without a channel is refused."
  }
}

run "names_are_within_their_limits" {
  command = apply
  variables {
    project = "a2345678901234567890123456789z"
    name    = "d234567890123456789z"
  }
  assert {
    condition     = max([for bucket in [google_storage_bucket.uploads[0], google_storage_bucket.forecasts, google_storage_bucket.temp] : length(bucket.name)]...) <= 63
    error_message = "A bucket's name has at most 63 characters."
  }
  assert {
    condition     = max([for account in google_service_account.accounts : length(account.account_id)]...) <= 30
    error_message = "An account's id has at most 30 characters."
  }
}

run "an_existing_bucket_is_left_as_it_is" {
  command = apply
  variables {
    uploads_bucket = "acme-exports"
    upload_prefix  = "sales/"
  }

  assert {
    condition     = length(google_storage_bucket.uploads) == 0
    error_message = "A bucket is made beside the one that is there."
  }
  assert {
    condition     = google_storage_notification.uploads.bucket == "acme-exports" && google_storage_notification.uploads.object_name_prefix == "sales/"
    error_message = "Nothing would be told of uploads."
  }
  assert {
    condition     = google_storage_bucket_iam_member.buckets["worker_reads_uploads"].bucket == "acme-exports" && local.parameters.allow == "gs://acme-exports/sales/"
    error_message = "The worker could not read uploads."
  }
}

run "datasets_may_be_inputs" {
  command = apply
  variables {
    input_datasets = ["acme-web.events"]
  }

  assert {
    condition     = local.parameters.allow == "gs://acme-data-dropcast-uploads/,bigquery:acme-web.events" && jsondecode(base64decode(google_cloud_scheduler_job.nightly[0].http_target[0].body)).launchParameter.parameters.input == "gs://acme-data-dropcast-uploads/"
    error_message = "Manifests could not name the dataset's tables, or the nightly job would look for them among the objects."
  }
  assert {
    condition     = one(values(google_bigquery_dataset_iam_member.worker_reads_inputs)).project == "acme-web" && one(values(google_bigquery_dataset_iam_member.worker_reads_inputs)).dataset_id == "events" && length(google_project_iam_member.worker_opens_read_sessions) == 1
    error_message = "The worker could not read the dataset."
  }
}

run "without_a_service_there_is_nothing_of_it" {
  command = plan

  assert {
    condition     = length(google_cloud_run_v2_service.service) + length(google_pubsub_subscription.push) + length(google_service_account.service) == 0
    error_message = "A service nobody asked for."
  }
}

run "the_service_instead_of_the_streaming_job" {
  command = apply
  variables {
    streaming = false
    service   = {}
  }
  override_resource {
    target = google_service_account.service["service"]
    values = { email = "dropcast-service@acme-data.iam.gserviceaccount.com" }
  }
  override_resource {
    target = google_service_account.service["pusher"]
    values = { email = "dropcast-pusher@acme-data.iam.gserviceaccount.com" }
  }
  override_resource {
    target = google_cloud_run_v2_service.service["on"]
    values = { uri = "https://dropcast-1.run.app" }
  }

  assert {
    condition     = length(google_dataflow_flex_template_job.streaming) == 0
    error_message = "Both serve the bucket."
  }
  assert {
    condition     = google_cloud_run_v2_service.service["on"].ingress == "INGRESS_TRAFFIC_INTERNAL_ONLY" && !google_cloud_run_v2_service.service["on"].invoker_iam_disabled
    error_message = "Others than Pub/Sub can reach it."
  }
  assert {
    condition     = toset(keys(google_cloud_run_v2_service_iam_member.callers)) == toset(["pusher"]) && google_cloud_run_v2_service_iam_member.callers["pusher"].member == "serviceAccount:dropcast-pusher@acme-data.iam.gserviceaccount.com"
    error_message = "Others than the pusher may call it."
  }
  assert {
    condition     = google_pubsub_subscription.push["on"].push_config[0].push_endpoint == "https://dropcast-1.run.app/" && google_pubsub_subscription.push["on"].push_config[0].oidc_token[0].audience == "dropcast-push"
    error_message = "Pushes go elsewhere, or without a token."
  }
  assert {
    condition     = alltrue([for argument in ["--behind_iam", "--push_audience=dropcast-push", "--push_account=dropcast-pusher@acme-data.iam.gserviceaccount.com", "--at_once=4", "--output=${output.output}", "--dataset=${output.dataset}", "--output_topic=${output.receipts}"] : contains(google_cloud_run_v2_service.service["on"].template[0].containers[0].args, argument)])
    error_message = "It does not write where the jobs do, or verifies no tokens."
  }
  assert {
    condition     = google_cloud_run_v2_service.service["on"].template[0].timeout == "600s" && google_pubsub_subscription.push["on"].ack_deadline_seconds == 600
    error_message = "A push would be given up in mid-work."
  }
  assert {
    condition     = google_cloud_run_v2_service.service["on"].template[0].scaling[0].min_instance_count == 0
    error_message = "It costs money while nobody asks."
  }
  assert {
    condition     = google_pubsub_subscription.push["on"].dead_letter_policy[0].max_delivery_attempts == 100 && google_pubsub_subscription.undelivered["on"].expiration_policy[0].ttl == "" && google_pubsub_topic_iam_member.pubsub_gives_up["on"].member == "serviceAccount:service-1@gcp-sa-pubsub.iam.gserviceaccount.com"
    error_message = "What cannot be delivered is gone, or comes for ever."
  }
  assert {
    condition     = sort(values(google_storage_bucket_iam_member.service)[*].role) == tolist(["roles/storage.legacyBucketReader", "roles/storage.objectUser", "roles/storage.objectViewer"]) && toset(values(google_project_iam_member.service)[*].role) == toset(["roles/bigquery.jobUser"])
    error_message = "It may do more than it needs."
  }
  assert {
    condition     = contains(keys(google_monitoring_alert_policy.levels), "push_backlog") && contains(keys(google_monitoring_alert_policy.lines), "service_dead_letters") && length(google_monitoring_alert_policy.silence) == 1
    error_message = "Nobody hears when it fails."
  }
}

run "a_service_that_others_may_call_beside_the_streaming_job" {
  command = plan
  variables {
    service        = { callers = ["group:analysts@acme.example"], max_instances = 20, concurrency = 8, leave_large = true }
    input_datasets = ["acme-data.sales"]
    kms_key        = "projects/acme/locations/europe-west1/keyRings/r/cryptoKeys/k"
  }

  assert {
    condition     = length(google_dataflow_flex_template_job.streaming) == 1 && google_cloud_run_v2_service.service["on"].ingress == "INGRESS_TRAFFIC_ALL"
    error_message = "Those who may call it cannot reach it."
  }
  assert {
    condition     = sort(keys(google_cloud_run_v2_service_iam_member.callers)) == tolist(["group:analysts@acme.example", "pusher"])
    error_message = "The wrong ones may call it."
  }
  assert {
    condition     = google_cloud_run_v2_service.service["on"].template[0].encryption_key != null && contains(keys(google_kms_crypto_key_iam_member.agents), "run")
    error_message = "The key is not used, or Cloud Run may not use it."
  }
  assert {
    condition     = contains(google_cloud_run_v2_service.service["on"].template[0].containers[0].args, "--leave_large") && google_cloud_run_v2_service.service["on"].template[0].max_instance_request_concurrency == 8
    error_message = "Options do not arrive."
  }
}
