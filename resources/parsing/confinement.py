"""What a process that parses strangers' documents may do: limits on memory and time, and no way out.

`limit` sets what the operating system enforces for every process (POSIX). `confine` installs a system call filter
(seccomp, Linux on x86-64 and ARM64): no sockets, no other programs, no file opened for writing, created, renamed or
removed, no other process looked into. It is not a virtual machine: files that the user can read can be read. Where the
filter is not available, `confine` says so and the limits hold alone. Not here: wall-clock time, which the parent keeps.
"""

import ctypes
import errno
import os
import platform
import resource
import struct
import sys

_PR_SET_NO_NEW_PRIVS, _PR_SET_SECCOMP, _SECCOMP_MODE_FILTER = 38, 22, 2
_ALLOW, _KILL, _REFUSE = 0x7FFF0000, 0x80000000, 0x00050000 | errno.EPERM
# BPF: load a 32-bit word of the call; jump if equal, if greater or equal, if any bit is set; return.
_LOAD, _EQUAL, _AT_LEAST, _ANY, _RETURN = 0x20, 0x15, 0x35, 0x45, 0x06
_NUMBER, _ARCHITECTURE, _ARGUMENTS = 0, 4, 16
_FOREIGN_NUMBERS = 0x40000000
_FOR_WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND

# System call numbers on (x86-64, ARM64); None where a system has no such call.
_SYSTEMS = {"x86_64": (0, 0xC000003E), "aarch64": (1, 0xC00000B7)}
_WAYS_OUT = {
    **{"socket": (41, 198), "socketpair": (53, 199), "connect": (42, 203), "bind": (49, 200), "listen": (50, 201)},
    **{"ptrace": (101, 117), "process_vm_readv": (310, 270), "process_vm_writev": (311, 271), "bpf": (321, 280)},
    **{"pidfd_getfd": (438, 438), "io_uring_setup": (425, 425), "unshare": (272, 97), "setns": (308, 268)},
    **{"mount": (165, 40), "open_by_handle_at": (304, 265)},
}
_PROGRAMS_AND_WRITING = {
    **{"execve": (59, 221), "execveat": (322, 281), "fork": (57, None), "vfork": (58, None)},
    **{"kill": (62, 129), "tkill": (200, 130), "tgkill": (234, 131), "pidfd_send_signal": (424, 424)},
    **{"openat2": (437, 437), "creat": (85, None), "truncate": (76, 45), "mknod": (133, None), "mknodat": (259, 33)},
    **{"rename": (82, None), "renameat": (264, 38), "renameat2": (316, 276)},
    **{"mkdir": (83, None), "mkdirat": (258, 34), "rmdir": (84, None), "unlink": (87, None), "unlinkat": (263, 35)},
    **{"link": (86, None), "linkat": (265, 37), "symlink": (88, None), "symlinkat": (266, 36)},
    **{"chmod": (90, None), "fchmod": (91, 52), "fchmodat": (268, 53), "fchmodat2": (452, 452)},
    **{"chown": (92, None), "fchown": (93, 55), "lchown": (94, None), "fchownat": (260, 54)},
    **{"utime": (132, None), "utimes": (235, None), "futimesat": (261, None), "utimensat": (280, 88)},
    **{"setxattr": (188, 5), "lsetxattr": (189, 6), "fsetxattr": (190, 7)},
}
# Calls that open a file, with the index of the argument that says for what.
_OPENING = {"open": ((2, None), 1), "openat": ((257, 56), 2)}


def limit(memory_bytes: int, file_bytes: int) -> None:
    """Bound this process for good: about `memory_bytes` resident (Linux), no core dump, no larger file than that."""
    if sys.platform == "linux":
        size, resident = _memory()
        ceiling = size + max(memory_bytes - resident, 64 << 20)
        resource.setrlimit(resource.RLIMIT_AS, (ceiling, ceiling))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_FSIZE, (file_bytes, file_bytes))


def allow_seconds(seconds: float) -> None:
    """Let this process compute for `seconds` from now; beyond that the operating system ends it."""
    usage = resource.getrusage(resource.RUSAGE_SELF)
    _, most = resource.getrlimit(resource.RLIMIT_CPU)
    resource.setrlimit(resource.RLIMIT_CPU, (int(usage.ru_utime + usage.ru_stime + seconds) + 2, most))


def resident_memory() -> int:
    """Return how many bytes of this process are resident; elsewhere than on Linux, the most that have been.

    On Linux that maximum would be the parent's: it is inherited when a process is started.
    """
    if sys.platform == "linux":
        return _memory()[1]
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)


def _memory() -> tuple[int, int]:
    """Return (virtual size, resident size) of this process in bytes."""
    with open("/proc/self/statm", encoding="ascii") as file:  # noqa: PTH123  (read before Path is worth importing)
        size, resident = file.read().split()[:2]
    return int(size) * resource.getpagesize(), int(resident) * resource.getpagesize()


def confine(*, programs: bool) -> bool:
    """Give up the network, for good, and, unless it needs `programs`, also other programs and writing files.

    Returns False where this system cannot enforce it.
    """
    if sys.platform != "linux" or platform.machine() not in _SYSTEMS:
        return False
    column, architecture = _SYSTEMS[platform.machine()]
    refused = {**_WAYS_OUT, **({} if programs else _PROGRAMS_AND_WRITING)}
    opening = {} if programs else _OPENING
    program = _filter(
        architecture,
        [number for numbers in refused.values() if (number := numbers[column]) is not None],
        [(number, argument) for numbers, argument in opening.values() if (number := numbers[column]) is not None],
    )
    library = ctypes.CDLL(None, use_errno=True)
    if library.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0:
        return False
    instructions = ctypes.create_string_buffer(program)
    header = struct.pack("HxxxxxxP", len(program) // 8, ctypes.addressof(instructions))
    return bool(library.prctl(_PR_SET_SECCOMP, _SECCOMP_MODE_FILTER, header, 0, 0) == 0)


def _filter(architecture: int, refused: list[int], opening: list[tuple[int, int]]) -> bytes:
    """Return the filter as an array of BPF instructions (code, jump if true, jump if false, operand)."""
    program = [
        (_LOAD, 0, 0, _ARCHITECTURE),
        (_EQUAL, 1, 0, architecture),
        (_RETURN, 0, 0, _KILL),
        (_LOAD, 0, 0, _NUMBER),
        (_AT_LEAST, 0, 1, _FOREIGN_NUMBERS),
        (_RETURN, 0, 0, _REFUSE),
    ]
    for number in refused:
        program += [(_EQUAL, 0, 1, number), (_RETURN, 0, 0, _REFUSE)]
    for number, argument in opening:
        program += [
            (_EQUAL, 0, 4, number),
            (_LOAD, 0, 0, _ARGUMENTS + 8 * argument),
            (_ANY, 0, 1, _FOR_WRITING),
            (_RETURN, 0, 0, _REFUSE),
            (_RETURN, 0, 0, _ALLOW),
        ]
    program.append((_RETURN, 0, 0, _ALLOW))
    return b"".join(struct.pack("HBBI", *instruction) for instruction in program)
