"""What the Flex Template's launcher runs; the pipeline itself is an installed package."""

import sys

from pipeline.main import main

sys.exit(main())
