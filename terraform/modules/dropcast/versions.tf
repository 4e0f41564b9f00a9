terraform {
  required_version = ">= 1.7"
  required_providers {
    google = {
      source  = "hashicorp/google"
      version = ">= 8.0, < 9.0"
    }
    google-beta = { # the Flex Template job is in beta alone
      source  = "hashicorp/google-beta"
      version = ">= 8.0, < 9.0"
    }
  }
}
