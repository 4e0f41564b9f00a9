locals {
  channels  = [for channel in google_monitoring_notification_channel.email : channel.id]
  streaming = var.template_version != null && var.streaming
  nightly   = var.template_version != null && var.batch_schedule != null
  job       = "resource.type = \"dataflow_job\" AND resource.labels.job_name = \"${var.name}\""
  jobs      = "resource.type = \"dataflow_job\" AND resource.labels.job_name = monitoring.regex.full_match(\"${var.name}(-nightly|-backfill(-.*)?)?\")"
  # the pipeline logs one line per receipt: "failed gs://...", "partial gs://..."
  receipts  = "resource.type=\"dataflow_step\" AND resource.labels.job_name"
  revision  = "resource.type=\"cloud_run_revision\" AND resource.labels.service_name=\"${var.name}\""
  requests  = "pubsub_googleapis_com:topic_send_request_count{monitored_resource=\"pubsub_topic\",response_class=\"success\",topic_id"
  published = { for topic in [google_pubsub_topic.uploads, google_pubsub_topic.receipts] : topic.name => "sum(increase(${local.requests}=\"${topic.name}\"}[1h]))" }
}

resource "google_monitoring_notification_channel" "email" {
  count        = var.alert_email == null ? 0 : 1
  project      = var.project
  display_name = "${var.name}: alerts"
  type         = "email"
  labels       = { email_address = var.alert_email }
}

# What each means, and what to do: docs/run-book.md.
resource "google_monitoring_alert_policy" "levels" {
  for_each = { for name, policy in {
    backlog = {
      made      = local.streaming
      title     = "uploads wait for more than 15 minutes"
      filter    = "resource.type = \"pubsub_subscription\" AND resource.labels.subscription_id = \"${google_pubsub_subscription.uploads.name}\" AND metric.type = \"pubsub.googleapis.com/subscription/oldest_unacked_message_age\""
      threshold = 900
      duration  = "300s"
      hint      = "Is the job running, and can it scale further? docs/run-book.md, Backlog."
    }
    push_backlog = {
      made      = local.service
      title     = "uploads wait for more than 15 minutes to be pushed"
      filter    = "resource.type = \"pubsub_subscription\" AND resource.labels.subscription_id = \"${var.name}-push\" AND metric.type = \"pubsub.googleapis.com/subscription/oldest_unacked_message_age\""
      threshold = 900
      duration  = "300s"
      hint      = "Does the service answer, and may it have more instances? docs/run-book.md, Backlog."
    }
    undelivered = {
      made      = local.service
      title     = "a message could not be delivered to the service"
      filter    = "resource.type = \"pubsub_subscription\" AND resource.labels.subscription_id = \"${var.name}-undelivered\" AND metric.type = \"pubsub.googleapis.com/subscription/num_undelivered_messages\""
      threshold = 0
      duration  = "0s"
      hint      = "The service's log says why; dropcast reconcile finds uploads without a forecast. docs/run-book.md, Backlog."
    }
    watermark = {
      made      = local.streaming
      title     = "the job is more than 15 minutes behind"
      filter    = "${local.job} AND metric.type = \"dataflow.googleapis.com/job/data_watermark_age\""
      threshold = 900
      duration  = "300s"
      hint      = "A step is stuck or being retried: look at its errors. docs/run-book.md, Backlog."
    }
    failed = {
      made      = true
      title     = "a job has failed"
      filter    = "${local.jobs} AND metric.type = \"dataflow.googleapis.com/job/is_failed\""
      threshold = 0
      duration  = "0s"
      hint      = "Streaming, nightly or backfill: its log says why. docs/run-book.md, No job."
    }
  } : name => policy if policy.made }
  project      = var.project
  display_name = "${var.name}: ${each.value.title}"
  combiner     = "OR"
  conditions {
    display_name = each.value.title
    condition_threshold {
      filter          = each.value.filter
      comparison      = "COMPARISON_GT"
      threshold_value = each.value.threshold
      duration        = each.value.duration
      aggregations {
        alignment_period   = "300s"
        per_series_aligner = "ALIGN_MAX"
      }
    }
  }
  documentation {
    content = each.value.hint
  }
  notification_channels = local.channels
}

resource "google_monitoring_alert_policy" "no_job" {
  count        = local.streaming ? 1 : 0
  project      = var.project
  display_name = "${var.name}: the streaming job does not run"
  combiner     = "OR"
  conditions {
    display_name = "the streaming job has had no worker for 15 minutes"
    condition_absent {
      filter   = "${local.job} AND metric.type = \"dataflow.googleapis.com/job/current_num_vcpus\""
      duration = "900s"
      aggregations {
        alignment_period     = "300s"
        per_series_aligner   = "ALIGN_MAX"
        cross_series_reducer = "REDUCE_MAX" # an update makes a new job: the old job's end is not an absence
        group_by_fields      = ["resource.label.job_name"]
      }
    }
  }
  documentation {
    content = "Somebody cancelled it, or it failed: start it again. docs/run-book.md, No job."
  }
  notification_channels = local.channels
}

