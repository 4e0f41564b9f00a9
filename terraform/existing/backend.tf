# Where the state is kept, in versions, and locked while it is changed; its bucket is given to `terraform init`:
# -backend-config=bucket=BUCKET, as the make targets do. To keep it elsewhere, change this file; for a try,
# `terraform init -backend=false` keeps it in this folder.
terraform {
  backend "gcs" {
    prefix = "dropcast"
  }
}
