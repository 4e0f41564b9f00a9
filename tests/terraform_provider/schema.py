"""The schema of a Terraform provider, read from the CDK package that is generated from it.

Terraform's registry has providers as programs of a hundred megabytes; PyPI has their schema, as classes in JavaScript.
What of them matters here has one form throughout:

    // name - computed: false, optional: true, required: false      before each property
    name: { value: ..., isBlock: true, type: "list", storageClassType: "ThingList" }     for each that can be given
"""

from __future__ import annotations

import io
import re
import tarfile
import zipfile
from pathlib import Path
from typing import Any

_CLASS = re.compile(r"^class (\w+) extends cdktn\.(\w+) \{\n(.*?)^\}", re.DOTALL | re.MULTILINE)
_FUNCTION = re.compile(r"^function (\w+)ToHclTerraform\(struct\) \{\n(.*?)^\}", re.DOTALL | re.MULTILINE)
_PROPERTY = re.compile(
    r"// (\w+) - computed: (\w+), optional: (\w+), required: (\w+)\n(.*?)(?=\n    // \w+ - computed|\Z)", re.DOTALL
)
_GIVEN = re.compile(
    r"^\s+(\w+): \{\n\s+value: .*?\n\s+isBlock: (\w+),\n\s+type: \"(\w+)\",\n\s+storageClassType: \"(\w+)\"",
    re.DOTALL | re.MULTILINE,
)
_SIMPLE = {"string": "string", "number": "number", "boolean": "bool"}
_GETTERS = {"getStringAttribute": "string", "getNumberAttribute": "number", "getBooleanAttribute": "bool"}
Block = dict[str, Any]


def schema_of(wheel: Path, names: set[str]) -> Block:
    """Return the provider's own block, and those of the resources and data sources that are named."""
    result: Block = {"provider": {}, "resources": {}, "data": {}}
    kinds = {"TerraformResource": "resources", "TerraformDataSource": "data"}
    for source in _sources(wheel, names):
        classes = {name: (base, body) for name, base, body in _CLASS.findall(source)}
        functions = {name.lower(): body for name, body in _FUNCTION.findall(source)}
        for base, body in classes.values():
            given = body.partition("synthesizeHclAttributes")[2]
            if base == "TerraformProvider":
                result["provider"] = _block(body, given, classes, functions)
            elif base in kinds and (named := re.search(r"terraformResourceType: '(\w+)'", body)):
                result[kinds[base]][named[1]] = _block(body, given, classes, functions)
    return result


def _sources(wheel: Path, names: set[str]) -> list[str]:
    """Return the JavaScript of the provider and of what is named."""
    folders = {name.replace("_", "-") for name in names}
    with zipfile.ZipFile(wheel) as archive:
        package = next(name for name in archive.namelist() if name.endswith(".tgz"))
        with tarfile.open(fileobj=io.BytesIO(archive.read(package))) as files:
            return [
                file.read().decode()
                for member in files
                if (found := re.fullmatch(r"package/lib/(?:data-)?([\w-]+)/index\.js", member.name))
                and (found[1] == "provider" or f"google-{found[1].removeprefix('google-')}" in folders)
                and (file := files.extractfile(member))
            ]


def _block(body: str, given: str, classes: dict[str, tuple[str, str]], functions: dict[str, str]) -> Block:
    result: Block = {"attributes": {}, "blocks": {}}
    accepted = {name: (block == "true", kind, stored) for name, block, kind, stored in _GIVEN.findall(given)}
    for name, *flags, code in _PROPERTY.findall(body):
        computed, optional, required = (flag == "true" for flag in flags)
        is_block, kind, stored = accepted.get(name, (False, "", ""))
        if not is_block:
            result["attributes"][name] = {
                "type": _type(kind, stored) if stored else _computed_type(code),
                "required": required, "optional": optional, "computed": computed and not required,
            }  # fmt: skip
            continue
        alone = kind == "struct"  # timeouts
        struct = stored if alone else stored.removesuffix("List")
        result["blocks"][name] = {
            "nesting": "single" if alone else "set" if kind == "set" else "list",
            "min": int(required),
            "max": 0 if alone or f"{struct}List" in classes else 1,
            # the provider's own blocks have no such class; none of them is used here
            "block": _block(
                classes.get(f"{struct}OutputReference", ("", ""))[1], functions[struct.lower()], classes, functions
            ),
        }
    return result


def _type(kind: str, stored: str) -> Any:
    """Return a type in Terraform's own words: "string", ["list", "string"]."""
    if stored in _SIMPLE:
        return _SIMPLE[stored]
    if found := re.fullmatch(r"(string|number|boolean)(List|Map)", stored):
        return ["map" if found[2] == "Map" else "set" if kind == "set" else "list", _SIMPLE[found[1]]]
    return "dynamic"


def _computed_type(code: str) -> Any:
    return next((name for getter, name in _GETTERS.items() if getter in code), "dynamic")
