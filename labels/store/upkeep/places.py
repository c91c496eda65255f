"""Recognize folders in which a SQLite file can be damaged: network drives, and folders that are synchronized."""

from __future__ import annotations

from pathlib import Path

_NETWORKS = frozenset({"nfs", "nfs4", "cifs", "smb3", "smbfs", "afpfs", "webdav", "davfs", "fuse.sshfs", "fuse.davfs2"})
_SYNCED = ("dropbox", "onedrive", "google drive", "googledrive", "nextcloud", "owncloud", "pcloud", "mobile documents")
_MARKERS = (".stfolder", ".dropbox", ".sync_folder", ".owncloudsync.log")
"""Files that a program for synchronization keeps in its folder."""
_MOUNTS = Path("/proc/mounts")


def risky_place(file: Path, mounts: str | None = None) -> str:
    """The kind of risky folder that a file lies in: "a network drive" or "a synchronized folder"; else empty.

    Args:
        mounts: the content of /proc/mounts; by default, of this machine if it has the file.
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
    """The type of the file system with the longest mount point above the path; empty if unknown."""
    found = [line.split() for line in mounts.splitlines()]
    above = {
        Path(point): kind
        for point, kind in ((row[1].replace("\\040", " "), row[2]) for row in found if len(row) > 2)
        if Path(point) == path or Path(point) in path.parents
    }
    return above[max(above, key=lambda point: len(point.parts))] if above else ""
