"""Get Spark: python -m tests.spark"""

import sys

from tests.downloads import Unavailable
from tests.spark.install import parts

try:
    print(parts().jars)
except Unavailable as error:
    sys.exit(str(error))
