"""The globals that a pickle may not even name: those with which pickles run code.

Nothing of a pickle is ever run here; a file that asks for one of these is an attack, and no part of
it is believed.
"""

from allennlp_analyze.errors import CheckpointError
from allennlp_analyze.text.lines import excerpt

MAX_NAME = 1_000

_MODULES = frozenset(
    "os posix nt posixpath ntpath sys subprocess _posixsubprocess commands popen2 pty shutil"
    " socket _socket socketserver ssl ctypes _ctypes cffi importlib imp _imp pkgutil"
    " zipimport runpy codeop pickle _pickle cPickle marshal shelve dill linecache distutils"
    " setuptools pip ensurepip venv pdb bdb cProfile timeit trace doctest unittest pydoc"
    " webbrowser idlelib lib2to3 multiprocessing _multiprocessing asyncio concurrent _thread"
    " mmap fcntl tempfile fileinput http httplib urllib urllib2 urllib3 requests ftplib"
    " smtplib telnetlib nntplib poplib imaplib xmlrpc xmlrpclib cgi cgitb tkinter atexit"
    " operator _operator winreg _winreg msvcrt".split()
)
# Packages of users have these names, too.
_ALONE = frozenset(("code", "gc", "signal", "site", "profile", "thread"))
# Within these, only the classes of plain values are known.
_PLAIN = {
    **dict.fromkeys(
        ("builtins", "__builtin__"),
        frozenset(
            "object list dict tuple set frozenset int long float complex bool str unicode bytes"
            " bytearray slice range xrange type NotImplementedType Ellipsis Exception ValueError"
            " KeyError TypeError RuntimeError AttributeError IndexError OSError IOError".split()
        ),
    ),
    **dict.fromkeys(("io", "_io"), frozenset(("BytesIO", "StringIO", "TextIOWrapper"))),
    "types": frozenset(("SimpleNamespace", "MappingProxyType", "NoneType")),
}
_PACKAGES = (
    "torch.hub",
    "torch.jit",
    "torch.package",
    "torch.serialization",
    "torch.multiprocessing",
    "torch.distributed.rpc",
    "torch.distributed.elastic",
    "torch.utils.cpp_extension",
    "torch.utils.data.datapipes.utils.decoder",
    "torch.utils.bottleneck",
    "torch.utils.collect_env",
    "torch.utils.model_zoo",
    "torch._dynamo",
    "torch._inductor",
    "torch._export.serde",
    "torch.cuda._memory_viz",
    "numpy.testing",
    "numpy.f2py",
    "numpy.distutils",
    "numpy.lib",
)
_FUNCTIONS = frozenset(
    "system popen popen2 popen3 popen4 execl execle execlp execv execve execvp execvpe spawn spawnl"
    " spawnv posix_spawn startfile exec eval execfile compile open file input raw_input breakpoint"
    " getattr setattr delattr __import__ import_module loads load load_module load_library run_path"
    " run_module runsource runcode runstring runctx check_call check_output getoutput"
    " getstatusoutput Popen globals locals vars __getattribute__ __globals__ __builtins__"
    " __subclasses__ __reduce__ __class__ fromfile memmap genfromtxt loadtxt _load_from_bytes"
    " _load_from_file CDLL".split()
)


def check_global(module: str, name: str) -> None:
    """Raise `CheckpointError` for a global that may not be named, or whose name is too long."""
    if len(module) + len(name) > MAX_NAME:
        raise CheckpointError(f"names a global of more than {MAX_NAME} characters")
    if _is_refused(module, name):
        raise refusal(module, name)


def check_attribute(name: str) -> None:
    """Raise `CheckpointError` for an attribute of a class that no plain member has."""
    is_plain = name.isidentifier() and not name.startswith("_")
    if not is_plain or name in _FUNCTIONS or name in _MODULES:
        raise refusal("builtins", "getattr")


def refusal(module: str, name: str) -> CheckpointError:
    """Returns the error for a global with which a pickle can run code."""
    return CheckpointError(
        f"asks for {excerpt(module)}.{excerpt(name)}, with which a pickle can run code;"
        " nothing was run, and nothing of the file is used"
    )


def _is_refused(module: str, name: str) -> bool:
    parts = name.split(".")
    top = module.partition(".")[0]
    if module in _PLAIN and parts[0] not in _PLAIN[module]:
        return True
    if top in _MODULES or module in _ALONE:
        return True
    if any(module == x or module.startswith(x + ".") for x in _PACKAGES):
        return True
    if _FUNCTIONS & set(parts) or not all(parts):
        return True
    # A class within a class is named with a dot; nothing else that is plain is.
    return len(parts) > 1 and any(x.startswith("_") or x in _MODULES for x in parts)
