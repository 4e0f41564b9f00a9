"""Get a Kafka broker: python -m tests.kafka"""

import sys

from tests.downloads import Unavailable
from tests.kafka.install import jars

try:
    print(jars())
except Unavailable as error:
    sys.exit(str(error))
