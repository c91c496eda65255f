"""Recognize folders in which a SQLite file can be damaged: network drives and synchronized folders."""

from __future__ import annotations

from pathlib import Path

_NETWORKS = frozenset({"nfs", "nfs4", "cifs", "smb3", "smbfs", "afpfs", "webdav", "davfs", "fuse.sshfs", "fuse.davfs2"})
_SYNCED = ("dropbox", "onedrive", "google drive", "googledrive", "nextcloud", "owncloud", "pcloud", "mobile documents")
_MARKERS = (".stfolder", ".dropbox", ".sync_folder", ".owncloudsync.log")
"""Files by which folders of synchronization programs are recognized."""
_MOUNTS = Path("/proc/mounts")


def risky_place(file: Path, mounts: str | None = None) -> str:
    """Return the kind of risky folder that contains a file, such as "a network drive"; empty for other folders.

    Args:
        mounts: the content of /proc/mounts; by default, it is read from this machine, if the file exists.
    """
    path = file.expanduser().resolve()
    for folder in path.parents:
        if folder.name.casefold().startswith(_SYNCED) or any((folder / marker).exists() for marker in _MARKERS):
            return "a synchronized folder"
    if str(path).startswith(("//", "\\\\")):
        return "a network drive"
    if mounts is None:
        mounts = _MOUNTS.read_text(encoding="utf-8", errors="replace") if _MOUNTS.is_file() else ""
    return "a network drive" if _file_system(path, mounts) in _NETWORKS else ""


def _file_system(path: Path, mounts: str) -> str:
    """Return the type of the file system with the longest mount point above the path; empty if unknown."""
    found = [line.split() for line in mounts.splitlines()]
    above = {
        Path(point): kind
        for point, kind in ((row[1].replace("\\040", " "), row[2]) for row in found if len(row) > 2)
        if Path(point) == path or Path(point) in path.parents
    }
    return above[max(above, key=lambda point: len(point.parts))] if above else ""
