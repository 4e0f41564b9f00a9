# Deployment, from setup to removal. DRY_RUN=1 prints what would be done.
#
#   make gcp-setup PROJECT=acme-data EMAIL=data@acme.example     everything except the jobs
#   make gcp-release PROJECT=acme-data VERSION=0.1.0             build, scan and release image and templates
#   make gcp-run PROJECT=acme-data VERSION=0.1.0                 start the streaming job, or update it to a version
#   make gcp-backfill PROJECT=acme-data VERSION=0.1.0 INPUT='gs://acme-data-dropcast-uploads/2026/*.csv'
#   make gcp-drain PROJECT=acme-data                             end the jobs; nothing is lost
#   make gcp-load-test PROJECT=acme-data UPLOADS=100             upload copies of a made-up CSV
#   make gcp-destroy PROJECT=acme-data                           everything except data; with DATA=destroy, data too
#
#   make gcp-verify PROJECT=acme-data VERSION=0.1.0              set up, try everything, write a report, remove it
#
# Settings for all targets (a budget, a key, batch_schedule, ...) go into terraform/example/terraform.tfvars. EMAIL is
# saved in the same folder, since an apply without it would remove the alerts' address.

REGION ?= europe-west1
NAME ?= dropcast
UPLOADS ?= 100
EMAIL ?=
DO := $(if $(DRY_RUN),@echo,)
TF := terraform -chdir=terraform/example
STATE = $(PROJECT)-$(NAME)-terraform
TF_INIT = $(TF) init -input=false -backend-config=bucket=$(STATE)
# AUTO=1: apply and destroy without asking first
TF_FLAGS = $(if $(AUTO),-input=false -auto-approve)
TF_VARS = -var=project=$(PROJECT) -var=region=$(REGION) -var=name=$(NAME)
OUTPUT = $(if $(DRY_RUN),{terraform-output:$(1)},$$($(TF) output -raw $(1)))
TEMPLATES = gs://$(PROJECT)-$(NAME)-temp/templates
REPOSITORY = $(REGION)-docker.pkg.dev/$(PROJECT)/$(NAME)
SERVICES = artifactregistry bigquery billingbudgets cloudbuild cloudkms cloudresourcemanager cloudscheduler compute dataflow \
  iam logging monitoring ondemandscanning pubsub storage

.PHONY: gcp-setup gcp-release gcp-run gcp-backfill gcp-drain gcp-rollback gcp-load-test gcp-destroy gcp-verify need-project need-version

need-project:
	@test -n "$(PROJECT)" || { echo "PROJECT is missing: make $(MAKECMDGOALS) PROJECT=my-project"; exit 2; }

need-version: need-project
	@test -n "$(VERSION)" || { echo "VERSION is missing: make $(MAKECMDGOALS) VERSION=0.1.0"; exit 2; }

gcp-setup: need-project  ## Google Cloud: create buckets, topics, tables, accounts and alerts (DRY_RUN=1 only prints)
	$(DO) gcloud services enable --project=$(PROJECT) $(SERVICES:%=%.googleapis.com)
	$(if $(EMAIL),$(DO) sh -c 'echo "alert_email = \"$(EMAIL)\"" > terraform/example/email.auto.tfvars')
	$(DO) sh -c 'gcloud storage buckets describe gs://$(STATE) >/dev/null 2>&1 || gcloud storage buckets create gs://$(STATE) \
	  --project=$(PROJECT) --location=$(REGION) --uniform-bucket-level-access --public-access-prevention'
	$(DO) gcloud storage buckets update gs://$(STATE) --versioning
	$(DO) $(TF_INIT)
	$(DO) $(TF) apply $(TF_FLAGS) $(TF_VARS) $(if $(VERSION),-var=template_version=$(VERSION))

gcp-release: need-version  ## Google Cloud: build, scan and release a VERSION
	$(DO) gcloud builds submit --project=$(PROJECT) --region=$(REGION) --config=cloudbuild.yaml \
	  --gcs-source-staging-dir=gs://$(PROJECT)-$(NAME)-temp/source \
	  --service-account=projects/$(PROJECT)/serviceAccounts/$(NAME)-builder@$(PROJECT).iam.gserviceaccount.com \
	  --substitutions=_VERSION=$(VERSION),_REPOSITORY=$(REPOSITORY),_TEMPLATES=$(TEMPLATES)

gcp-run: need-version  ## Google Cloud: start the streaming job, or update the running one to a VERSION
	$(DO) $(TF_INIT)
	$(DO) $(TF) apply $(TF_FLAGS) $(TF_VARS) -var=template_version=$(VERSION)

gcp-rollback: gcp-run  ## Google Cloud: the same as gcp-run, with an earlier VERSION

gcp-backfill: need-version  ## Google Cloud: forecast INPUT once, with the batch template
	@test -n "$(INPUT)" || { echo "INPUT is missing: make gcp-backfill INPUT='gs://bucket/2026/*.csv'"; exit 2; }
	$(DO) $(TF_INIT)
	$(DO) gcloud dataflow flex-template run $(NAME)-backfill --project=$(PROJECT) --region=$(REGION) \
	  --template-file-gcs-location=$(TEMPLATES)/$(VERSION)/batch.json $(call OUTPUT,launch_flags) \
	  --parameters="^~^input=$(INPUT)~$(call OUTPUT,launch_parameters)"

gcp-drain: need-project  ## Google Cloud: end the jobs; the streaming job first finishes what it has begun
	$(DO) $(TF_INIT)
	$(DO) $(TF) apply $(TF_FLAGS) $(TF_VARS)

gcp-load-test: need-project  ## Google Cloud: upload UPLOADS copies of a made-up CSV at once
	$(DO) $(BIN)/python demo/load_test.py --bucket=$(PROJECT)-$(NAME)-uploads --uploads=$(UPLOADS)

gcp-destroy: need-project  ## Google Cloud: remove everything; buckets and tables with data only with DATA=destroy
	@test "$(DATA)" = destroy || echo "Buckets and tables that hold data will not be removed; DATA=destroy removes them too."
	$(DO) $(TF_INIT)
	$(if $(filter destroy,$(DATA)),$(DO) $(TF) apply $(TF_FLAGS) $(TF_VARS) -var=deletion_protection=false)
	$(DO) $(TF) destroy $(TF_FLAGS) $(TF_VARS) $(if $(filter destroy,$(DATA)),-var=deletion_protection=false)

# NAME is passed on only if it is given: the program has its own default, since it destroys what it verifies.
gcp-verify: need-version  ## Google Cloud: set up, try everything, write a report, remove it (VERIFY="--yes --kill-workers")
	$(DO) $(BIN)/python -m verification --project=$(PROJECT) --version=$(VERSION) --region=$(REGION) \
	  $(if $(filter file,$(origin NAME)),,--name=$(NAME)) $(if $(RELEASED),--released) $(VERIFY)