resource "google_monitoring_alert_policy" "silence" {
  count        = local.streaming || local.service ? 1 : 0
  project      = var.project
  display_name = "${var.name}: uploads arrive but no receipt is published"
  combiner     = "OR"
  conditions {
    display_name = "uploads in the last hour, and no receipt for half an hour"
    condition_prometheus_query_language {
      query                     = "(${local.published[google_pubsub_topic.uploads.name]} > 0) unless (${local.published[google_pubsub_topic.receipts.name]} > 0)"
      duration                  = "1800s"
      evaluation_interval       = "60s"
      disable_metric_validation = true # a project that never published has no such metric yet
    }
  }
  documentation {
    content = "Messages are consumed without any result. docs/run-book.md, Uploads without forecast."
  }
  notification_channels = local.channels
}

# These match log lines directly: a log-based metric could not be referred to here before the first line was written.
resource "google_monitoring_alert_policy" "lines" {
  for_each = { for name, policy in {
    service_dead_letters = {
      made   = local.service
      title  = "files or series that were pushed could not be forecast"
      filter = "${local.revision} AND jsonPayload.message=~\"^((failed|partial) (gs://|bigquery:)|refused a message)\""
      hint   = "SELECT * FROM open_dead_letters. docs/run-book.md, Dead letters."
    }
    service_own_faults = {
      made   = local.service
      title  = "an internal error of the service cost a file or series its forecast"
      filter = "${local.revision} AND jsonPayload.message=~\"^(INTERNAL_ERROR|CRASHED) \""
      hint   = "A defect, or too little memory. docs/run-book.md, Internal errors."
    }
    dead_letters = {
      made   = true
      title  = "files or series could not be forecast"
      filter = "${local.receipts}=~\"^${var.name}(${local.streaming ? "" : "-nightly|"}-backfill(-.*)?)?$\" AND jsonPayload.message=~\"^(failed|partial) (gs://|message)\""
      hint   = "SELECT * FROM open_dead_letters. docs/run-book.md, Dead letters."
    }
    own_faults = {
      made   = true
      title  = "an internal error cost a file or series its forecast"
      filter = "${local.receipts}=~\"^${var.name}(-nightly|-backfill(-.*)?)?$\" AND jsonPayload.message=~\"^(INTERNAL_ERROR|CRASHED) \""
      hint   = "A defect, or too little memory. docs/run-book.md, Internal errors."
    }
    unforecast = { # not failed ones: a file that fails every night would alert every night
      made   = local.nightly && local.streaming
      title  = "uploads had no forecast until the nightly job made it"
      filter = "${local.receipts}=\"${var.name}-nightly\" AND jsonPayload.message=~\"^(complete|partial) gs://\""
      hint   = "The stream missed them. docs/run-book.md, Uploads without forecast."
    }
    launch = {
      made   = local.nightly
      title  = "the nightly job could not be started"
      filter = "resource.type=\"cloud_scheduler_job\" AND resource.labels.job_id=\"${var.name}-nightly\" AND severity>=ERROR"
      hint   = "409: last night's job is still running. 403: a permission is missing. docs/run-book.md, No job."
    }
  } : name => policy if policy.made }
  project      = var.project
  display_name = "${var.name}: ${each.value.title}"
  combiner     = "OR"
  conditions {
    display_name = each.value.title
    condition_matched_log {
      filter = each.value.filter
    }
  }
  alert_strategy {
    auto_close = "86400s"
    notification_rate_limit {
      period = "3600s" # a folder of a thousand bad files sends one message
    }
  }
  documentation {
    content = each.value.hint
  }
  notification_channels = local.channels
}

resource "google_billing_budget" "budget" {
  count           = var.budget == null ? 0 : 1
  billing_account = var.budget.billing_account
  display_name    = "${var.name}: spend"
  budget_filter {
    projects = ["projects/${data.google_project.project.number}"] # with the id, each plan would show a change
  }
  amount {
    specified_amount {
      units = tostring(var.budget.amount)
    }
  }
  threshold_rules {
    threshold_percent = 0.5
  }
  threshold_rules {
    threshold_percent = 1.0
  }
  dynamic "all_updates_rule" { # the billing account's administrators are notified anyway
    for_each = local.channels[*]
    content {
      monitoring_notification_channels = [all_updates_rule.value]
    }
  }
}
