"""Which files the package holds, as the same bytes for the same sources.

What it is called and needs is in pyproject.toml.
"""

import gzip
import os
import tarfile

from setuptools import find_packages, setup
from setuptools.command.sdist import sdist


class ReproducibleSdist(sdist):
    """With SOURCE_DATE_EPOCH, the archive does not depend on when, where and by whom it is made.

    Wheels do not in any case: bdist_wheel takes the variable into account itself.
    """

    def make_archive(self, base_name, format, root_dir=None, base_dir=None, owner=None, group=None):
        epoch = os.environ.get("SOURCE_DATE_EPOCH")
        if epoch is None or format != "gztar":
            return super().make_archive(base_name, format, root_dir, base_dir, owner, group)

        def plain(member):
            member.mtime = int(epoch)
            member.uid = member.gid = 0
            member.uname = member.gname = ""
            member.mode = 0o755 if member.isdir() or member.mode & 0o100 else 0o644
            return member

        path = f"{base_name}.tar.gz"
        # The name in the header of gzip would be the path on this machine. `add` sorts the names.
        with open(path, "wb") as file, gzip.GzipFile("", "wb", 9, file, int(epoch)) as packed:
            with tarfile.open(fileobj=packed, mode="w", format=tarfile.PAX_FORMAT) as archive:
                archive.add(os.path.join(root_dir or "", base_dir), base_dir, filter=plain)
        return path


setup(
    packages=find_packages(include=["allennlp_analyze", "allennlp_analyze.*"]),
    package_data={
        "allennlp_analyze": ["py.typed"],
        "allennlp_analyze.data": ["*.json", "published/*", "manifests/*", "schemas/*"],
        "allennlp_analyze.reports.html": ["templates/*"],
    },
    include_package_data=False,
    # As text: before setuptools 77 pyproject.toml takes a table here, which later ones deprecate.
    license="Apache-2.0",
    zip_safe=False,
    cmdclass={"sdist": ReproducibleSdist},
)
