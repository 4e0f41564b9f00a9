"""Make the stand-ins and print what TF_CLI_CONFIG_FILE is to name:

TF_CLI_CONFIG_FILE=$(python -m tests.terraform_provider) terraform -chdir=terraform/modules/dropcast test
"""

import sys

from tests.downloads import Unavailable
from tests.terraform_provider.install import cli_config

try:
    print(cli_config())
except Unavailable as error:
    sys.exit(str(error))
