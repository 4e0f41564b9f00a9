#!/usr/bin/env bash
# What `pip install '.[gcp]'` brings suffices by itself: on DirectRunner from Pub/Sub to bucket and tables, and for
# DataflowRunner to submit a job. The servers and the tests run in .venv, the pipelines in a new environment.
set -euo pipefail
here=$(cd "$(dirname "$0")/../.." && pwd)
cd "$here"
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT

"${PYTHON:-python3.11}" -m venv "$scratch/env"
"$scratch/env/bin/python" -m pip --disable-pip-version-check --quiet install '.[gcp]'
"$scratch/env/bin/python" -m pip check
"$scratch/env/bin/python" -c "import google.cloud.aiplatform"  # it is the whole of apache-beam[gcp]
du -sm "$scratch/env/lib"/python*/site-packages | cut -f1 | sed 's/$/ MB of packages/'
.venv/bin/python -m tests.local_cloud install
DROPCAST_REQUIRE_CLOUD=1 DROPCAST_PIPELINE_PYTHON="$scratch/env/bin/python" .venv/bin/python -m pytest \
  tests/cloud/test_streaming.py tests/cloud/test_dataflow.py -m "cloud and not long"
