# The default network has no Private Google Access, without which workers that have no public address reach no API.
resource "google_compute_network" "own" {
  #checkov:skip=CKV2_GCP_18:without a firewall rule all that comes in is refused, see below
  count                   = var.subnetwork == null ? 1 : 0
  project                 = var.project
  name                    = var.name
  auto_create_subnetworks = false
}

# No firewall rule: nothing connects to a worker, nor one worker to another, since Streaming Engine and Shuffle do that.
resource "google_compute_subnetwork" "own" {
  #checkov:skip=CKV_GCP_26:workers talk to Google's APIs alone, whose audit logs tell more than flow logs
  #checkov:skip=CKV_GCP_76:IPv4 alone, so that there is no IPv6 access to make private
  count                    = var.subnetwork == null ? 1 : 0
  project                  = var.project
  region                   = var.region
  name                     = var.name
  network                  = google_compute_network.own[0].id
  ip_cidr_range            = "10.90.0.0/22" # an address for each of 1000 workers and the launcher
  private_ip_google_access = true
}

locals {
  subnetwork = var.subnetwork != null ? var.subnetwork : "regions/${var.region}/subnetworks/${google_compute_subnetwork.own[0].name}"
}
