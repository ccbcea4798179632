"""Decide who may read and write what is made on a share: those that the folder lets, nobody else.

1. A folder takes the group's permissions of the folder above it, with the bits that keep its group
   and its names (2000 and 1000), whatever the umask. An object takes the group's right to read.
2. Where the folder above has a default ACL, that ACL decides instead, as the system applies it.
3. The group's part of a mode is the mask where there is an ACL, and says nothing of the group. Then
   the group's own entry counts, as far as the mask lets it.
4. Others get nothing.

Source: acl(5); the layout of an ACL is that of Linux's linux/posix_acl_xattr.h. What it does not
do: change the permissions of what is there, or say no where the mount decides them (CIFS, FAT).
"""

import contextlib
import os
import stat
import struct
from collections.abc import Mapping
from dataclasses import dataclass

__all__ = ["Permissions", "permissions_in"]

_ACCESS, _DEFAULT = "system.posix_acl_access", "system.posix_acl_default"
_ENTRY = struct.Struct("<HHI")  # tag, permissions, user or group
_HEADER_BYTES = 4
_OWNING_GROUP, _MASK = 0x04, 0x10


@dataclass(frozen=True, slots=True, kw_only=True)
class Permissions:
    """Says what a folder gives to what is made in it."""

    group: int
    """The group's bits of a mode, of 070."""
    kept: int
    """The bits 2000 and 1000 of the folder, which folders below it take."""
    by_default_acl: bool
    """Whether a default ACL decides, so that nothing is set after the making."""

    @property
    def folder_mode(self) -> int:
        """The mode to make a folder with."""
        return 0o700 | self.group

    @property
    def new_object_mode(self) -> int:
        """The mode to make an object with, before it is whole."""
        return 0o640 if self.by_default_acl else 0o600

    def give_folder(self, descriptor: int) -> None:
        """Set the permissions of a folder that was made with `folder_mode`."""
        folder_bits = stat.S_IMODE(os.fstat(descriptor).st_mode)
        _set_mode(
            descriptor, (folder_bits if self.by_default_acl else self.folder_mode) | self.kept
        )

    def give_object(self, descriptor: int) -> None:
        """Set the permissions of an object that was made with `new_object_mode`."""
        if not self.by_default_acl:
            _set_mode(descriptor, 0o600 | (self.group & 0o040))


def permissions_in(folder: int) -> Permissions:
    """Return what an open folder gives to what is made in it."""
    mode = os.fstat(folder).st_mode
    by_default_acl, entries = bool(_entries(folder, _DEFAULT)), _entries(folder, _ACCESS)
    group = mode & 0o070
    if by_default_acl:
        group = 0o070
    elif _OWNING_GROUP in entries:
        group = (entries[_OWNING_GROUP] & entries.get(_MASK, 7)) << 3
    return Permissions(group=group, kept=mode & 0o3000, by_default_acl=by_default_acl)


def _entries(folder: int, name: str) -> Mapping[int, int]:
    """Return the permissions of an ACL by tag; of several named users it is any one's.

    It is empty where the folder has no such ACL.
    """
    try:
        acl = os.getxattr(folder, name)[_HEADER_BYTES:]
    except OSError:  # there is none, or the file system knows of none
        return {}
    whole = acl[: len(acl) // _ENTRY.size * _ENTRY.size]
    return {tag: allowed & 7 for tag, allowed, _ in _ENTRY.iter_unpack(whole)}


def _set_mode(descriptor: int, mode: int) -> None:
    """Set a mode, whatever the umask made of it; not where the mount decides modes."""
    if stat.S_IMODE(os.fstat(descriptor).st_mode) != mode:
        with contextlib.suppress(PermissionError, NotImplementedError):
            os.fchmod(descriptor, mode)
