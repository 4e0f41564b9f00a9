terraform {
  required_version = ">= 1.9" # validations that look at other variables
  required_providers {
    google = {
      source  = "hashicorp/google"
      version = ">= 8.0, < 9.0"
    }
    google-beta = { # the Flex Template job and service identities are in beta alone
      source  = "hashicorp/google-beta"
      version = ">= 8.0, < 9.0"
    }
  }
}
