"""Fetch a browser and an accessibility checker, once: `python -m tests.browser.install`.

Both are npm packages of a pinned version and content, and lie in `.browser/` at the repository's top. Neither npm, nor
root, nor a library of the system's is needed, and every machine draws with the same browser and the same fonts. Only
where that Chromium cannot be had, one on PATH is taken; DROPCAST_BROWSER names another one.
"""

from __future__ import annotations

import base64
import hashlib
import io
import os
import platform
import shutil
import subprocess
import sys
import tarfile
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass
from http.client import HTTPException
from pathlib import Path
from xml.sax.saxutils import escape

import brotli
import matplotlib

from tests.downloads import Unavailable, hash_of, made, run

CACHE = Path(__file__).parents[2] / ".browser"
ON_PATH = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")


@dataclass(frozen=True)
class Package:
    """A package of npm's, and the `integrity` that npm has for it."""

    name: str
    version: str
    integrity: str


# A headless Chromium that needs nothing but glibc. Each Playwright is made for one version of Chromium, which its
# driver/package/browsers.json names: that in pyproject.toml has to be one whose Chromium has the same first number.
CHROMIUM = Package(
    "@sparticuz/chromium",
    "153.0.0",
    "sha512-jiGWqSvPMdu4+P9TilYqAR7yEGPEHINx+lCvE/NqNO/EHYzF/x1hUiI5T6ioVIt7dEy7n88byyT0vk+dnsgQwA==",
)
AXE = Package(
    "axe-core",
    "4.14.1",
    "sha512-FHfa+lmNjQZfJz1q8wKqIDwC6DExcHt/pkjNQb09a3NPjCKg2rhu5qb2S4r76ASyFNNtuFooJpZe37OgudVGtQ==",
)

# Which font a page gets must not depend on the machine. matplotlib brings DejaVu, which has every sign a report may
# need; its other fonts are not for text.
FONTS = """<?xml version="1.0"?>
<!DOCTYPE fontconfig SYSTEM "fonts.dtd">
<fontconfig>
  {folders}
  <cachedir>{cache}</cachedir>
  <selectfont><rejectfont><glob>*/cm*</glob><glob>*/STIX*</glob><glob>*/LastResort*</glob></rejectfont></selectfont>
  <alias><family>sans-serif</family><prefer><family>Open Sans</family><family>DejaVu Sans</family></prefer></alias>
  <alias><family>system-ui</family><prefer><family>Open Sans</family><family>DejaVu Sans</family></prefer></alias>
  <alias><family>serif</family><prefer><family>DejaVu Serif</family></prefer></alias>
  <alias><family>monospace</family><prefer><family>DejaVu Sans Mono</family></prefer></alias>
</fontconfig>
"""


@dataclass(frozen=True)
class Chromium:
    """A browser, the folder of its own libraries and the folders of the fonts that pages get."""

    program: Path
    libraries: Path | None
    fonts: list[Path]

    def environment(self, scratch: Path) -> dict[str, str]:
        """Return the variables that the browser needs; `scratch` is a folder for its font cache."""
        folders = "".join(f"<dir>{escape(str(folder))}</dir>" for folder in self.fonts)
        configuration = scratch / "fonts.conf"
        configuration.write_text(FONTS.format(folders=folders, cache=escape(str(scratch / "fonts-cache"))))
        variables = {**os.environ, "FONTCONFIG_FILE": str(configuration)}
        if self.libraries:
            variables["LD_LIBRARY_PATH"] = str(self.libraries)
        return variables


def chromium() -> Chromium:
    """Return the browser; fetch it if need be."""
    fonts = [Path(matplotlib.get_data_path(), "fonts", "ttf")]
    if named := os.environ.get("DROPCAST_BROWSER"):
        return Chromium(Path(named), None, fonts)
    try:
        folder = _fetched(CHROMIUM, _unpack_chromium)
        return Chromium(folder / "chromium", folder / "lib", [folder / "fonts", *fonts])
    except Unavailable as reason:
        found = next(filter(None, map(shutil.which, ON_PATH)), None)
        if found is None:
            raise Unavailable(f"{reason}\nInstead a Chromium on PATH will do; there is none.") from None
        print(f"{reason}\nThe tests take {found} instead.", file=sys.stderr)
        return Chromium(Path(found), None, fonts)


