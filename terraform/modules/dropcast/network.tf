# The default network has no Private Google Access; without it, workers without a public address cannot reach any API.
resource "google_compute_network" "own" {
  #checkov:skip=CKV2_GCP_18:without a firewall rule all incoming traffic is refused, see below
  count                   = var.subnetwork == null ? 1 : 0
  project                 = var.project
  name                    = var.name
  auto_create_subnetworks = false
}

# No firewall rule: nothing connects to a worker, and workers exchange data through Streaming Engine and Shuffle.
resource "google_compute_subnetwork" "own" {
  #checkov:skip=CKV_GCP_26:workers talk only to Google's APIs, whose audit logs say more than flow logs
  #checkov:skip=CKV_GCP_76:IPv4 only, so there is no IPv6 access to make private
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
