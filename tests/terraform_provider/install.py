"""Make stand-ins for the providers google and google-beta that know their schema, once, for `terraform validate` and
`terraform test` without Terraform's registry and without an account.

What they are made of is fetched (under the Mozilla Public License), not kept here.
"""

from __future__ import annotations

import json
import os
import platform
import re
import shutil
import sys
from pathlib import Path

from tests.downloads import Unavailable, hash_of, made, run
from tests.terraform_provider.schema import schema_of

HERE = Path(__file__).parent
SERVER = HERE / "server"
REQUIREMENTS = HERE / "requirements.txt"
TERRAFORM = HERE.parents[1] / "terraform"
CACHE = HERE.parents[1] / ".terraform-provider"
VERSION = "8.7.0"  # of the providers whose schema requirements.txt names


def cli_config() -> Path:
    """Return what TF_CLI_CONFIG_FILE is to name, so that Terraform finds the stand-ins; make them if need be."""
    names = _names()
    sources = [path.read_bytes() for path in sorted([*HERE.glob("*.py"), *SERVER.glob("*.go"), *SERVER.glob("go.*")])]
    key = hash_of(*sources, REQUIREMENTS.read_bytes(), " ".join(sorted(names)).encode())
    return made(CACHE, "terraform", key, lambda folder: _make(folder, names)) / "terraformrc"


def _names() -> set[str]:
    """Return the types of resources and data sources that the module uses: the whole schema is big."""
    text = "\n".join(path.read_text() for path in TERRAFORM.rglob("*.tf"))
    return set(re.findall(r"^(?:resource|data) \"(\w+)\"", text, re.MULTILINE))


def _make(folder: Path, names: set[str]) -> None:
    go = shutil.which("go")
    if go is None:
        raise Unavailable("Go 1.26 or newer is needed to build the stand-ins for Terraform's providers")
    print("Building stand-ins for Terraform's google providers (once; a minute) ...", file=sys.stderr)
    wheels = folder / "wheels"
    run(
        [sys.executable, "-m", "pip", "--disable-pip-version-check", "download", "-q", "--no-deps", "--require-hashes",
         "-r", str(REQUIREMENTS), "-d", str(wheels)],
        "The providers' schema cannot be downloaded; pip said",
    )  # fmt: skip
    run(
        [go, "build", "-trimpath", "-buildvcs=false", "-o", str(folder / "provider"), "."],
        "Go 1.26 or newer is needed, and access to its modules; `go build` said",
        cwd=SERVER,
        env={**os.environ, "CGO_ENABLED": "0"},
    )
    machine = {"x86_64": "amd64", "aarch64": "arm64"}.get(platform.machine(), platform.machine())
    for provider in ("google", "google-beta"):
        target = folder / f"mirror/registry.terraform.io/hashicorp/{provider}/{VERSION}"
        target /= f"{platform.system().lower()}_{machine}"
        target.mkdir(parents=True)
        shutil.copy(folder / "provider", target / f"terraform-provider-{provider}_v{VERSION}")
        (wheel,) = wheels.glob(f"cdktn_provider_{provider.replace('-', '_')}-*.whl")
        (target / "schema.json").write_text(json.dumps(schema_of(wheel, names)))
    shutil.rmtree(wheels)
    (folder / "terraformrc").write_text(
        f'provider_installation {{\n  filesystem_mirror {{\n    path = "{folder / "mirror"}"\n  }}\n}}\n'
    )