def axe() -> Path:
    """Return the script that checks a page for accessibility; fetch it if need be."""
    return _fetched(AXE, _unpack_axe) / "axe.min.js"


def _unpack_chromium(archive: tarfile.TarFile, folder: Path) -> None:
    program = folder / "chromium"
    program.write_bytes(_brotli(archive, "package/bin/chromium.br"))
    program.chmod(0o755)
    for name in ("al2023", "fonts", "swiftshader"):  # libraries, Open Sans, and what WebGL needs
        with tarfile.open(fileobj=io.BytesIO(_brotli(archive, f"package/bin/{name}.tar.br"))) as part:
            part.extraction_filter = getattr(tarfile, "data_filter", None)  # Python 3.11.2 knows of no filters
            part.extractall(folder)
    run(
        [str(program), "--version"],
        "The Chromium for the tests does not run here; it said",
        env={**os.environ, "LD_LIBRARY_PATH": str(folder / "lib")},
    )


def _unpack_axe(archive: tarfile.TarFile, folder: Path) -> None:
    (folder / "axe.min.js").write_bytes(_content(archive, "package/axe.min.js"))


def _brotli(archive: tarfile.TarFile, name: str) -> bytes:
    content: bytes = brotli.decompress(_content(archive, name))
    return content


def _content(archive: tarfile.TarFile, name: str) -> bytes:
    file = archive.extractfile(name)
    assert file
    return file.read()


def _fetched(package: Package, unpack: Callable[[tarfile.TarFile, Path], None]) -> Path:
    def make(folder: Path) -> None:
        if package is CHROMIUM and (platform.system(), platform.machine()) != ("Linux", "x86_64"):
            raise Unavailable(f"{package.name} is for Linux on x86-64 only.")
        print(f"Fetching {package.name} {package.version} (once) ...", file=sys.stderr)
        content = _download(package, folder)
        algorithm, _, digest = package.integrity.partition("-")
        if base64.b64encode(hashlib.new(algorithm, content).digest()).decode() != digest:
            raise ValueError(f"{package.name} {package.version} is not what it was: its {algorithm} differs.")
        with tarfile.open(fileobj=io.BytesIO(content)) as archive:
            unpack(archive, folder)

    # This file says how a package is unpacked.
    key = hash_of(package.integrity.encode(), Path(__file__).read_bytes())
    return made(CACHE, package.name.split("/")[-1], key, make)


def _download(package: Package, folder: Path) -> bytes:
    """Return the package: by npm, which knows of mirrors and proxies, or without it from the public registry."""
    complaints = []
    if npm := shutil.which("npm"):
        command = [npm, "pack", "--loglevel=error", f"{package.name}@{package.version}"]
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
        if done.returncode == 0 and (packed := next(folder.glob("*.tgz"), None)):
            content = packed.read_bytes()
            packed.unlink()
            return content
        complaints.append(f"npm: {(done.stdout + done.stderr)[-1000:]}")
    file = f"{package.name.split('/')[-1]}-{package.version}.tgz"
    try:
        with urllib.request.urlopen(f"https://registry.npmjs.org/{package.name}/-/{file}", timeout=60) as answer:
            return bytes(answer.read())
    except (OSError, HTTPException) as error:
        complaints.append(f"https://registry.npmjs.org: {error}")
    raise Unavailable("\n".join([f"{package.name} {package.version} cannot be fetched.", *complaints]))


if __name__ == "__main__":
    try:
        print(chromium().program, axe(), sep="\n")
    except Unavailable as reason:
        sys.exit(str(reason))
