locals {
  channels = [for channel in google_monitoring_notification_channel.email : channel.id]
  job      = "resource.type = \"dataflow_job\" AND resource.labels.job_name = \"${var.name}\""
}

resource "google_monitoring_notification_channel" "email" {
  count        = var.alert_email == null ? 0 : 1
  project      = var.project
  display_name = "${var.name}: alerts"
  type         = "email"
  labels       = { email_address = var.alert_email }
}

# The pipeline logs one line a receipt: "failed gs://...", "partial gs://...".
resource "google_logging_metric" "dead_letters" {
  project = var.project
  name    = "${var.name}-dead-letters"
  filter  = "resource.type=\"dataflow_step\" AND resource.labels.job_name=\"${var.name}\" AND jsonPayload.message=~\"^(failed|partial) gs://\""
  metric_descriptor {
    metric_kind = "DELTA"
    value_type  = "INT64"
  }
}

resource "google_monitoring_alert_policy" "policies" {
  for_each = {
    backlog = {
      title     = "uploads wait for more than 15 minutes"
      filter    = "resource.type = \"pubsub_subscription\" AND resource.labels.subscription_id = \"${google_pubsub_subscription.uploads.name}\" AND metric.type = \"pubsub.googleapis.com/subscription/oldest_unacked_message_age\""
      threshold = 900
      aligner   = "ALIGN_MAX"
      hint      = "Is the job running, and may it scale? docs/run-book.md, Backlog."
    }
    watermark = {
      title     = "the job is more than 15 minutes behind"
      filter    = "${local.job} AND metric.type = \"dataflow.googleapis.com/job/data_watermark_age\""
      threshold = 900
      aligner   = "ALIGN_MAX"
      hint      = "A step is stuck or retried: look at its errors. docs/run-book.md, Backlog."
    }
    dead_letters = {
      title     = "files or series could not be forecast"
      filter    = "resource.type = \"dataflow_job\" AND metric.type = \"logging.googleapis.com/user/${google_logging_metric.dead_letters.name}\""
      threshold = 0
      aligner   = "ALIGN_DELTA"
      hint      = "SELECT * FROM open_dead_letters. docs/delivery.md, What to do when dead letters appear."
    }
    unforecast = {
      title     = "uploads stay without a forecast"
      filter    = "resource.type = \"pubsub_subscription\" AND resource.labels.subscription_id = \"${google_pubsub_subscription.uploads.name}\" AND metric.type = \"pubsub.googleapis.com/subscription/expired_ack_deadlines_count\""
      threshold = 100
      aligner   = "ALIGN_DELTA"
      hint      = "Messages are given out and not acknowledged. Run dropcast reconcile. docs/run-book.md, Reconcile."
    }
  }
  project      = var.project
  display_name = "${var.name}: ${each.value.title}"
  combiner     = "OR"
  conditions {
    display_name = each.value.title
    condition_threshold {
      filter          = each.value.filter
      comparison      = "COMPARISON_GT"
      threshold_value = each.value.threshold
      duration        = "300s"
      aggregations {
        alignment_period   = "300s"
        per_series_aligner = each.value.aligner
      }
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
    projects = ["projects/${var.project}"]
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
  all_updates_rule {
    monitoring_notification_channels = local.channels
  }
}
