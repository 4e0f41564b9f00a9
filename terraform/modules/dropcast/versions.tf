terraform {
  required_version = ">= 1.9" # for validations that refer to other variables
  required_providers {
    google = {
      source  = "hashicorp/google"
      version = ">= 8.0, < 9.0"
    }
    google-beta = { # only beta has the Flex Template job and service identities
      source  = "hashicorp/google-beta"
      version = ">= 8.0, < 9.0"
    }
  }
}
